package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/incident"
)

func approvalCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "approval", Aliases: []string{"approvals"}, Short: "List and show what waits for people"}
	state := "pending"
	ls := &cobra.Command{Use: "ls", Short: "List approvals", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []api.ApprovalLine
		if err := c.get(cmd.Context(), "/approvals", url.Values{"state": {state}}, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "ID\tSTATE\tINCIDENT\tASKED\tTITLE")
			for _, a := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.ID, a.State, a.Incident, ago(a.Asked), a.Title)
			}
		})
	}}
	ls.Flags().StringVar(&state, "state", state, "pending, granted, denied, expired, cancelled or any")
	show := &cobra.Command{Use: "show ID", Short: "Show exactly what an approval covers", Args: exactly(1, "the id of an approval, such as APR-000001-1"), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := c.approval(cmd, args[0])
		if err != nil {
			return err
		}
		return c.show(a, func(w *tabwriter.Writer) { showApproval(w, a) })
	}}
	cmd.AddCommand(ls, show)
	return cmd
}

func (c *client) approval(cmd *cobra.Command, id string) (*incident.Approval, error) {
	var a incident.Approval
	err := c.get(cmd.Context(), "/approvals/"+url.PathEscape(id), nil, &a)
	return &a, err
}

func showApproval(w *tabwriter.Writer, a *incident.Approval) {
	fmt.Fprintf(w, "%s\t%s\n", a.ID, a.Title)
	fmt.Fprintf(w, "state\t%s %s %s\n", a.State, a.By, a.Note)
	fmt.Fprintf(w, "step\t%s of %s\n", a.Step, a.Run)
	for _, n := range a.Need {
		fmt.Fprintf(w, "asks\t%d of %s\n", n.Count, n.Group)
	}
	if a.Expires != nil {
		fmt.Fprintf(w, "expires\t%s\n", a.Expires.Local().Format("2006-01-02 15:04:05"))
	}
	var subject map[string]any
	if json.Unmarshal(a.Subject, &subject) == nil {
		text, _ := json.MarshalIndent(subject, "", "  ")
		fmt.Fprintf(w, "\nwhat will run (sha256 %s):\n%s\n", a.Digest, text)
	}
}

func approveCommand(c *client) *cobra.Command {
	return decideCommand(c, "approve", "grant", "Grant an approval")
}
func denyCommand(c *client) *cobra.Command {
	return decideCommand(c, "deny", "deny", "Deny an approval")
}

// decideCommand binds the decision to the digest of what the server shows at this moment, or to the one that the person names.
func decideCommand(c *client, word, decision, short string) *cobra.Command {
	var note, digest string
	cmd := &cobra.Command{Use: word + " ID", Short: short, Args: exactly(1, "the id of an approval; `riposte approval ls` lists them"), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := c.approval(cmd, args[0])
		if err != nil {
			return err
		}
		if digest == "" {
			digest = a.Digest
		}
		err = c.post(cmd.Context(), "/approvals/"+url.PathEscape(args[0]), map[string]string{"decision": decision, "digest": digest, "note": note}, nil)
		if err == nil {
			fmt.Fprintf(c.writer(), "%s %s: %s\n", args[0], map[string]string{"grant": "granted", "deny": "denied"}[decision], a.Title)
		}
		return err
	}}
	cmd.Flags().StringVarP(&note, "note", "m", "", "why, for the record")
	cmd.Flags().StringVar(&digest, "digest", "", "digest of what you were shown; the decision fails if anything of it has changed")
	return cmd
}

func containmentCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "containment", Aliases: []string{"containments"}, Short: "List what is contained, and release it"}
	var all bool
	ls := &cobra.Command{Use: "ls", Short: "List containments that stand", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []*incident.Containment
		if err := c.get(cmd.Context(), "/containments", url.Values{"all": {strconv.FormatBool(all)}, "limit": {"1000"}}, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "ID\tTARGETS\tSTATE\tEXPIRES\tBY")
			showContainments(w, list)
		})
	}}
	ls.Flags().BoolVarP(&all, "all", "a", false, "with those that were released")
	release := &cobra.Command{Use: "release ID", Short: "Undo a containment now", Args: exactly(1, "the id of a containment, such as CON-000001-1"), RunE: func(cmd *cobra.Command, args []string) error {
		return c.post(cmd.Context(), "/containments/"+url.PathEscape(args[0])+"/release", struct{}{}, nil)
	}}
	cmd.AddCommand(ls, release)
	return cmd
}
