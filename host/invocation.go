package host

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// An invocation has two sides. On ours is its session, with the rights, the secrets and the tape. On the other is the guest, which knows a task
// and leaves an ending; the only way from there to here is the dispatcher. So the guest may run in another process.

// dispatcher carries out the host calls of an invocation: it is the session, or the way to it.
type dispatcher interface {
	// Call gives the reply to a request; see hostcall.Session.
	Call(ctx context.Context, fn string, request []byte) []byte
	// Elapsed is how long the calls took in all.
	Elapsed() time.Duration
}

// task is what a guest may know of its invocation.
type task struct {
	bundle   *bundle.Bundle
	action   string
	limits   limits
	input    []byte
	settings json.RawMessage // of the connector, without secrets
	seed     uint64
	start    time.Time  // of the guest's clock
	replay   bool       // nothing is performed, and nothing waited for
	calls    dispatcher // nil while an image is made
}

// ending is what a guest left.
type ending struct {
	output json.RawMessage
	fault  *abi.Fault // or why there is no output
	said   []abi.LogEntry
	stack  []string
	setup  time.Duration // until the action's first instruction
	memory int64
	fuel   int64
}

// openSession works out the rights of an invocation.
func (h *Host) openSession(in Invocation, l limits) (*hostcall.Session, *abi.Fault) {
	return hostcall.NewSession(hostcall.SessionOptions{ID: in.ID, Key: in.Key, Namespace: in.Connector, Manifest: &in.Bundle.Manifest,
		Action: in.Action, Settings: orObject(in.Settings), Grant: in.Grant, Services: h.options.Services, Tape: in.Tape, MaxCalls: l.hostCalls, Peer: in.Peer})
}

// newTask makes the input, and completes the head of the tape. An invocation that goes on from a tape gets the identity, the time and the seed
// that it had at first, so that it sees the same.
func newTask(ctx context.Context, in Invocation, l limits, session *hostcall.Session) (task, *abi.Fault) {
	head := tape.Header{Invocation: in.ID, Seed: seedOf(in), Start: in.Now}
	recorded, document := recordedHead(in.Tape)
	if recorded != nil {
		head = *recorded
	}
	t := task{bundle: in.Bundle, action: in.Action, limits: l, settings: session.GuestSettings(), seed: head.Seed, start: head.Start,
		replay: tape.ReplayOf(in.Tape) != nil, calls: session}
	call := abi.Call{Action: in.Action, Parameters: orObject(in.Parameters), Settings: t.settings, Context: abi.Context{
		Invocation: head.Invocation, Incident: in.Incident, Run: in.Run, Step: in.Step, Now: head.Start, Deadline: l.timeout.Milliseconds()}}
	raw, err := json.Marshal(call)
	if err != nil {
		return t, abi.NewFault(abi.Invalid, "the input is not JSON: "+err.Error(), "")
	}
	if int64(len(raw)) > l.input {
		return t, abi.NewFault(abi.TooLarge, fmt.Sprintf("parameters and settings have %d bytes, at most %d are possible", len(raw), l.input), "")
	}
	if t.replay {
		raw = document // the limits of this host, which are part of it, may be others
	}
	t.input = raw
	if in.Bundle.Extism() {
		t.input = call.Parameters
	}
	if t.replay {
		head.Module, head.Meter = in.Bundle.Digest, EngineVersion()
		tape.ReplayOf(in.Tape).Note(tape.Entry{Kind: tape.HeaderKind, Header: &head})
	}
	if recorded != nil || in.Tape == nil {
		return t, nil
	}
	session.Describe(ctx, &head)
	head.Module, head.Meter, head.Input = in.Bundle.Digest, EngineVersion(), tape.Digest(raw)
	entry := tape.Entry{Kind: tape.HeaderKind, Header: &head}
	head.Document = entry.NewBody(raw)
	if err := in.Tape.Append(entry, false); err != nil {
		return t, abi.AsFault(err)
	}
	return t, nil
}

func recordedHead(log tape.Log) (*tape.Header, []byte) {
	if log == nil {
		return nil, nil
	}
	return tape.HeaderOf(log.Recorded())
}

// conclude makes the outcome of what the session knows and the guest left.
func (t *task) conclude(session *hostcall.Session, e ending) Outcome {
	out := Outcome{Output: e.output, Fault: e.fault, Emissions: session.Emissions(), Logs: session.Logs(),
		Stats: Stats{Setup: e.setup, HostCalls: session.Calls(), Memory: e.memory, Fuel: e.fuel}}
	if f := session.Fault(); f != nil {
		out.Fault = f
	} else if out.Fault == nil {
		if out.Fault = t.bundle.CheckResult(t.action, out.Output); out.Fault != nil {
			out.Fault.Kind, out.Fault.Message = abi.Trap, "the plugin gave a result that breaks its own schema: "+out.Fault.Message
		}
	}
	if out.Fault == nil {
		return out
	}
	out.Output = nil
	out.Logs = append(out.Logs[:len(out.Logs):len(out.Logs)], e.said...)
	if out.Stack = e.stack; len(out.Stack) > 0 && out.Fault.Where == "" {
		out.Fault.Where = out.Stack[0]
	}
	return out
}

// record puts the outcome on the tape, unless an earlier attempt came to the same. A replay keeps it for itself.
func (out *Outcome) record(ctx context.Context, log tape.Log, session *hostcall.Session) {
	o := tape.Outcome{Fuel: out.Stats.Fuel}
	if f := out.Fault; f == nil {
		o.Output = tape.Digest(out.Output)
	} else { // the line of a tape can be written again byte for byte only if its texts are UTF-8
		kept := *f
		kept.Message, kept.Hint, kept.Where = strings.ToValidUTF8(f.Message, "�"), strings.ToValidUTF8(f.Hint, "�"), strings.ToValidUTF8(f.Where, "�")
		o.Fault = &kept
		stop := ended(ctx)
		o.Cut = ctx.Err() != nil && f.Kind == stop.Kind && f.Message == stop.Message
	}
	o.Logs, o.Emissions = session.Left()
	entry := tape.Entry{Kind: tape.OutcomeKind, Outcome: &o}
	replay := tape.ReplayOf(log)
	switch {
	case replay != nil:
		replay.Note(entry)
	case log != nil && !reflect.DeepEqual(tape.OutcomeOf(log.Recorded()), &o):
		if err := log.Append(entry, false); err != nil {
			out.Output, out.Fault = nil, abi.AsFault(err)
		}
	}
}
