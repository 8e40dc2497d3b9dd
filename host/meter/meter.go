// Package meter rewrites WebAssembly modules so that a host can bound what they do.
//
// [Instrument] injects a fuel counter and a stack counter into a module, and [Split] parts its code from what its memory begins with.
// Both are pure functions of bytes: the same input gives the same output on every machine, no input makes them panic, and nothing here
// runs or validates WebAssembly. A module that passes is valid for a WebAssembly runtime if, and only if, the original was; callers
// compile the result, never the original.
//
// # What is charged
//
// Code is charged by basic block. A block whose charge is at most 64 is paid by the blocks that can run right before it, each of which
// pays for the dearest of those that can follow; heads of loops, and blocks that are entered from inside a loop and from outside, pay
// for themselves, and for up to 16 units of a function's beginning that leads straight into them. So fuel is a bound of what ran, not an exact
// count: at most 64 units for each block too much, or 80 where a loop begins. Costs, in units of fuel:
//
//	0    block, loop, else, end, nop
//	1    every other instruction that is not listed here
//	3    call of a function of the module
//	5    call_indirect
//	10   integer division and remainder, floating-point division and square root (scalar or vector)
//	50   call of an imported function (what the host does then is for the host to charge)
//
// and on top of it, by length:
//
//	1/8  per byte of memory.copy, memory.fill and memory.init
//	1    per element of table.copy, table.fill, table.init and table.grow
//	8192 per page of memory.grow that succeeds
//
// memory.copy and memory.fill of more than 64 KiB are done in pieces of 64 KiB with a look at the fuel after each, so that no single
// instruction runs longer than a slice.
//
// # How a guest stops
//
// Fuel is an i64 global, exported as [GlobalFuel], which counts down. When it is below zero at the entry of a function that calls
// others and does not lead straight into a loop, or at the head of a loop, the module calls the imported function [ImportRefill] with the
// (negative) fuel and continues with what that returns. A host grants fuel in slices of a fraction of a millisecond, looks at its deadline when it is asked for more, and stops
// the guest by panicking out of the imported function. If it returns a negative number the guest traps. Fuel is zero in a new
// instance, so the host is asked before anything runs, a start function included.
//
// Loops that call nothing count in a local and settle with the global every few thousand units and when the function returns. A guest
// that ends by a trap inside of such a loop, or a host function that reads the fuel, sees it without that small debt. What a call has
// spent is a function of the module, its input and what the host answered, never of the size of the slices.
//
// # Stack
//
// [GlobalStack] counts down what the frames of active calls take, in bytes: 64 for each, 8 for each parameter, local (16 for v128) and
// operand at the deepest point of the operand stack. It is an estimate of what a compiler needs. Functions that call nothing are not
// counted. Below zero the module calls [ImportOverflow], at the entry of a function or at the head of the loop that it leads straight into, and traps if
// that returns. After a trap or a panic of a host function the
// counter is not wound back: set it to the limit, or drop the instance, before the next call.
//
// # Jumps
//
// A loop that does nothing at its head but jump by a local, as functions of Go programs have, is not gone around by jumps of which is known where they will
// come to, if that is ahead: they leave the block there at once, and cost that only. What a guest computes stays the same.
//
// # Debugging
//
// The name section is kept up, so traces name functions, the injected ones included. DWARF sections are dropped, since code has moved; where
// there were some, a runtime that knows DWARF tells offsets into the rewritten code, and [Places] gives the source lines of those.
package meter

import "fmt"

// Reserved names. A module that already uses one of them is refused.
const (
	// ImportModule is the module name of the functions that a rewritten module imports.
	ImportModule = "riposte:meter/v1"
	// ImportRefill (func (param i64) (result i64)) is asked for fuel; the parameter is the fuel left, below zero.
	ImportRefill = "refill"
	// ImportOverflow (func) is told that the stack is used up. It does not return to the guest.
	ImportOverflow = "overflow"

	// ExportPrefix begins the names of all exports that a rewrite adds.
	ExportPrefix = "riposte:meter/"
	// GlobalFuel is the exported mutable i64 global with the fuel left.
	GlobalFuel = ExportPrefix + "fuel"
	// GlobalStack is the exported mutable i64 global with the bytes of stack left.
	GlobalStack = ExportPrefix + "stack"
	// GlobalPrefix, followed by the index, names the exported mutable globals of the module itself (see Options.ExportGlobals).
	GlobalPrefix = ExportPrefix + "global."
)

// Version changes whenever a rewrite of the same module gives other bytes or other charges; TestVersion sees to that. It belongs to the identity of a run.
const Version = "meter/5"

// Options says how to instrument. The zero value is ready to use.
type Options struct {
	// Stack is the number of bytes, as estimated, that frames may take. 0 means DefaultStack.
	Stack int64
	// ExportGlobals exports every mutable global that holds a number under GlobalPrefix and its index, so that a host can
	// put a state back.
	ExportGlobals bool
	// Limits bounds the module; fields that are 0 stand for those of DefaultLimits.
	Limits Limits
}

// DefaultStack is the estimated size of all frames of a guest, in bytes. The engine doubles a stack by copying it, so the deepest one makes garbage of
// more than twice its size.
const DefaultStack = 2 << 20

// Limits bounds what a module may declare.
type Limits struct {
	ModuleBytes   int    // whole module
	Types         int    // entries of the type section
	Imports       int    // entries of the import section
	Functions     int    // functions defined in the module
	Locals        int    // parameters and locals of one function
	FunctionBytes int    // body of one function
	FunctionWork  int64  // of compiling one function, in nanoseconds as estimated, beside what is linear in its size
	Work          int64  // of compiling all of them
	Globals       int    // globals defined in the module
	Exports       int    // entries of the export section
	Tables        int    // tables defined in the module
	TableElements uint32 // elements of one table: its minimum must not be above
	TableGrown    uint32 // elements that a table may grow to; its minimum may be above
	Segments      int    // data segments, and element segments
	MemoryPages   uint32 // declared minimum of the memory, in pages of 64 KiB
}

// DefaultLimits are wide enough for an interpreter such as CPython compiled to WebAssembly.
func DefaultLimits() Limits {
	return Limits{
		ModuleBytes: 64 << 20, Types: 20_000, Imports: 1_000, Functions: 200_000, Locals: 10_000, FunctionBytes: 4 << 20, FunctionWork: 5e9, Work: 20e9,
		Globals: 50_000, Exports: 20_000, Tables: 16, TableElements: 256 << 10, TableGrown: 32 << 10, Segments: 200_000, MemoryPages: 4096,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct {
		v   *int
		def int
	}{
		{&l.ModuleBytes, d.ModuleBytes}, {&l.Types, d.Types}, {&l.Imports, d.Imports}, {&l.Functions, d.Functions},
		{&l.Locals, d.Locals}, {&l.FunctionBytes, d.FunctionBytes}, {&l.Globals, d.Globals}, {&l.Exports, d.Exports},
		{&l.Tables, d.Tables}, {&l.Segments, d.Segments},
	} {
		if *f.v <= 0 {
			*f.v = f.def
		}
	}
	if l.FunctionWork <= 0 {
		l.FunctionWork = d.FunctionWork
	}
	if l.Work <= 0 {
		l.Work = d.Work
	}
	if l.TableElements == 0 {
		l.TableElements = d.TableElements
	}
	if l.TableGrown == 0 {
		l.TableGrown = d.TableGrown
	}
	if l.MemoryPages == 0 {
		l.MemoryPages = d.MemoryPages
	}
	return l
}

// Error says why a module was refused.
type Error struct {
	Section string // section of the module, such as "code", or "module"
	Offset  int    // offset in bytes into the module
	Problem string // what was found and what was expected
	Hint    string // what the author can do; may be empty
}

// Error implements error.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s section at byte %#x: %s", e.Section, e.Offset, e.Problem)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Instrument returns the module with fuel and stack counters. Errors are of type *Error.
func Instrument(module []byte, o Options) ([]byte, error) {
	o.Limits = o.Limits.withDefaults()
	if o.Stack <= 0 {
		o.Stack = DefaultStack
	}
	m, err := parse(module, o.Limits)
	if err != nil {
		return nil, err
	}
	if err := m.refuseReserved(); err != nil {
		return nil, err
	}
	return newRewriter(m, o).run()
}
