package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/incident"
)

func incidentCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "incident", Aliases: []string{"incidents", "inc"}, Short: "List, show and follow incidents"}
	var limit int
	var status string
	ls := &cobra.Command{Use: "ls", Short: "List incidents, newest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []incident.Head
		q := url.Values{"limit": {strconv.Itoa(limit)}}
		if status != "" {
			q.Set("status", status)
		}
		if err := c.get(cmd.Context(), "/incidents", q, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "ID\tSEVERITY\tSTATUS\tRUNS\tCONTAINED\tOPENED\tTITLE")
			for _, h := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", h.ID, h.Severity, h.Status, runWords(h), h.Containments, ago(h.Opened), h.Title)
			}
		})
	}}
	ls.Flags().IntVarP(&limit, "limit", "n", 50, "most entries")
	ls.Flags().StringVar(&status, "status", "", "open or closed")
	show := &cobra.Command{Use: "show ID", Short: "Show an incident", Args: exactly(1, "the id of an incident, such as INC-000001"), RunE: func(cmd *cobra.Command, args []string) error {
		var in incident.Incident
		if err := c.get(cmd.Context(), "/incidents/"+url.PathEscape(args[0]), nil, &in); err != nil {
			return err
		}
		return c.show(in, func(w *tabwriter.Writer) { showIncident(w, &in) })
	}}
	var once bool
	watch := &cobra.Command{Use: "watch ID", Short: "Follow an incident as it unfolds; ends when none of its runs goes on", Args: exactly(1, "the id of an incident"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.watch(cmd.Context(), args[0], once) }}
	watch.Flags().BoolVar(&once, "once", false, "print what is on record and end")
	comment := &cobra.Command{Use: "comment ID TEXT", Short: "Put a comment on record", Args: exactly(2, "the id of an incident and a text"), RunE: func(cmd *cobra.Command, args []string) error {
		return c.post(cmd.Context(), "/incidents/"+url.PathEscape(args[0])+"/comments", map[string]string{"text": args[1]}, nil)
	}}
	closing := &cobra.Command{Use: "close ID", Short: "Close an incident", Args: exactly(1, "the id of an incident"), RunE: func(cmd *cobra.Command, args []string) error {
		return c.do(cmd.Context(), "PATCH", "/incidents/"+url.PathEscape(args[0]), "application/json", []byte(`{"status":"closed"}`), nil)
	}}
	cmd.AddCommand(ls, show, watch, comment, closing)
	return cmd
}

func runWords(h incident.Head) string {
	var words []string
	for _, r := range h.Runs {
		words = append(words, string(r.Status))
	}
	words = slices.Compact(words)
	if h.InDoubt > 0 {
		words = append(words, fmt.Sprintf("%d in doubt", h.InDoubt))
	}
	return strings.Join(words, ",")
}

func showIncident(w *tabwriter.Writer, in *incident.Incident) {
	fmt.Fprintf(w, "%s\t%s\n", in.ID, in.Title)
	fmt.Fprintf(w, "type\t%s\n", in.Type)
	fmt.Fprintf(w, "category\t%s\n", in.Category)
	fmt.Fprintf(w, "severity\t%s\n", in.Severity)
	fmt.Fprintf(w, "queue\t%s\n", in.Queue)
	fmt.Fprintf(w, "status\t%s\n", in.Status)
	fmt.Fprintf(w, "opened\t%s by rule %s\n", in.OpenedAt.Local().Format(time.DateTime), in.Rule)
	fmt.Fprintf(w, "alarms\t%d\n", in.Joined)
	fmt.Fprintln(w, "\nARTIFACT\tVALUE\tVERDICT\tSOURCE")
	for _, a := range in.Artifacts {
		name := a.Kind
		if a.Name != "" {
			name = a.Name + " (" + a.Kind + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, a.Value, strings.TrimSpace(a.Verdict+" "+a.Note), a.Source)
	}
	fmt.Fprintln(w, "\nRUN\tRUNBOOK\tSTATUS\tSTARTED\tFAULT")
	for _, r := range in.Runs {
		fmt.Fprintf(w, "%s\t%s@%d\t%s\t%s\t%s\n", r.ID, r.Runbook, r.Version, r.Status, ago(r.StartedAt), faultText(r.Fault))
	}
	if len(in.Containments) > 0 {
		fmt.Fprintln(w, "\nCONTAINMENT\tTARGETS\tSTATE\tEXPIRES\tBY")
		showContainments(w, in.Containments)
	}
	if len(in.Approvals) > 0 {
		fmt.Fprintln(w, "\nAPPROVAL\tSTATE\tSTEP\tTITLE")
		for _, a := range in.Approvals {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.ID, a.State, a.Step, a.Title)
		}
	}
	for _, f := range in.Findings {
		fmt.Fprintf(w, "\nfinding\t%s\t%s\n", f.Text, f.Source)
	}
}

func showContainments(w *tabwriter.Writer, list []*incident.Containment) {
	for _, c := range list {
		expires := "never"
		if c.Expires != nil {
			expires = c.Expires.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s/%s via %s\n", c.ID, strings.Join(c.Targets, ", "), c.State, expires, c.Plugin, c.Action, c.Connector)
	}
}

func faultText(f *abi.Fault) string {
	if f == nil {
		return ""
	}
	return f.Error()
}

// watch prints the timeline of an incident, and goes on until none of its runs does.
func (c *client) watch(ctx context.Context, id string, once bool) error {
	p := printer{w: c.writer(), color: colored(c.writer())}
	var after uint64
	open := map[string]bool{}
	for {
		var list []api.Entry
		q := url.Values{"after": {strconv.FormatUint(after, 10)}}
		if !once && after > 0 {
			q.Set("wait", "30")
		}
		if err := c.get(ctx, "/incidents/"+url.PathEscape(id)+"/timeline", q, &list); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if len(list) == 0 && after == 0 {
			return &abi.Fault{Kind: abi.NotFound, Message: "there is no incident " + id, Hint: "riposte incident ls"}
		}
		for i := range list {
			e := &list[i]
			after = e.Seq
			switch e.Kind {
			case incident.FactRunStarted:
				open[e.Run] = true
			case incident.FactRunFinished:
				delete(open, e.Run)
			}
			if err := c.entry(p, e); err != nil {
				return err
			}
		}
		if once || len(open) == 0 {
			return nil
		}
	}
}

// entry prints one line of a timeline.
func (c *client) entry(p printer, e *api.Entry) error {
	if c.json || c.format == "json" {
		return jsonLine(c.writer(), e)
	}
	p.fact(e.Fact, e.Text)
	return nil
}

func runCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "run", Aliases: []string{"runs"}, Short: "List, show, start and cancel runs"}
	var limit int
	var status string
	ls := &cobra.Command{Use: "ls", Short: "List runs, newest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []api.RunLine
		if err := c.get(cmd.Context(), "/runs", url.Values{"limit": {strconv.Itoa(limit)}, "status": {status}}, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "ID\tRUNBOOK\tSTATUS\tINCIDENT\tOPENED\tTITLE")
			for _, r := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Runbook, r.Status, r.Incident, ago(r.Opened), r.Title)
			}
		})
	}}
	ls.Flags().IntVarP(&limit, "limit", "n", 50, "most entries")
	ls.Flags().StringVar(&status, "status", "", "only runs of this status")
	show := &cobra.Command{Use: "show ID", Short: "Show a run with its steps", Args: exactly(1, "the id of a run, such as RUN-000001-1"), RunE: func(cmd *cobra.Command, args []string) error {
		var run api.RunView
		if err := c.get(cmd.Context(), "/runs/"+url.PathEscape(args[0]), nil, &run); err != nil {
			return err
		}
		return c.show(run, func(w *tabwriter.Writer) { showRun(w, &run) })
	}}
	cancel := &cobra.Command{Use: "cancel ID", Short: "End a run", Args: exactly(1, "the id of a run"), RunE: func(cmd *cobra.Command, args []string) error {
		return c.post(cmd.Context(), "/runs/"+url.PathEscape(args[0])+"/cancel", struct{}{}, nil)
	}}
	inputs := map[string]string{}
	start := &cobra.Command{Use: "start INCIDENT RUNBOOK", Short: "Start a runbook on an incident", Args: exactly(2, "the id of an incident and that of a runbook"), RunE: func(cmd *cobra.Command, args []string) error {
		var done api.Done
		err := c.post(cmd.Context(), "/incidents/"+url.PathEscape(args[0])+"/runs", map[string]any{"runbook": args[1], "inputs": inputs}, &done)
		if err == nil {
			fmt.Fprintln(c.writer(), done.ID)
		}
		return err
	}}
	start.Flags().StringToStringVarP(&inputs, "input", "i", nil, "inputs, as name=value")
	cmd.AddCommand(ls, show, start, cancel, settleCommand(c), replayCommand(c))
	return cmd
}

func settleCommand(c *client) *cobra.Command {
	var note string
	cmd := &cobra.Command{Use: "settle RUN STEP happened|not-happened|again", Short: "Say whether something in doubt has happened",
		Long: "A step waits for a person when an effect that must not be repeated may or may not have come about: the server died, or the answer was lost, in the\nmiddle of it. Look at the target first. With happened the step has succeeded, with not-happened it has failed, with again it is tried once more.",
		Args: exactly(3, "the id of a run, the path of a step, and happened, not-happened or again"), RunE: func(cmd *cobra.Command, args []string) error {
			return c.post(cmd.Context(), "/runs/"+url.PathEscape(args[0])+"/settle", map[string]string{"step": args[1], "answer": args[2], "note": note}, nil)
		}}
	cmd.Flags().StringVarP(&note, "note", "m", "", "why, for the record")
	return cmd
}

func showRun(w *tabwriter.Writer, r *api.RunView) {
	fmt.Fprintf(w, "%s\t%s@%d %s\n", r.ID, r.Runbook, r.Version, r.Title)
	fmt.Fprintf(w, "status\t%s %s\n", r.Status, faultText(r.Fault))
	fmt.Fprintf(w, "incident\t%s\n", r.Incident)
	fmt.Fprintf(w, "started\t%s\n", r.StartedAt.Local().Format(time.DateTime))
	if r.EndedAt != nil {
		fmt.Fprintf(w, "took\t%s\n", r.EndedAt.Sub(r.StartedAt).Round(time.Millisecond))
	}
	fmt.Fprintln(w, "\nSTEP\tKIND\tSTATUS\tTOOK\tATTEMPTS\tNOTE")
	for _, s := range r.Steps {
		took, kind, note := "", s.Kind, s.Note
		if s.EndedAt != nil {
			took = s.EndedAt.Sub(s.StartedAt).Round(time.Millisecond).String()
		}
		if s.Action != nil {
			kind = s.Action.Plugin + "/" + s.Action.Action
		}
		if s.Fault != nil {
			note = s.Fault.Error()
		}
		if s.Chosen != "" {
			note = "→ " + s.Chosen + " " + note
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", s.Path, kind, s.Status, took, s.Attempts, note)
	}
}

// exactly asks for n arguments, in words.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{errors.New(cmd.CommandPath() + " takes " + what + "\nsee `" + cmd.CommandPath() + " --help`")}
		}
		return nil
	}
}
