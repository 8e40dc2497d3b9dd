package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/server"
	"github.com/riposte-soar/riposte/server/api"
)

func pluginCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Aliases: []string{"plugins"}, Short: "Make, sign, install and look at plugins"}
	ls := &cobra.Command{Use: "ls", Short: "List the installed plugins", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		var list []api.Plugin
		if err := c.get(cmd.Context(), "/plugins", nil, &list); err != nil {
			return err
		}
		return c.show(list, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "PLUGIN\tVERSION\tRUNS IN\tACTIONS\tCONNECTORS\tTITLE")
			for _, p := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Version, runsIn(p), strings.Join(p.Actions, ", "), strings.Join(p.Connectors, ", "), p.Title)
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
	for _, group := range []struct {
		title string
		list  []*cobra.Command
	}{
		{"Write one:", []*cobra.Command{newCommand(c), buildCommand(c), testCommand(c), runLiveCommand(c), recordCommand(c), learnCommand(c), benchCommand(c)}},
		{"Hand it over:", []*cobra.Command{packCommand(c), inspectCommand(c), engineCommand(c), keygenCommand(c), signCommand(c), pushCommand(c), pullCommand(c)}},
		{"Run it in a server:", []*cobra.Command{verifyCommand(c), installCommand(c), grantCommand(c), removeCommand(c), compileCommand(c), ls, show}},
	} {
		cmd.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, sub := range group.list {
			sub.GroupID = group.title
			cmd.AddCommand(sub)
		}
	}
	completePlugin(cmd)
	return cmd
}

func compileCommand(c *client) *cobra.Command {
	var site site
	cmd := &cobra.Command{Use: "compile", Short: "Compile the plugins of this machine into the cache, so that the next start is quick", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := site.read(cmd); err != nil {
				return err
			}
			return server.CompilePlugins(cmd.Context(), site.Options, func(plugin string, took time.Duration) {
				fmt.Fprintf(c.writer(), "%-24s %s\n", plugin, took.Round(time.Millisecond))
			})
		}}
	site.flags(cmd)
	cmd.Flags().StringVar(&site.Cache, "cache", "", "folder of compiled modules (default in the user's cache)")
	return cmd
}

// site is the configuration of the server on this machine that a command works for.
type site struct {
	server.Options
	config string
}

func (s *site) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.Content, "content", ".", "folder of the content, with trust.yaml and riposte.lock")
	cmd.Flags().StringVar(&s.config, "config", "", "configuration (default CONTENT/riposte.yaml, if it is there)")
	cmd.Flags().StringVar(&s.Plugins.Dir, "plugins", "", "folder of plugin packages (default CONTENT/plugins)")
}

func (s *site) read(cmd *cobra.Command) error {
	if info, err := os.Stat(s.Content); err != nil || !info.IsDir() {
		return inFile(s.Content, cmp.Or(err, error(syscall.ENOTDIR)), "the folder of the content, which --content names")
	}
	return configure(cmd, &s.Options, s.config, "")
}

// runsIn says where the actions of a plugin run.
func runsIn(p api.Plugin) string {
	if p.Isolated {
		return "own process"
	}
	return "server"
}

func showPlugin(w *tabwriter.Writer, p *api.PluginView) {
	fmt.Fprintf(w, "%s %s\t%s\n", p.Name, p.Version, p.Title)
	fmt.Fprintf(w, "digest\t%s\nruns in\t%s\n", p.Digest, runsIn(p.Plugin))
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
