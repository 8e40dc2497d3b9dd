package hostcall

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// again answers a call from what an earlier attempt recorded. Where only its begin is there, nobody knows whether it happened: what may be
// repeated is repeated, with the same key; what may not is in doubt.
func (s *Session) again(ctx context.Context, past *tape.Exchange, op operation, call *tape.Call, document []byte, fault *abi.Fault) []byte {
	if past.Function != call.Function || past.Digest != call.Digest {
		s.resolveSecrets(ctx)
		return s.diverged(past, call, document)
	}
	if !past.Open {
		s.elapsed += past.Duration
		return s.answered(past)
	}
	if past.Effect == abi.Unsafe {
		return s.inDoubt(past)
	}
	g, fault := s.authorise(op, call, fault)
	if fault != nil {
		if past.Effect.Writes() {
			return s.inDoubt(past)
		}
		return s.end(past.Effect, reply(nil, fault), 0)
	}
	s.resolveSecrets(ctx)
	call.Effect, call.Key = past.Effect, past.Key
	return s.perform(ctx, op, g, call, document)
}

// replayed answers a call of a replay, and notes both on the tape that the replay makes.
func (s *Session) replayed(call *tape.Call, document []byte) []byte {
	entry := tape.Entry{Kind: tape.BeginKind, Seq: s.seq, Call: call}
	if json.Valid(document) {
		call.Request = entry.NewBody(document)
	}
	var answer []byte
	var took time.Duration
	refused := true
	past := s.replay.Match(s.seq, call)
	switch {
	case past == nil && s.replay.Mode() == tape.Lenient:
		answer = reply(nil, &abi.Fault{Kind: abi.Refused, Message: "the tape has no such call: " + call.Function + " " + call.Summary, Where: "replay",
			Hint: "a replay performs nothing; record the tape again"})
	case past == nil || past.Function != call.Function || past.Digest != call.Digest:
		answer = s.diverged(past, call, document)
	case past.Open:
		s.fault = abi.NewFault(abi.Diverged, fmt.Sprintf("the tape ends within call %d, %s %s", past.Seq, past.Function, past.Summary), "its invocation was cut short: there is nothing to compare")
		answer = reply(nil, s.fault)
	default:
		call.Capability, call.Effect, call.Key, call.Summary = past.Capability, past.Effect, past.Key, past.Summary
		answer, took, refused = s.answered(past), past.Duration, past.Refused
		s.elapsed += took
	}
	end := tape.Entry{Kind: tape.EndKind, Seq: s.seq, Duration: took}
	if refused { // an end alone
		end.Call, end.Blobs = call, entry.Blobs
	} else {
		s.replay.Note(entry)
	}
	end.Reply = end.NewBody(answer)
	s.replay.Note(end)
	return answer
}

// answered gives the reply that a call had.
func (s *Session) answered(past *tape.Exchange) []byte {
	if past.Reply == nil {
		s.fault = abi.NewFault(abi.Internal, fmt.Sprintf("the tape lacks the reply of call %d", past.Seq), "")
		return reply(nil, s.fault)
	}
	if past.Effect.Writes() {
		var was abi.Reply
		if json.Unmarshal(past.Reply, &was) == nil && was.Fault != nil && was.Fault.Where == crashed {
			s.fault = was.Fault // as it ended the attempt that found this out
		}
	}
	return past.Reply
}

// crashed is the place of the fault of a call that nobody knows the end of.
const crashed = "crash"

func (s *Session) inDoubt(past *tape.Exchange) []byte {
	fault := &abi.Fault{Kind: abi.InDoubt, Message: "a crash came between the start and the end of " + past.Function + " " + past.Summary,
		Where: crashed, Hint: "look at the target whether it happened"}
	answer := s.end(past.Effect, reply(nil, fault), 0)
	if s.fault == nil {
		s.fault = fault
	}
	return answer
}

// diverged ends a replay that asks for something else than the tape holds. It never looks further along the tape.
func (s *Session) diverged(past *tape.Exchange, call *tape.Call, document []byte) []byte {
	was := "no such call"
	if past != nil {
		was = fmt.Sprintf("%.500s", past.Asked())
	}
	s.fault = &abi.Fault{Kind: abi.Diverged, Message: fmt.Sprintf("call %d asks %s %.500s, but the tape holds %s", s.seq, call.Function, s.redactor.Bytes(document), was),
		Hint: "plugin, input or settings differ from those that were recorded"}
	return reply(nil, s.fault)
}
