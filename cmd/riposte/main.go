// Command riposte is the one program: server, demo, and the client of both.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
)

func main() {
	host.WorkerMain() // where this program was started by itself as one
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // a server beside others: a third less memory for a little more work, by testing/bench
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes a command line and gives its exit code.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || abi.AsFault(err).Kind == abi.Cancelled) {
		err = errInterrupted
	}
	flags := root.PersistentFlags()
	asJSON, _ := flags.GetBool("json")
	return complain(os.Stderr, err, asJSON || flags.Lookup("output").Value.String() == "json")
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "riposte",
		Short: "Riposte turns an alarm into a contained incident",
		Long: "Riposte takes alarms, opens incidents, runs runbooks whose actions are sandboxed WebAssembly modules, asks people where a policy\n" +
			"says so, contains, verifies, releases, and keeps everything on record.\n\nBegin with `riposte demo`.",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nsee `%s --help`", err, c.CommandPath())}
	})
	c := &client{}
	flags := root.PersistentFlags()
	flags.StringVar(&c.server, "server", env("RIPOSTE_SERVER", "http://127.0.0.1:8080"), "address of the server's API ($RIPOSTE_SERVER)")
	flags.StringVar(&c.token, "token", os.Getenv("RIPOSTE_TOKEN"), "API token, or @FILE that holds it ($RIPOSTE_TOKEN)")
	flags.StringVar(&c.user, "as", env("RIPOSTE_USER", os.Getenv("USER")), "your name, for the record ($RIPOSTE_USER)")
	flags.VarP(&c.format, "output", "o", "table, json or yaml")
	flags.BoolVar(&c.json, "json", false, "the same as -o json")
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run Riposte:"}, &cobra.Group{ID: "work", Title: "Work with it:"}, &cobra.Group{ID: "look", Title: "See what is there:"})
	for group, list := range map[string][]*cobra.Command{
		"run":  {serveCommand(), demoCommand(), checkCommand(), secretCommand(c)},
		"work": {alarmCommand(c), incidentCommand(c), runCommand(c), approveCommand(c), denyCommand(c), approvalCommand(c), containmentCommand(c)},
		"look": {pluginCommand(c), connectorCommand(c), runbookCommand(c), tapeCommand(c)},
	} {
		for _, cmd := range list {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	strict(root)
	return root
}

// strict makes every wrong word of a command line a usageError; the name of a command that is not there is one.
func strict(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
	check := cmd.Args
	if !cmd.Runnable() {
		check = noCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil || errors.As(err, new(usageError)) {
			return err
		}
		return usageError{fmt.Errorf("%w\nsee `%s --help`", err, cmd.CommandPath())}
	}
}

// noCommand says that a group of commands has none of this name.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(append(names, sub.Name()), sub.Aliases...)
	}
	near := ""
	if name := schemas.Nearest(args[0], names); name != "" {
		near = fmt.Sprintf(" (did you mean %q?)", name)
	}
	return fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], near)
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
