package hostcall

import (
	"context"
	"fmt"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// record is what an earlier attempt left of one call.
type record struct{ begin, end *tape.Entry }

func (r record) call() *tape.Call {
	if r.begin != nil {
		return r.begin.Call
	}
	if r.end != nil {
		return r.end.Call
	}
	return nil
}

// request is what was asked, as far as the tape has it; there must be a call.
func (r record) request() []byte {
	e := r.begin
	if e == nil {
		e = r.end
	}
	if document := e.Document(e.Call.Request); document != nil {
		return document
	}
	return []byte(e.Call.Summary)
}

func records(entries []tape.Entry) map[int]record {
	if len(entries) == 0 {
		return nil
	}
	m := make(map[int]record, len(entries)/2)
	for i := range entries {
		e := &entries[i]
		r := m[e.Seq]
		switch e.Kind {
		case tape.BeginKind:
			r.begin = e
		case tape.EndKind:
			r.end = e
		default:
			continue
		}
		m[e.Seq] = r
	}
	return m
}

// again answers a call from the tape. Where only its begin is there, nobody knows whether it happened: what may be repeated is repeated,
// with the same key; what may not is in doubt.
func (s *Session) again(ctx context.Context, past record, op operation, call *tape.Call, document []byte, fault *abi.Fault) []byte {
	was := past.call()
	if was == nil || was.Function != call.Function || was.Digest != call.Digest {
		s.resolveSecrets(ctx)
		return s.diverged(past, call, document)
	}
	if past.end != nil {
		answer := past.end.Document(past.end.Reply)
		if answer == nil {
			s.fault = abi.NewFault(abi.Internal, fmt.Sprintf("the tape lacks the reply of call %d", s.seq), "")
			return reply(nil, s.fault)
		}
		s.elapsed += past.end.Duration
		return answer
	}
	if tape.Strict(s.o.Tape) {
		s.fault = abi.NewFault(abi.Diverged, fmt.Sprintf("the tape ends within call %d, %s %s", s.seq, was.Function, was.Summary), "its invocation was cut short: there is nothing to compare")
		return reply(nil, s.fault)
	}
	if was.Effect == abi.Unsafe {
		return s.inDoubt(was)
	}
	g, fault := s.authorise(op, call, fault)
	if fault != nil {
		if was.Effect.Writes() {
			return s.inDoubt(was)
		}
		return s.end(was, reply(nil, fault), 0)
	}
	s.resolveSecrets(ctx)
	call.Effect, call.Key = was.Effect, was.Key
	return s.perform(ctx, op, g, call)
}

func (s *Session) inDoubt(was *tape.Call) []byte {
	fault := &abi.Fault{Kind: abi.InDoubt, Message: "a crash came between the start and the end of " + was.Function + " " + was.Summary,
		Hint: "look at the target whether it happened"}
	answer := s.end(was, reply(nil, fault), 0)
	if s.fault == nil {
		s.fault = fault
	}
	return answer
}

// diverged ends a replay that asks for something else than the tape holds. It never looks further along the tape.
func (s *Session) diverged(past record, call *tape.Call, document []byte) []byte {
	was := "no such call"
	if c := past.call(); c != nil {
		was = fmt.Sprintf("%s %.500s", c.Function, past.request())
	}
	s.fault = &abi.Fault{Kind: abi.Diverged, Message: fmt.Sprintf("call %d asks %s %.500s, but the tape holds %s", s.seq, call.Function, s.redactor.Bytes(document), was),
		Hint: "plugin, input or settings differ from those that were recorded"}
	return reply(nil, s.fault)
}
