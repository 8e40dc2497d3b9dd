package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/testing/harness"
)

// workbench is a plugin's folder, and how its calls go out.
type workbench struct {
	dir      string
	quick    string // build soon rather than well, and keep in this folder what serves again; empty: build well
	soon     bool   // interpret rather than compile
	module   string
	settings string
	allow    []string
}

func (w *workbench) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.module, "module", "", "package to use, in place of building the folder")
	cmd.Flags().StringVar(&w.settings, "settings", "", "file (YAML) with the settings of live calls: a map, or a connector")
	cmd.Flags().StringSliceVar(&w.allow, "allow", nil, "networks (CIDR) that live calls may reach though they are this machine's own, such as 127.0.0.0/8")
}

// plugin builds the plugin, or opens its package.
func (w *workbench) plugin(ctx context.Context, said io.Writer) (*bundle.Bundle, error) {
	if w.module != "" {
		return openPackage(w.module)
	}
	p, err := author.Build(ctx, w.dir, author.Options{Bare: true, Unchecked: true, Quick: w.quick != "", Kept: w.quick, Say: func(what string) { fmt.Fprintln(said, what) }})
	if err != nil {
		return nil, err
	}
	return p.Bundle, nil
}

// scripts tells a plugin whose module is an engine that is compiled already.
func (w *workbench) scripts() bool {
	_, head, err := author.ReadManifest(filepath.Join(w.dir, author.ManifestFile))
	return err == nil && head.Runtime != ""
}

// open makes the harness. Modules that are tried out have a cache of their own, which is kept small.
func (w *workbench) open(live bool) (*harness.Harness, error) {
	dir, err := trialsDir()
	if err != nil {
		return nil, err
	}
	o := harness.Options{CacheDir: dir, Live: live, Interpret: w.soon}
	for _, text := range w.allow {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usagef("--allow %s: expected a network in CIDR notation, such as 127.0.0.0/8 or 192.0.2.7/32", text)
		}
		o.Network.Allow = append(o.Network.Allow, prefix)
	}
	if err := trimTrials(); err != nil {
		return nil, err
	}
	return harness.Open(o)
}

// trialsDir is where modules lie that are tried out.
func trialsDir() (string, error) {
	user, err := os.UserCacheDir()
	return filepath.Join(user, "riposte", "trials"), err
}

func trimTrials() error {
	dir, err := trialsDir()
	if err != nil {
		return err
	}
	return harness.Trim(dir, time.Now())
}

// readSettings reads --settings: the settings themselves, or a connector that has them.
func (w *workbench) readSettings(b *bundle.Bundle) (json.RawMessage, capability.Grant, error) {
	grant := capability.Grant{}
	for _, r := range b.Manifest.Requires {
		grant[r.ID] = capability.Narrowing{}
	}
	if w.settings == "" {
		return nil, grant, nil
	}
	text, err := readFile(w.settings, document.MaxSize, "a file (YAML) with the settings of the plugin, or a connector")
	if err != nil {
		return nil, nil, err
	}
	root, problems := document.Parse(w.settings, text)
	if len(problems) > 0 {
		return nil, nil, problems
	}
	if inner := root.Get("settings"); inner != nil && root.Get("connector") != nil {
		root = inner
	}
	raw, err := json.Marshal(root.JSON())
	if err != nil {
		return nil, nil, err
	}
	if fault := b.CheckSettings(raw); fault != nil {
		at := *fault
		at.Where = w.settings + ": " + fault.Where
		return nil, nil, &at
	}
	return raw, grant, nil
}

// testFlags are those of plugin test.
type testFlags struct {
	workbench
	pattern                    string
	replay, fault, crash       string
	record, contract           bool
	liveAfter, parallel        int
	watch, verbose             bool
	html, markdown, junit      string
	fromRun, step, name, title string
	last                       *harness.Report // what the cases came to
	size                       int             // of the package, in bytes
}

func testCommand(c *client) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{Use: "test [DIR]", Short: "Build the plugin in a folder, and run its cases (tests/*.yaml) in the sandbox",
		Long: "Build the plugin in a folder, and run its cases: calls of actions, with what the world answers and what must come of it.\n" +
			"docs/testing-plugins.md tells how cases are written. The exit code is 1 if a case does not pass, 2 if one cannot be read.",
		Args: folderArg, RunE: func(cmd *cobra.Command, args []string) error {
			f.dir = "."
			if len(args) == 1 {
				f.dir = args[0]
			}
			if f.fromRun != "" {
				return c.caseOfRun(cmd, &f)
			}
			m, err := f.mode()
			if err != nil {
				return err
			}
			if f.watch {
				return c.testAgain(cmd, &f, m)
			}
			h, err := f.open(m.GoesOut())
			if err != nil {
				return err
			}
			defer func() { _ = h.Close() }()
			return c.test(cmd, h, &f, m)
		}}
	f.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.pattern, "run", "", "only cases whose file names (without .yaml) match this pattern, such as block-*")
	flags.StringVar(&f.replay, "replay", "strict", "strict: the calls of the tape in its order; lenient: in any order, each at most as often")
	flags.BoolVar(&f.record, "record", false, "let the calls of cases without stubs go out, and keep their tapes")
	flags.IntVar(&f.liveAfter, "live-after", 0, "answer so many calls from the tape, and let those behind them go out")
	flags.StringVar(&f.fault, "fault", "", "let a call meet a fault: "+strings.Join(harness.Injections(), ", ")+" or all; KIND@N is call N only")
	flags.StringVar(&f.crash, "crash", "", "let the process die at each call, and go on from its tape: begin, end or all; begin@N is call N only")
	flags.BoolVar(&f.contract, "contract", false, "take each containment through its life, out in the world: place, probe, place again, remove, probe")
	flags.IntVar(&f.parallel, "parallel", 0, "cases at once (default: one for each processor)")
	flags.BoolVar(&f.watch, "watch", false, "build (soon rather than well) and run again whenever a file changes")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show input, output, calls and logs of every case")
	flags.StringVar(&f.html, "html", "", "write a report to this file, as one page")
	flags.StringVar(&f.markdown, "markdown", "", "write a report to this file, in Markdown")
	flags.StringVar(&f.junit, "junit", "", "write a report to this file, in JUnit's format")
	flags.StringVar(&f.fromRun, "from-run", "", "make a case of a run of a server, such as RUN-000001-1, instead of running cases")
	flags.StringVar(&f.step, "step", "", "with --from-run: the path of the step")
	flags.StringVar(&f.name, "name", "", "with --from-run: the name of the case (default: of run and step)")
	flags.StringVar(&f.title, "title", "", "with --from-run: what the case is about")
	return cmd
}

// mode reads how the cases are to be run.
func (f *testFlags) mode() (m harness.Mode, err error) {
	m = harness.Mode{Record: f.record, Contract: f.contract, LiveAfter: f.liveAfter, Parallel: f.parallel}
	switch f.replay {
	case "strict":
	case "lenient":
		m.Replay = tape.Lenient
	default:
		return m, usagef("--replay %s: expected strict or lenient", f.replay)
	}
	switch {
	case f.liveAfter < 0:
		return m, usagef("--live-after %d: expected a number of calls", f.liveAfter)
	case f.parallel < 0:
		return m, usagef("--parallel %d: expected a number of cases", f.parallel)
	case f.step != "" || f.name != "" || f.title != "":
		return m, usagef("--step, --name and --title are for --from-run: the case that is made of a run")
	}
	if on := 0; f.record || f.contract || f.liveAfter > 0 || f.fault != "" || f.crash != "" {
		for _, set := range []bool{f.record || f.contract, f.liveAfter > 0, f.fault != "", f.crash != ""} {
			if set {
				on++
			}
		}
		if on > 1 {
			return m, usageError{errors.New("--record and --contract, --live-after, --fault and --crash exclude each other")}
		}
	}
	if f.settings != "" && !f.record && !f.contract && f.liveAfter == 0 {
		return m, usageError{errors.New("--settings is for calls that go out: --record, --contract or --live-after")}
	}
	return m, nil
}

// variations are the modes that --fault and --crash stand for; m itself without them.
func (f *testFlags) variations(m harness.Mode) ([]harness.Mode, error) {
	flag, text, kinds := "--fault", f.fault, harness.Injections()
	if f.crash != "" {
		flag, text, kinds = "--crash", f.crash, []string{string(tape.BeginKind), string(tape.EndKind)}
	}
	if text == "" {
		return []harness.Mode{m}, nil
	}
	kind, number, numbered := strings.Cut(text, "@")
	at, err := strconv.Atoi(cmp.Or(number, "0"))
	if err != nil || numbered && at < 1 || kind != "all" && !slices.Contains(kinds, kind) {
		return nil, usagef("%s %s: expected %s or all, and perhaps @ with the number of a call, such as %s@1", flag, text, strings.Join(kinds, ", "), kinds[0])
	}
	var list []harness.Mode
	for _, k := range kinds {
		if kind != "all" && kind != k {
			continue
		}
		one := m
		if f.crash != "" {
			one.Crash = &harness.Crash{When: tape.Kind(k), At: at}
		} else {
			one.Fault = &harness.Injection{Kind: k, At: at}
		}
		list = append(list, one)
	}
	return list, nil
}

// test builds and runs once.
func (c *client) test(cmd *cobra.Command, h *harness.Harness, f *testFlags, m harness.Mode) error {
	modes, err := f.variations(m)
	if err != nil {
		return err
	}
	b, err := f.plugin(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if m.Settings, _, err = f.readSettings(b); err != nil {
		return err
	}
	cases, err := harness.Load(filepath.Join(f.dir, harness.CasesFolder), f.pattern, b)
	if err != nil {
		return err
	}
	if len(cases) == 0 {
		return noCase(f.dir, f.pattern)
	}
	report := &harness.Report{}
	for i, mode := range modes {
		mode.Settings = m.Settings
		more, err := h.Run(cmd.Context(), b, cases, mode, progress(cmd.ErrOrStderr()))
		if err != nil {
			return err
		}
		if i == 0 {
			report = more
			continue
		}
		report.Join(more)
	}
	if len(report.Results) == 0 {
		return nothingTried(f)
	}
	f.last, f.size = report, b.Size
	if f.pattern != "" {
		report.Untested, report.Unused = nil, nil // the others may call and need it
	}
	if len(modes) > 1 {
		report.Mode = strings.TrimSpace("each " + cmp.Or(strings.Replace(f.crash, "all", "crash", 1), strings.Replace(f.fault, "all", "fault", 1)))
	}
	return c.report(cmd, f, report)
}

// nothingTried says why no case came into question for a mode.
func nothingTried(f *testFlags) error {
	if f.contract {
		return abi.NewFault(abi.NotFound, "no case calls an action that has a probe and an inverse", "the manifest names them, of actions of kind contain; write a case that calls one")
	}
	return abi.NewFault(abi.NotFound, fmt.Sprintf("no case makes a call that %s would meet", cmp.Or(f.fault, f.crash)), "riposte plugin test -v shows the calls of each case")
}

// noCase says that a folder has no case, or none that a pattern matches.
func noCase(dir, pattern string) error {
	f := &abi.Fault{Kind: abi.NotFound, Message: "there is no case", Where: filepath.Join(dir, harness.CasesFolder),
		Hint: "docs/testing-plugins.md tells how one is written; riposte plugin record makes one of a real call"}
	if pattern != "" {
		f.Message += " that matches " + pattern
		f.Hint = "--run takes names of files without .yaml, such as block-*"
	}
	return f
}

// progress shows on a terminal how far a long suite is.
func progress(w io.Writer) harness.Progress {
	if !colored(w) {
		return nil
	}
	began := time.Now()
	return func(done, total int, _ *harness.Result) {
		switch {
		case done == total:
			fmt.Fprint(w, "\r\x1b[K")
		case time.Since(began) > 500*time.Millisecond:
			fmt.Fprintf(w, "\r  %d of %d cases\x1b[K", done, total)
		}
	}
}

// report shows a report, and writes the files that are asked for.
func (c *client) report(cmd *cobra.Command, f *testFlags, r *harness.Report) error {
	for _, file := range []struct {
		name  string
		write func(io.Writer, *harness.Report) error
	}{{f.html, func(w io.Writer, r *harness.Report) error { return harness.WriteHTML(w, r, filepath.Dir(f.html)) }}, {f.markdown, harness.WriteMarkdown}, {f.junit, harness.WriteJUnit}} {
		if file.name == "" {
			continue
		}
		var text strings.Builder
		if err := file.write(&text, r); err != nil {
			return err
		}
		if err := writeWhole(file.name, []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	var err error
	if c.json || c.format == "json" {
		err = harness.WriteJSON(cmd.OutOrStdout(), r)
	} else {
		err = harness.WriteTerminal(cmd.OutOrStdout(), r, harness.Style{Color: colored(os.Stdout), Verbose: f.verbose})
	}
	if err == nil && !r.OK() {
		return fmt.Errorf("%s: %s", r.Plugin, r.Summary())
	}
	return err
}
