package main

import (
	"bufio"
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
		value, err := readSecret(cmd.InOrStdin(), cmd.ErrOrStderr())
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

// readSecret reads one line; on a terminal it is not shown.
func readSecret(in io.Reader, prompt io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(prompt, "secret: ")
		text, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
		return string(text), err
	}
	text, err := bufio.NewReader(io.LimitReader(in, 1<<20)).ReadString('\n')
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = usageError{errors.New("there is no secret on standard input")}
		}
		return "", err
	}
	return text, nil
}
