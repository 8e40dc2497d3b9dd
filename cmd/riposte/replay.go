package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/server/engine"
)

func replayCommand(c *client) *cobra.Command {
	return &cobra.Command{Use: "replay RUN [STEP]", Short: "Execute the plugins of a run again from their tapes, and compare", Args: runAndStep,
		Long: "Each invocation of the run is executed again offline: what it asked the host for is answered from its tape, nothing else. Output and number of\ninstructions must be those that the journal recorded; otherwise the command ends with code 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var step string
			if len(args) > 1 {
				step = args[1]
			}
			var list []engine.Replayed
			if err := c.post(cmd.Context(), "/runs/"+url.PathEscape(args[0])+"/replay", map[string]string{"step": step}, &list); err != nil {
				return err
			}
			diverged := 0
			err := c.show(list, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "INVOCATION\tACTION\tCALLS\tINSTRUCTIONS\tREPLAY")
				for _, r := range list {
					verdict := "same bytes"
					if r.Verdict != engine.Same {
						verdict = strings.ToUpper(string(r.Verdict)) + ": " + faultText(r.Fault)
					}
					fmt.Fprintf(w, "%s\t%s/%s\t%d\t%d\t%s\n", r.Invocation, r.Plugin, r.Action, r.HostCalls, r.Fuel, verdict)
				}
			})
			for _, r := range list {
				if r.Verdict == engine.Diverged {
					diverged++
				}
			}
			if err == nil && diverged > 0 {
				return fmt.Errorf("%d of %d invocations diverged", diverged, len(list))
			}
			return err
		}}
}

func runAndStep(cmd *cobra.Command, args []string) error {
	if len(args) == 2 {
		return nil
	}
	return exactly(1, "the id of a run, and the path of a step if only that is meant")(cmd, args)
}
