package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/sys"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// guest is the state of one invocation: what the host functions work on.
type guest struct {
	bundle  *bundle.Bundle
	action  string
	limits  limits
	session *hostcall.Session
	ctx     context.Context // of the invocation, for what the engine calls without one
	memory  memoryStats
	blocks  blocks
	fuel    fuel
	clock   clock
	random  io.Reader
	said    speech

	input     []byte
	inputAt   uint64 // block of the input
	output    []byte
	outputAt  uint64
	errorAt   uint64
	variables map[string][]byte
	http      lastResponse
	replay    bool // strict: nothing is performed, and nothing waited for
	// askedTooEarly is set when a host function was called while the module was initialised.
	askedTooEarly bool
}

// guestKey finds the guest in the context of a host function's call.
type guestKey struct{}

// newGuest opens the session, completes the head of the tape and writes the input.
func (h *Host) newGuest(ctx context.Context, in Invocation, l limits) (*guest, *abi.Fault) {
	session, fault := hostcall.NewSession(hostcall.SessionOptions{ID: in.ID, Key: in.Key, Namespace: in.Connector, Manifest: &in.Bundle.Manifest,
		Action: in.Action, Settings: orObject(in.Settings), Grant: in.Grant, Services: h.options.Services, Tape: in.Tape, MaxCalls: l.hostCalls})
	if fault != nil {
		return nil, fault
	}
	g := &guest{bundle: in.Bundle, action: in.Action, limits: l, session: session, replay: tape.Strict(in.Tape),
		blocks: blocks{limit: l.memory}, fuel: newFuel(l.fuel)}
	if fault := g.begin(ctx, in); fault != nil {
		session.Close()
		return nil, fault
	}
	return g, nil
}

// begin makes the input. An invocation that goes on from a tape gets the identity, the time and the seed that it had at first, so that it
// sees the same.
func (g *guest) begin(ctx context.Context, in Invocation) *abi.Fault {
	head := tape.Header{Invocation: in.ID, Seed: seedOf(in), Start: in.Now}
	recorded, document := recordedHead(in.Tape)
	if recorded != nil {
		head = *recorded
	}
	g.random, g.clock = newRandom(head.Seed), clock{start: head.Start, session: g.session}
	call := abi.Call{Action: in.Action, Parameters: orObject(in.Parameters), Settings: g.session.GuestSettings(), Context: abi.Context{
		Invocation: head.Invocation, Incident: in.Incident, Run: in.Run, Step: in.Step, Now: head.Start, Deadline: g.limits.timeout.Milliseconds()}}
	raw, err := json.Marshal(call)
	if err != nil {
		return abi.NewFault(abi.Invalid, "the input is not JSON: "+err.Error(), "")
	}
	if int64(len(raw)) > g.limits.input {
		return abi.NewFault(abi.TooLarge, fmt.Sprintf("parameters and settings have %d bytes, at most %d are possible", len(raw), g.limits.input), "")
	}
	if g.replay {
		raw = document // the limits of this host, which are part of it, may be others
	}
	g.input = raw
	if g.bundle.Extism() {
		g.input = call.Parameters
	}
	g.inputAt = g.blocks.put(g.input)
	if recorded != nil || in.Tape == nil {
		return nil
	}
	g.session.Describe(ctx, &head)
	head.Module, head.Meter, head.Input = in.Bundle.Digest, EngineVersion(), tape.Digest(raw)
	entry := tape.Entry{Kind: tape.HeaderKind, Header: &head}
	head.Document = entry.NewBody(raw)
	if err := in.Tape.Append(entry, false); err != nil {
		return abi.AsFault(err)
	}
	return nil
}

func recordedHead(log tape.Log) (*tape.Header, []byte) {
	if log == nil {
		return nil, nil
	}
	return tape.HeaderOf(log.Recorded())
}

// run calls the action in an instance, and reads what it left.
func (g *guest) run(ctx context.Context, m *loadedModule) Outcome {
	ctx = context.WithValue(ctx, guestKey{}, g)
	g.ctx = ctx
	began := time.Now()
	var setup time.Duration
	code, err := func() (uint64, error) {
		i, err := m.begin(ctx, g)
		if err != nil {
			return 0, err
		}
		setup = time.Since(began)
		result, err := i.action(g.action).Call(ctx)
		g.fuel.settle(i.module)
		g.memory = i.memory.stats
		m.end(i, err == nil)
		if err != nil || len(result) == 0 {
			return 0, err
		}
		return result[0], nil
	}()
	out := Outcome{Emissions: g.session.Emissions(), Logs: g.session.Logs()}
	out.Output, out.Fault = g.result(ctx, uint32(code), err)
	if err != nil && out.Fault != nil {
		out.Stack = stackOf(err)
		if len(out.Stack) > 0 && out.Fault.Where == "" {
			out.Fault.Where = out.Stack[0]
		}
	}
	if out.Fault != nil {
		out.Logs = append(out.Logs[:len(out.Logs):len(out.Logs)], g.said.entries()...)
	}
	out.Stats = Stats{Setup: setup, HostCalls: g.session.Calls(), Memory: g.memory.peak, Fuel: g.fuel.used}
	return out
}

// result reads what the action left, or finds out why it left nothing.
func (g *guest) result(ctx context.Context, code uint32, err error) (json.RawMessage, *abi.Fault) {
	if f := g.session.Fault(); f != nil {
		return nil, f
	}
	var exit *sys.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 0 {
		err = nil
	}
	if err != nil {
		return nil, g.crash(ctx, err)
	}
	if int64(len(g.output)) > g.limits.output {
		return nil, abi.NewFault(abi.Limit, fmt.Sprintf("the result has %d bytes, at most %d are possible", len(g.output), g.limits.output), "")
	}
	output, fault := g.decode(code)
	if fault != nil {
		return nil, fault
	}
	if f := g.bundle.CheckResult(g.action, output); f != nil {
		f.Kind, f.Message = abi.Trap, "the plugin gave a result that breaks its own schema: "+f.Message
		return nil, f
	}
	return output, nil
}

// decode takes the output apart.
func (g *guest) decode(code uint32) (json.RawMessage, *abi.Fault) {
	if g.bundle.Extism() {
		return g.decodeExtism(code)
	}
	if code != 0 {
		return nil, abi.NewFault(abi.Trap, fmt.Sprintf("the action returned the code %d", int32(code))+g.errorText(), "")
	}
	var result abi.Result
	d := json.NewDecoder(bytes.NewReader(g.output))
	d.DisallowUnknownFields()
	err := d.Decode(&result)
	if err == nil && d.More() {
		err = errors.New("there is something after it")
	}
	switch {
	case err != nil:
		return nil, abi.NewFault(abi.Trap, "the action gave something that is not a result: "+err.Error(), "a result is {\"output\": …} or {\"fault\": …}")
	case (result.Fault == nil) == (len(result.Output) == 0):
		return nil, abi.NewFault(abi.Trap, "the action gave neither an output nor a fault, or both", "")
	case result.Fault != nil:
		return nil, tidy(result.Fault)
	}
	return result.Output, nil
}

// tidy bounds a fault that a guest made.
func tidy(f *abi.Fault) *abi.Fault {
	const most = 4 << 10
	for _, text := range []*string{&f.Message, &f.Hint, &f.Where} {
		*text = strings.ToValidUTF8((*text)[:min(len(*text), most)], "")
	}
	kinds := []abi.Kind{abi.Invalid, abi.Refused, abi.Unauthorized, abi.NotFound, abi.Conflict, abi.TooLarge, abi.RateLimited, abi.Unavailable,
		abi.Timeout, abi.Cancelled, abi.Limit, abi.Trap, abi.Diverged, abi.Failed, abi.InDoubt, abi.Internal}
	if !slices.Contains(kinds, f.Kind) {
		f.Kind = abi.Failed
	}
	f.RetryAfter = max(f.RetryAfter, 0)
	return f
}

// crash explains why the guest did not come to its end.
func (g *guest) crash(ctx context.Context, err error) *abi.Fault {
	var fault *abi.Fault
	var exit *sys.ExitError
	switch {
	case errors.As(err, &fault):
		stopped := *fault
		return &stopped
	case ctx.Err() != nil:
		return ended(ctx)
	case g.memory.refused:
		return abi.NewFault(abi.Limit, fmt.Sprintf("the plugin needs more than %d MiB of memory", g.limits.memory>>20), "the manifest may ask for more, in limits.memory")
	case errors.As(err, &exit):
		return abi.NewFault(abi.Trap, fmt.Sprintf("the plugin ended itself with code %d", exit.ExitCode())+g.said.last(), "")
	}
	reason, _, _ := strings.Cut(err.Error(), "\n")
	if strings.Contains(reason, "(recovered by wazero)") {
		return abi.NewFault(abi.Internal, "a host function failed: "+strings.TrimSuffix(reason, " (recovered by wazero)"), "")
	}
	if strings.Contains(reason, "stack overflow") {
		return abi.NewFault(abi.Limit, "the plugin calls itself too deeply", "")
	}
	return abi.NewFault(abi.Trap, "the plugin crashed: "+strings.TrimPrefix(reason, "wasm error: ")+g.said.last(), "")
}

// stackOf reads the guest's stack out of an error of the engine.
func stackOf(err error) []string {
	_, trace, ok := strings.Cut(err.Error(), "wasm stack trace:\n")
	if !ok {
		return nil
	}
	trace, _, _ = strings.Cut(trace, "\n\n")
	var stack []string
	for line := range strings.Lines(trace) {
		if line = strings.TrimSpace(line); line != "" {
			stack = append(stack, strings.TrimPrefix(line, "."))
		}
	}
	return stack
}

// stop ends the guest from within a host function.
func (g *guest) stop(kind abi.Kind, message string) {
	panic(abi.NewFault(kind, message, ""))
}

// give makes a block for the guest.
func (g *guest) give(data []byte) uint64 {
	if len(data) == 0 {
		return 0
	}
	handle := g.blocks.adopt(data)
	if handle == 0 {
		g.stop(abi.Limit, fmt.Sprintf("the plugin holds more than %d MiB of host memory", g.limits.memory>>20))
	}
	return handle
}

func (g *guest) errorText() string {
	if text, ok := g.blocks.get(g.errorAt); ok {
		const most = 2 << 10
		return ": " + strings.ToValidUTF8(string(text[:min(len(text), most)]), "")
	}
	return ""
}
