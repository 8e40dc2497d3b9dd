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

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/riposte-soar/riposte/host/strict"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// guest is the state of one invocation: what the host functions work on.
type guest struct {
	task
	reader *strict.Reader  // of what it writes
	ctx    context.Context // of the invocation, for what the engine calls without one
	memory memoryStats
	blocks blocks
	fuel   fuel
	clock  clock
	random io.Reader // nil until it asks
	said   speech

	inputAt   uint64 // block of the input
	output    []byte // of the result so much as may be; see says
	outputs   int    // its length
	outputAt  uint64
	errorAt   uint64
	stack     []string // of a script that crashed, as its engine tells
	deep      bool     // it overflowed the stack that its compiler keeps in the memory
	variables map[string][]byte
	http      lastResponse
	device    *device // of a command, as are files
	files     files
	// changedFiles is set when it closed its standard output, or the like.
	changedFiles bool
}

func (e *engine) newGuest(t task) *guest {
	g := &guest{task: t, reader: &e.reader, blocks: blocks{limit: t.limits.memory}, fuel: newFuel(t.limits.fuel), clock: clock{start: t.start, calls: t.calls}}
	if t.bundle.Command() {
		g.device = &device{guest: g}
	} else {
		g.inputAt = g.blocks.put(t.input)
	}
	return g
}

// guestKey finds the guest in the context of a host function's call.
type guestKey struct{}

// run calls the action of a task in an instance.
func (m *loadedModule) run(ctx context.Context, t task) ending {
	g := m.engine.newGuest(t)
	defer g.blocks.reset()
	ctx = context.WithValue(ctx, guestKey{}, g)
	g.ctx = ctx
	var e ending
	began := time.Now()
	code, err := func() (uint64, error) {
		i, err := m.begin(ctx, g)
		if err != nil {
			return 0, err
		}
		e.setup = time.Since(began)
		result, err := i.action(g.entry()).Call(ctx)
		g.fuel.settle(i.module)
		g.memory, g.deep = i.memory.stats, overflowed(i.module)
		m.end(i, err == nil && g.device == nil && !g.changedFiles)
		if err != nil || len(result) == 0 {
			return 0, err
		}
		return result[0], nil
	}()
	e.memory, e.fuel = g.memory.peak, g.fuel.used
	e.output, e.fault = g.result(ctx, uint32(code), err)
	e.said = g.said.entries()
	if e.stack = g.stack; err != nil && g.bundle.Engine() == "" { // the functions of an engine say nothing about a script
		if e.stack = goStack(e.said); e.stack == nil {
			e.stack = stackOf(err, g.bundle)
		}
	}
	e.clean()
	return e
}

// clean makes texts that a guest had a hand in UTF-8: the names of its functions may be anything.
func (e *ending) clean() {
	for n := range e.stack {
		e.stack[n] = strings.ToValidUTF8(e.stack[n], "�")
	}
	if f := e.fault; f != nil {
		f.Message, f.Hint, f.Where = strings.ToValidUTF8(f.Message, "�"), strings.ToValidUTF8(f.Hint, "�"), strings.ToValidUTF8(f.Where, "�")
	}
}

// result reads what the action left, or finds out why it left nothing.
func (g *guest) result(ctx context.Context, code uint32, err error) (json.RawMessage, *abi.Fault) {
	var exit *sys.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == 0 || g.device != nil && g.device.failed) {
		err = nil
	}
	if err != nil {
		return nil, g.crash(ctx, err)
	}
	if int64(g.outputs) > g.limits.output {
		return nil, abi.NewFault(abi.Limit, fmt.Sprintf("the result has %d bytes, at most %d are possible", g.outputs, g.limits.output), "")
	}
	return g.decode(code)
}

// decode takes the output apart.
func (g *guest) decode(code uint32) (json.RawMessage, *abi.Fault) {
	if g.bundle.Extism() {
		return g.decodeExtism(code)
	}
	if g.device != nil && !g.device.done {
		return nil, g.device.missing()
	}
	if code != 0 {
		return nil, abi.NewFault(abi.Trap, fmt.Sprintf("the action returned the code %d", int32(code))+g.errorText(), "")
	}
	if output := plainOutput(g.output); output != nil {
		return output, nil
	}
	var result abi.Result
	err := g.reader.Read(g.output, &result)
	switch {
	case err != nil:
		return nil, abi.NewFault(abi.Trap, "the action gave something that is not a result: "+err.Error(), "a result is {\"output\": …} or {\"fault\": …}")
	case (result.Fault == nil) == (len(result.Output) == 0):
		return nil, abi.NewFault(abi.Trap, "the action gave neither an output nor a fault, or both", "")
	case result.Fault != nil:
		g.stack = tidyStack(result.Stack)
		return nil, tidy(result.Fault)
	}
	return result.Output, nil
}

// plainOutput gives the output of a result that has nothing else and no spaces around it, or nil: it is not known to be one. A reader says the same of
// it, at twice the price. What is longer could be nested more deeply than that takes.
func plainOutput(result []byte) json.RawMessage {
	const before, longest = `{"output":`, 16 << 10
	output, begins := bytes.CutPrefix(result, []byte(before))
	output, ends := bytes.CutSuffix(output, []byte("}"))
	if !begins || !ends || len(result) > longest || len(output) != len(bytes.TrimSpace(output)) || !json.Valid(output) {
		return nil
	}
	return output[:len(output):len(output)]
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

// tidyStack bounds a stack that a guest tells of.
func tidyStack(stack []string) []string {
	const most, longest = 50, 1 << 10
	stack = stack[:min(len(stack), most)]
	for i, line := range stack {
		stack[i] = strings.ToValidUTF8(line[:min(len(line), longest)], "")
	}
	return stack
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
	if g.deep || strings.Contains(reason, "stack overflow") {
		return abi.NewFault(abi.Limit, "the plugin calls itself too deeply", "")
	}
	said := g.errorText() // by kits that write nothing to standard error
	if said == "" {
		said = g.said.last()
	}
	return abi.NewFault(abi.Trap, "the plugin crashed: "+strings.TrimPrefix(reason, "wasm error: ")+said, "")
}

// stackPointer is the global of the stack that clang and rustc keep in the memory. Modules that our kits make export it. That stack lies below
// everything else: the pointer of who goes beyond its end is negative.
const stackPointer = "__stack_pointer"

// overflowed says whether a guest went beyond the end of its stack in the memory.
func overflowed(m api.Module) bool {
	pointer := m.ExportedGlobal(stackPointer)
	return pointer != nil && pointer.Type() == i32 && int32(pointer.Get()) < 0
}

// mayCall ends a guest that calls a host function while its image is made.
func (g *guest) mayCall(fn string) {
	if g.calls == nil {
		g.stop(abi.Trap, "it calls "+fn+" while it is initialised")
	}
}

// stop ends the guest from within a host function.
func (g *guest) stop(kind abi.Kind, message string) {
	panic(abi.NewFault(kind, message, ""))
}

// says keeps a copy of the result. It may come again and again.
func (g *guest) says(output []byte) {
	g.outputs = len(output)
	g.output = append(g.output[:0], output[:min(int64(len(output)), g.limits.output)]...)
}

// give makes a block of a copy of data.
func (g *guest) give(data []byte) uint64 {
	if len(data) == 0 {
		return 0
	}
	handle := g.blocks.put(data)
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
