package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/harness"
)

// heavyFrom is how many instructions for each byte of a package take as long interpreted as the package takes to be compiled: measured, 9 ns
// against 0.75 µs.
const heavyFrom = 80

// heavy says that the last cases executed so much that to compile the module is sooner than to interpret it.
func (f *testFlags) heavy() bool {
	if f.last == nil {
		return false
	}
	executed := int64(0)
	for _, one := range f.last.Results {
		executed += one.Fuel
	}
	return executed > heavyFrom*int64(f.size)
}

// deep says that a case ended because its calls nested too deeply, of which the interpreter bears fewer than compiled code.
func (f *testFlags) deep() bool {
	return f.last != nil && slices.ContainsFunc(f.last.Results, func(r *harness.Result) bool {
		return r.Fault != nil && r.Fault.Kind == abi.Limit && r.Verdict != harness.Passed
	})
}

// watcher tests again and again.
type watcher struct {
	*testFlags
	c    *client
	mode harness.Mode
	h    *harness.Harness
}

// testAgain tests after each change, until somebody interrupts it. What is wrong meanwhile is shown.
func (c *client) testAgain(cmd *cobra.Command, f *testFlags, m harness.Mode) (err error) {
	if f.quick, err = os.MkdirTemp("", "riposte-watch-*"); err != nil {
		return err
	}
	defer os.RemoveAll(f.quick)
	f.soon = !f.scripts()
	w := &watcher{testFlags: f, c: c, mode: m}
	if w.h, err = f.open(m.GoesOut()); err != nil {
		return err
	}
	defer func() { _ = w.h.Close() }()
	return harness.Watch(cmd.Context(), f.dir, []string{f.html, f.markdown, f.junit}, func() { w.round(cmd) })
}

// round tests once. A plugin that the interpreter is too slow for is compiled from the next change on; one that nests too deeply for it, at once.
func (w *watcher) round(cmd *cobra.Command) {
	out := cmd.OutOrStdout()
	if colored(out) {
		fmt.Fprint(out, "\x1b[H\x1b[2J\x1b[3J")
	}
	began := time.Now()
	w.test(cmd)
	if w.soon && w.deep() && cmd.Context().Err() == nil {
		fmt.Fprintln(out, "\n  A limit was met while the module was interpreted, which bears 2,000 calls in each other at most. Compiled, as in a server, it comes to this:")
		if w.compile() {
			w.test(cmd)
		}
	}
	if cmd.Context().Err() != nil {
		return
	}
	fmt.Fprintf(out, "\n  %s: %s from the change to here. Waiting for the next one (Ctrl-C ends it)\n", began.Format(time.TimeOnly), time.Since(began).Round(time.Millisecond))
	if w.soon && w.heavy() {
		w.compile()
	}
	_ = trimTrials() // each build leaves a module; what cannot be removed now will be another time
}

func (w *watcher) test(cmd *cobra.Command) {
	w.last = nil
	if err := w.c.test(cmd, w.h, w.testFlags, w.mode); err != nil && cmd.Context().Err() == nil {
		fmt.Fprintln(cmd.OutOrStdout(), inWords(err))
	}
}

// compile has modules compiled from now on.
func (w *watcher) compile() bool {
	w.soon = false
	compiling, err := w.open(w.mode.GoesOut())
	if err != nil {
		return false
	}
	_ = w.h.Close()
	w.h = compiling
	return true
}
