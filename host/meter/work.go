package meter

import "fmt"

// What a compiler does for a function is not linear in its size: with wazero 1.12 the time grows with the square of the number of basic blocks, and
// that times the number of locals, which it merges wherever blocks meet; loops in loops cost far more. BenchmarkWork holds the estimate
// against what compiling takes: from a tenth of it to three times as long.
// Some ten kilobytes can so take minutes, and compilation cannot be interrupted. What compilers make is far from that: the heaviest function of CPython
// is estimated at 0.23 s, that of QuickJS at 0.24 s, of Go programs at 0.04 s, and all functions of CPython together at 1 s.

const (
	workOfBlocks = 20   // nanoseconds for each pair of blocks, beside one for each local
	workOfLoops  = 2000 // for each pair of loops
)

// work estimates how long it takes to compile the function that was read, in nanoseconds of a processor, beside what is linear in its size.
func (f *function) work() int64 {
	blocks, loops := int64(min(f.branches, 1<<22)), int64(min(len(f.loops), 1<<22))
	return blocks*blocks*int64(f.numLocals+workOfBlocks) + workOfLoops*loops*loops
}

// bound adds the work for the i-th function to that for the functions before it, and refuses what is too much.
func (f *function) bound(i int, all *int64) error {
	work := f.work()
	*all += min(work, f.m.limits.Work)
	fail := func(problem, hint string) error {
		return &Error{Section: "code", Offset: f.m.bodies[i].start, Problem: problem, Hint: hint}
	}
	switch {
	case work > f.m.limits.FunctionWork:
		return fail(fmt.Sprintf("function %d would take too long to compile: it has %d branches, %d loops and %d locals", f.m.numImpFunc+i, f.branches, len(f.loops), f.numLocals),
			"make several functions of it, or let the compiler inline less")
	case *all > f.m.limits.Work:
		return fail("the module would take too long to compile: too many of its functions have thousands of branches", "make smaller functions of them, or let the compiler inline less")
	}
	return nil
}
