package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/riposte-soar/riposte/host/secret"
)

// secretCommand works on the encrypted store of a data folder, without a server: what it holds is never sent anywhere.
func secretCommand(c *client) *cobra.Command {
	cmd := &cobra.Command{Use: "secret", Aliases: []string{"secrets"}, Short: "Keep secrets for connectors, encrypted, in the data folder",
		Long: "Keep secrets for connectors, encrypted, in the data folder. A connector refers to one as {secret: \"store:NAME\"};\nsecrets of the environment are \"env:NAME\", those of files \"file:PATH\"."}
	var data string
	cmd.PersistentFlags().StringVar(&data, "data", "data", "folder of the store, as for riposte serve")
	vault := func() (*secret.Store, error) {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		return secret.OpenStore(filepath.Join(data, "secrets"), filepath.Join(data, "secrets.key"), time.Now)
	}
	put := &cobra.Command{Use: "put NAME", Short: "Keep a secret, read from standard input", Args: exactly(1, "a name"), RunE: func(cmd *cobra.Command, args []string) error {
		value, err := readSecret(cmd, "secret")
		if err != nil {
			return err
		}
		v, err := vault()
		if err != nil {
			return err
		}
		version, err := v.Put(args[0], value)
		if err == nil {
			fmt.Fprintf(c.writer(), "store:%s is kept, version %d\n", args[0], version)
		}
		return err
	}}
	ls := &cobra.Command{Use: "ls", Short: "List the names of secrets", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		v, err := vault()
		if err != nil {
			return err
		}
		names := v.List()
		return c.show(names, func(w *tabwriter.Writer) {
			for _, name := range names {
				fmt.Fprintf(w, "store:%s\t%d version(s)\n", name, len(v.Versions(name)))
			}
		})
	}}
	rm := &cobra.Command{Use: "rm NAME", Short: "Forget a secret with all its versions", Args: exactly(1, "a name"), RunE: func(_ *cobra.Command, args []string) error {
		v, err := vault()
		if err != nil {
			return err
		}
		return v.Delete(args[0])
	}}
	cmd.AddCommand(put, ls, rm)
	return cmd
}

// readSecret reads one line, which is what it is asked for as: from a terminal, which does not show it, or from standard input.
func readSecret(cmd *cobra.Command, what string) (string, error) {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		before, err := term.GetState(int(f.Fd()))
		if err != nil {
			return "", err
		}
		fmt.Fprint(cmd.ErrOrStderr(), what, ": ")
		defer fmt.Fprintln(cmd.ErrOrStderr())
		defer func() { _ = term.Restore(int(f.Fd()), before) }() // if nobody waited for the line
		return await(cmd.Context(), func() (string, error) {
			text, err := term.ReadPassword(int(f.Fd()))
			return string(text), err
		})
	}
	text, err := await(cmd.Context(), func() (string, error) { return bufio.NewReader(io.LimitReader(in, 1<<20)).ReadString('\n') })
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = usageError{fmt.Errorf("there is no %s: type it on a terminal, or give it as the one line of standard input", what)}
		}
		return "", err
	}
	return text, nil
}

// await gives the line that somebody types, or ends with ctx: to read a terminal is not interrupted by a signal.
func await(ctx context.Context, read func() (string, error)) (line string, err error) {
	done := make(chan struct{})
	var text string
	var failed error
	go func() {
		text, failed = read()
		close(done)
	}()
	select {
	case <-done:
		return text, failed
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
