package main

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/server/api"
)

func connectorCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "connector", Aliases: []string{"connectors"}, Short: "List and show the connectors of a server"}
	ls := &cobra.Command{Use: "ls", Short: "List the connectors", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []api.Connector
		if err := c.get(cmd.Context(), "/connectors", nil, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "CONNECTOR\tPLUGIN\tGRANT\tTITLE")
			for _, k := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, k.Plugin, strings.Join(slices.Sorted(maps.Keys(k.Grant)), ", "), k.Title)
			}
		})
	}}
	show := &cobra.Command{Use: "show ID", Short: "Show a connector", Args: exactly(1, "the id of a connector"), RunE: func(cmd *cobra.Command, args []string) error {
		var k api.Connector
		if err := c.get(cmd.Context(), "/connectors/"+url.PathEscape(args[0]), nil, &k); err != nil {
			return err
		}
		return c.show(k, func(w *tabwriter.Writer) {
			fmt.Fprintf(w, "%s\t%s\nplugin\t%s\ndigest\t%s\ngrant\t%s\nsettings\t%s\n", k.ID, k.Title, k.Plugin, k.Digest, strings.Join(slices.Sorted(maps.Keys(k.Grant)), ", "), k.Settings)
		})
	}}
	cmd.AddCommand(ls, show)
	return cmd
}

func runbookCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "runbook", Aliases: []string{"runbooks"}, Short: "List the runbooks of a server"}
	ls := &cobra.Command{Use: "ls", Short: "List the runbooks", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []api.Runbook
		if err := c.get(cmd.Context(), "/runbooks", nil, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "RUNBOOK\tVERSION\tDIGEST\tTITLE")
			for _, b := range list {
				fmt.Fprintf(w, "%s\t%d\t%.12s\t%s\n", b.ID, b.Version, b.Digest, b.Title)
			}
		})
	}}
	cmd.AddCommand(ls)
	return cmd
}
