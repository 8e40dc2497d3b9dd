package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/intake"
)

func alarmCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "alarm", Aliases: []string{"alarms"}, Short: "Send, list, show and explain alarms"}
	cmd.AddCommand(alarmSend(c), alarmList(c), alarmShow(c), alarmRedrive(c), alarmExplain(c))
	return cmd
}

func alarmSend(c *client) *cobra.Command {
	return &cobra.Command{Use: "send FILE|-", Short: "Send alarms: CEF or LEEF lines, JSON, or NDJSON; ends when they are on disk",
		Example: "  riposte alarm send alarm.cef\n  tail -f alarms.ndjson | riposte alarm send -", Args: exactly(1, "a file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := open(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			total := api.Accepted{UIDs: []string{}}
			err = inBatches(in, func(batch []byte) error {
				var done api.Accepted
				if err := c.do(cmd.Context(), "POST", "/alarms", contentType(batch), batch, &done); err != nil {
					return err
				}
				total.Accepted += done.Accepted
				total.Unparsed += done.Unparsed
				total.UIDs = append(total.UIDs, done.UIDs...)
				return nil
			})
			if shown := c.show(total, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "%d alarms stored", total.Accepted)
				if total.Unparsed > 0 {
					fmt.Fprintf(w, ", %d of them could not be parsed: riposte alarm ls --state unparsed", total.Unparsed)
				}
				fmt.Fprintln(w)
			}); err == nil {
				err = shown
			}
			return err
		}}
}

func open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(name)
}

// inBatches gives the lines of a stream in pieces that the API takes, as they come; a JSON document that spans lines is one piece.
func inBatches(in io.Reader, send func([]byte) error) error {
	const most = 4 << 20
	r := bufio.NewReaderSize(in, 1<<20)
	if first, err := r.Peek(1); err == nil && (first[0] == '[' || first[0] == '{') {
		if head, _ := r.Peek(1 << 16); !json.Valid(firstLine(head)) {
			all, err := io.ReadAll(io.LimitReader(r, api.MaxBody+1))
			if err != nil {
				return err
			}
			return send(all)
		}
	}
	var batch []byte
	for {
		line, err := r.ReadBytes('\n')
		batch = append(batch, line...)
		if len(bytes.TrimSpace(batch)) > 0 && (err != nil || len(batch) >= most || r.Buffered() == 0) {
			if err := send(batch); err != nil {
				return err
			}
			batch = nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func firstLine(b []byte) []byte {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return line
}

func contentType(batch []byte) string {
	text := bytes.TrimSpace(batch)
	switch {
	case len(text) > 0 && text[0] == '[':
		return "application/json"
	case len(text) > 0 && text[0] == '{' && json.Valid(text):
		return "application/json"
	case len(text) > 0 && text[0] == '{':
		return "application/x-ndjson"
	}
	return "text/plain"
}

func alarmList(c *client) *cobra.Command {
	var limit int
	var state string
	cmd := &cobra.Command{Use: "ls", Short: "List alarms, newest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []engine.AlarmRecord
		q := url.Values{"limit": {strconv.Itoa(limit)}}
		if state != "" {
			q.Set("state", state)
		}
		if err := c.get(cmd.Context(), "/alarms", q, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "UID\tRECEIVED\tFORMAT\tSTATE\tINCIDENTS\tTEXT")
			for _, r := range list {
				text := orDash(r.Alarm.Parse.Error)
				if r.Alarm.Parse.Error == "" {
					text = clip(r.Alarm.Raw)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Alarm.UID, ago(r.Alarm.Received), r.Alarm.Parse.Format, r.State, strings.Join(r.Incidents, ","), text)
			}
		})
	}}
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "most entries")
	cmd.Flags().StringVar(&state, "state", "", "unparsed, unmatched, waiting or matched")
	return cmd
}

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 80 {
		return string(r[:79]) + "…"
	}
	return s
}

func alarmShow(c *client) *cobra.Command {
	return &cobra.Command{Use: "show UID", Short: "Show an alarm as it arrived and as it was understood", Args: exactly(1, "the uid of an alarm"), RunE: func(cmd *cobra.Command, args []string) error {
		var r engine.AlarmRecord
		if err := c.get(cmd.Context(), "/alarms/"+url.PathEscape(args[0]), nil, &r); err != nil {
			return err
		}
		if c.format == "" {
			c.format = "yaml"
		}
		return c.show(r, nil)
	}}
}

func alarmRedrive(c *client) *cobra.Command {
	return &cobra.Command{Use: "redrive UID", Short: "Parse an unparsed alarm again, and take it in", Args: exactly(1, "the uid of an unparsed alarm"), RunE: func(cmd *cobra.Command, args []string) error {
		var r engine.AlarmRecord
		if err := c.post(cmd.Context(), "/alarms/"+url.PathEscape(args[0])+"/redrive", struct{}{}, &r); err != nil {
			return err
		}
		return c.show(r, func(w *tabwriter.Writer) {
			fmt.Fprintf(w, "%s is %s %s\n", r.Alarm.UID, r.State, strings.Join(r.Incidents, ","))
		})
	}}
}

func alarmExplain(c *client) *cobra.Command {
	var offline bool
	cmd := &cobra.Command{Use: "explain FILE|-", Short: "Say how each line is understood, and which rules match; nothing is taken in", Args: exactly(1, "a file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := open(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			data, err := io.ReadAll(io.LimitReader(in, api.MaxBody))
			if err != nil {
				return err
			}
			var list []api.Explanation
			if offline {
				for _, e := range intake.Explain(time.Now(), data) {
					list = append(list, api.Explanation{Line: e.Line, Alarm: e.Alarm})
				}
			} else if err := c.do(cmd.Context(), "POST", "/alarms/explain", "application/octet-stream", data, &list); err != nil {
				return err
			}
			return c.show(list, func(w *tabwriter.Writer) { showExplanations(w, list) })
		}}
	cmd.Flags().BoolVar(&offline, "offline", false, "without a server: fields and warnings only, no rules")
	return cmd
}

func showExplanations(w *tabwriter.Writer, list []api.Explanation) {
	for _, e := range list {
		a := e.Alarm
		fmt.Fprintf(w, "line %d\t%s, severity %s (%d)\n", e.Line, a.Parse.Format, a.Severity.Name, a.Severity.Score)
		if a.Parse.Error != "" {
			fmt.Fprintf(w, "  not understood\t%s\n", a.Parse.Error)
		}
		for _, warning := range a.Parse.Warnings {
			fmt.Fprintf(w, "  warning\t%s\n", warning)
		}
		flat := map[string]string{}
		flatten("", a.Fields(), flat)
		for _, name := range sortedKeys(flat) {
			fmt.Fprintf(w, "  %s\t%s\n", name, flat[name])
		}
		for _, r := range e.Rules {
			fmt.Fprintf(w, "  matches %s\ttemplate %s, runbook %s: %s\n", r.Rule, r.Template, orDash(r.Runbook), r.Title)
		}
		for _, p := range e.Problems {
			fmt.Fprintf(w, "  rule problem\t%s\n", p)
		}
	}
}
