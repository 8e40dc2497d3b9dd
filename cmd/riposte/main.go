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
	"github.com/riposte-soar/riposte/server/document"
)

// Exit codes.
const (
	exitFailed = 1 // the server, or the thing asked for, failed
	exitUsage  = 2 // the command line, a file or the content is wrong
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
	var problems document.Problems
	var fault *abi.Fault
	stderr := calmWriter{os.Stderr}
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		fmt.Fprintln(stderr, "riposte: interrupted")
		return exitFailed
	case errors.As(err, &problems):
		for _, p := range problems {
			fmt.Fprintln(stderr, p.String())
		}
		fmt.Fprintf(stderr, "%d problem(s)\n", len(problems))
		return exitUsage
	case errors.As(err, &fault):
		fmt.Fprintln(stderr, "riposte:", err)
		if fault.Kind == abi.Invalid {
			return exitUsage
		}
		return exitFailed
	case errors.As(err, new(usageError)):
		fmt.Fprintln(stderr, "riposte:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, "riposte:", err)
	return exitFailed
}

// usageError is a mistake on the command line.
type usageError struct{ error }

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
	near := ""
	cmd.SuggestionsMinimumDistance = 2
	if list := cmd.SuggestionsFor(args[0]); len(list) > 0 {
		near = fmt.Sprintf(" (did you mean %q?)", list[0])
	}
	return fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], near)
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
