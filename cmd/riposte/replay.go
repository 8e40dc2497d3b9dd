package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/server/engine"
)

func replayCommand(c *client) *cobra.Command {
	var lenient, diff bool
	cmd := &cobra.Command{Use: "replay RUN [STEP]", Short: "Execute the plugins of a run again from their tapes, and compare", Args: runAndStep,
		Long: `Each invocation of the run is executed again offline: what it asked the host for is answered from its tape, nothing else. Its calls, output,
logs, findings and number of instructions must be those that were recorded; what differs is shown call by call, and the command ends with code 1.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := map[string]any{"lenient": lenient, "calls": diff}
			if len(args) > 1 {
				ask["step"] = args[1]
			}
			var list []engine.Replayed
			if err := c.post(cmd.Context(), "/runs/"+url.PathEscape(args[0])+"/replay", ask, &list); err != nil {
				return err
			}
			if err := c.showReplays(list, diff); err != nil {
				return err
			}
			diverged := 0
			for _, r := range list {
				if r.Verdict == engine.Diverged {
					diverged++
				}
			}
			if diverged > 0 {
				return fmt.Errorf("%d of %d invocations diverged", diverged, len(list))
			}
			return nil
		}}
	cmd.Flags().BoolVar(&lenient, "lenient", false, "with the plugin that is installed now; calls may come in another order, or be left out")
	cmd.Flags().BoolVar(&diff, "diff", false, "show requests and replies of then and now, also where nothing differs")
	return cmd
}

// showReplays prints a table, and what differs below it; with all every call.
func (c *client) showReplays(list []engine.Replayed, all bool) error {
	err := c.show(list, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "INVOCATION\tACTION\tCALLS\tINSTRUCTIONS\tREPLAY")
		for _, r := range list {
			verdict := "same bytes"
			switch {
			case r.Verdict != engine.Same:
				verdict = strings.ToUpper(string(r.Verdict)) + ": " + faultText(r.Fault)
			case r.Comparison != nil && !r.Comparison.Same():
				verdict = "same result; differs: " + r.Comparison.Differences()
			}
			fmt.Fprintf(w, "%s\t%s/%s\t%d\t%d\t%s\n", r.Invocation, r.Plugin, r.Action, r.HostCalls, r.Fuel, verdict)
		}
	})
	if err != nil || c.format == "json" || c.format == "yaml" {
		return err
	}
	for _, r := range list {
		if r.Comparison != nil && (all || !r.Comparison.Same()) {
			fmt.Fprintf(c.writer(), "\n%s\n", r.Invocation)
			c.showComparison(r.Comparison, all)
		}
	}
	return nil
}

// showComparison prints two tapes side by side: what was is behind "-", what is behind "+".
func (c *client) showComparison(cmp *tape.Comparison, all bool) {
	text := cmp.String()
	if all {
		text = cmp.All()
	}
	p := printer{c.writer(), colored(c.writer())}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		color := plain
		switch {
		case strings.HasPrefix(line, "- "):
			color = red
		case strings.HasPrefix(line, "+ "):
			color = green
		case !strings.HasPrefix(line, "  "):
			color = bold
		}
		fmt.Fprintln(p.w, p.paint(color, shorten(line)))
	}
}

// shorten keeps the beginning of a long line.
func shorten(line string) string {
	const most = 2000
	if len(line) <= most {
		return line
	}
	return strings.ToValidUTF8(line[:most], "") + fmt.Sprintf("… (%d bytes; -o json shows all)", len(line))
}

func runAndStep(cmd *cobra.Command, args []string) error {
	if len(args) == 2 {
		return nil
	}
	return exactly(1, "the id of a run, and the path of a step if only that is meant")(cmd, args)
}
