package main

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/server"
	"github.com/riposte-soar/riposte/server/api"
)

func pluginCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Aliases: []string{"plugins"}, Short: "List and show the plugins of a server"}
	ls := &cobra.Command{Use: "ls", Short: "List the installed plugins", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []api.Plugin
		if err := c.get(cmd.Context(), "/plugins", nil, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "PLUGIN\tVERSION\tACTIONS\tCONNECTORS\tTITLE")
			for _, p := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Name, p.Version, strings.Join(p.Actions, ", "), strings.Join(p.Connectors, ", "), p.Title)
			}
		})
	}}
	show := &cobra.Command{Use: "show NAME", Short: "Show a plugin: what it does, what it asks for", Args: exactly(1, "the name of a plugin"), RunE: func(cmd *cobra.Command, args []string) error {
		var p api.PluginView
		if err := c.get(cmd.Context(), "/plugins/"+url.PathEscape(args[0]), nil, &p); err != nil {
			return err
		}
		return c.show(p, func(w *tabwriter.Writer) { showPlugin(w, &p) })
	}}
	var config server.Config
	compile := &cobra.Command{Use: "compile", Short: "Compile the plugins of this machine into the cache, so that the next start is quick", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return server.CompilePlugins(cmd.Context(), config, func(plugin string, took time.Duration) {
				fmt.Fprintf(c.writer(), "%-24s %s\n", plugin, took.Round(time.Millisecond))
			})
		}}
	compile.Flags().StringVar(&config.Cache, "cache", "", "folder of compiled modules (default in the user's cache)")
	compile.Flags().StringVar(&config.Plugins.Dir, "plugins", "", "folder of plugin packages beside the built-in ones")
	cmd.AddCommand(ls, show, compile)
	return cmd
}

func showPlugin(w *tabwriter.Writer, p *api.PluginView) {
	fmt.Fprintf(w, "%s %s\t%s\n", p.Name, p.Version, p.Title)
	fmt.Fprintf(w, "digest\t%s\n", p.Digest)
	fmt.Fprintf(w, "connectors\t%s\n\n%s\n", strings.Join(p.Connectors, ", "), p.Description)
	fmt.Fprintln(w, "\nACTION\tKIND\tEFFECT\tUSES\tTITLE")
	for _, name := range slices.Sorted(maps.Keys(p.Manifest.Actions)) {
		a := p.Manifest.Actions[name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, a.Kind, a.Effect, strings.Join(a.Uses, ", "), a.Title)
	}
	if len(p.Manifest.Requires) > 0 {
		fmt.Fprintln(w, "\nASKS FOR\tKIND\tWHERE\tREASON")
	}
	for _, r := range p.Manifest.Requires {
		where := r.URL + strings.Join(r.Addresses, " ") + r.Server
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.ID, r.Kind, where, r.Reason)
	}
}

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
