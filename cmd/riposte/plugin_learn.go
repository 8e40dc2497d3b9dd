package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/server/document"
	"github.com/riposte-soar/riposte/testing/harness"
)

// casesFlags are those of the commands that run cases from their stubs and tapes.
type casesFlags struct {
	workbench
	pattern string
}

func (f *casesFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.module, "module", "", "package to use, in place of building the folder")
	cmd.Flags().StringVar(&f.pattern, "run", "", "only cases whose file names (without .yaml) match this pattern")
}

// open builds the plugin, makes the harness and reads the cases.
func (f *casesFlags) open(cmd *cobra.Command, args []string) (*harness.Harness, *bundle.Bundle, []*harness.Case, error) {
	f.dir = "."
	if len(args) == 1 {
		f.dir = args[0]
	}
	b, err := f.plugin(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return nil, nil, nil, err
	}
	cases, err := harness.Load(filepath.Join(f.dir, harness.CasesFolder), f.pattern, b)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(cases) == 0 {
		return nil, nil, nil, noCase(f.dir, f.pattern)
	}
	h, err := f.workbench.open(false)
	return h, b, cases, err
}

func learnCommand(c *client) *cobra.Command {
	var f casesFlags
	cmd := &cobra.Command{Use: "learn [DIR]", Short: "Print the least that the cases of a plugin prove it to need",
		Long: "Run the cases of a plugin, and print what its manifest would have to ask for so that their calls are covered, and nothing else. It knows no\n" +
			"more than the cases: read it before you take it over.",
		Args: folderArg, RunE: func(cmd *cobra.Command, args []string) error {
			h, b, cases, err := f.open(cmd, args)
			if err != nil {
				return err
			}
			defer func() { _ = h.Close() }()
			report, err := h.Run(cmd.Context(), b, cases, harness.Mode{}, progress(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if !report.OK() {
				return errors.New(report.Summary() + ": the cases must pass first (riposte plugin test)")
			}
			learned := harness.Learn(&b.Manifest, report.Results)
			if c.json || c.format == "json" {
				return jsonLine(cmd.OutOrStdout(), learned)
			}
			text, err := json.MarshalIndent(learned, "", "  ")
			if err != nil {
				return err
			}
			if text, err = document.FromJSON(text); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "# What %d cases of %s need\n%s", len(cases), b.Name(), text)
			for _, note := range report.Notes() {
				fmt.Fprintln(cmd.OutOrStdout(), "#", note)
			}
			return nil
		}}
	f.flags(cmd)
	return cmd
}

// maxTimes bounds how often a case is measured.
const maxTimes = 1_000_000

func benchCommand(c *client) *cobra.Command {
	var f casesFlags
	var times int
	cmd := &cobra.Command{Use: "bench [DIR]", Short: "Measure what the cases of a plugin take: time, processor, instructions, memory", Args: folderArg,
		Long: "Run each case many times, one call after the other, answered from its stubs or its tape: what the world takes is not measured.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if times < 1 || times > maxTimes {
				return usageError{fmt.Errorf("--times %d: expected 1 to %d", times, maxTimes)}
			}
			h, b, cases, err := f.open(cmd, args)
			if err != nil {
				return err
			}
			defer func() { _ = h.Close() }()
			list, failed, err := h.Bench(cmd.Context(), b, cases, times, progress(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			err = c.show(list, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "CASE\tACTION\tCALLS\tMEDIAN\tWORST OF 100\tCPU\tINSTRUCTIONS\tMEMORY")
				for _, m := range list {
					fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%d\t%d KiB\n", m.Case, m.Action, m.Calls, m.Wall.Round(1000), m.Worst.Round(1000), m.CPU.Round(1000), m.Fuel, m.Memory>>10)
				}
			})
			if err == nil && len(failed) > 0 {
				return fmt.Errorf("%d cases did not pass and were not measured, %s first (riposte plugin test)", len(failed), failed[0].Case)
			}
			return err
		}}
	f.flags(cmd)
	cmd.Flags().IntVar(&times, "times", 200, "how often each case is run")
	return cmd
}
