package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/api"
)

func tapeCommand(c *client) *cobra.Command {
	return &cobra.Command{Use: "tape INVOCATION [OTHER]", Short: "Show what an invocation asked of the host, and what it was answered", Args: oneOrTwoInvocations,
		Long: "With a second invocation, show where the two tapes differ, call by call: what the first has is behind \"-\", what the second has behind \"+\".",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return c.compareTapes(cmd, args[0], args[1])
			}
			var list []tape.Entry
			if err := c.get(cmd.Context(), "/tapes/"+url.PathEscape(args[0]), nil, &list); err != nil {
				return err
			}
			return c.show(list, func(w *tabwriter.Writer) { showTape(w, list) })
		}}
}

func oneOrTwoInvocations(cmd *cobra.Command, args []string) error {
	if len(args) == 2 {
		return nil
	}
	return exactly(1, "an invocation, such as RUN-000001-1:first/block#1, or two; riposte run show -o json names them")(cmd, args)
}

func showTape(w *tabwriter.Writer, list []tape.Entry) {
	fmt.Fprintln(w, "SEQ\tKIND\tCALL\tEFFECT\tTOOK\tKEY")
	for _, e := range list {
		switch {
		case e.Call != nil:
			fmt.Fprintf(w, "%d\t%s\t%s %s\t%s\t\t%s\n", e.Seq, e.Kind, e.Call.Function, e.Call.Summary, e.Call.Effect, e.Call.Key)
		case e.Outcome != nil:
			fmt.Fprintf(w, "\t%s\t%s\t\t\t\n", e.Kind, outcomeText(e.Outcome))
		case e.Header == nil:
			fmt.Fprintf(w, "%d\t%s\t\t\t%s\t\n", e.Seq, e.Kind, e.Duration.Round(1000))
		}
	}
}

func outcomeText(o *tape.Outcome) string {
	text := o.Output
	if o.Fault != nil {
		text = fmt.Sprintf("%s: %s", o.Fault.Kind, o.Fault.Message)
	}
	return fmt.Sprintf("%s after %d instructions", text, o.Fuel)
}

// compareTapes shows where two tapes differ. It ends with an error if they do.
func (c *client) compareTapes(cmd *cobra.Command, one, other string) error {
	was, err := c.tape(cmd, one)
	if err != nil {
		return err
	}
	is, err := c.tape(cmd, other)
	if err != nil {
		return err
	}
	found := tape.Compare(was, is)
	if c.json || c.format == "json" || c.format == "yaml" {
		err = c.show(found, nil)
	} else {
		c.showComparison(&found, false)
	}
	if err == nil && !found.Same() {
		return fmt.Errorf("%s and %s differ: %s", one, other, found.Differences())
	}
	return err
}

// tape fetches a tape with its large bodies, and checks it.
func (c *client) tape(cmd *cobra.Command, invocation string) ([]tape.Entry, error) {
	var file api.TapeFile
	if err := c.get(cmd.Context(), "/tapes/"+url.PathEscape(invocation)+"/file", nil, &file); err != nil {
		return nil, err
	}
	return tape.Parse(strings.NewReader(file.Lines), func(digest string) ([]byte, error) {
		if content, ok := file.Blobs[digest]; ok {
			return content, nil
		}
		return nil, abi.NewFault(abi.NotFound, "the tape lacks the blob "+digest, "")
	})
}
