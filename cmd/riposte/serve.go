package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/server"
)

func serveCommand() *cobra.Command {
	var o server.Options
	var config, syslog string
	var verbose bool
	cmd := &cobra.Command{Use: "serve", Short: "Run the server", Args: cobra.NoArgs,
		Long: "Run the server with a folder of content: rules/ templates/ runbooks/ connectors/ lists/ and riposte.yaml.\nThe API token is made at the first start and kept in DATA/token.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := configure(cmd, &o, config, syslog); err != nil {
				return err
			}
			o.Log = newLog(os.Stderr, verbose)
			return serve(cmd.Context(), cmd.OutOrStdout(), o)
		}}
	f := cmd.Flags()
	f.StringVar(&o.Content, "content", ".", "folder of the content")
	f.StringVar(&config, "config", "", "configuration (default CONTENT/riposte.yaml, if it is there)")
	f.StringVar(&o.Data, "data", "", "folder of the store, ours alone (default ./data)")
	f.StringVar(&o.Listen, "listen", "", "address of the API (default 127.0.0.1:8080)")
	f.StringVar(&syslog, "syslog", "", "address for syslog by UDP and TCP, such as 0.0.0.0:5514")
	f.StringVar(&o.Cache, "cache", "", "folder of compiled modules (default in the user's cache)")
	f.StringVar(&o.Plugins.Dir, "plugins", "", "folder of plugin packages beside the built-in ones")
	f.BoolVar(&o.AcceptLoss, "accept-loss", false, "start although acknowledged data is missing from the store")
	f.BoolVarP(&verbose, "verbose", "v", false, "log details")
	return cmd
}

// configure reads the configuration file and lets the flags that were given win over it.
func configure(cmd *cobra.Command, o *server.Options, config, syslog string) error {
	given := o.Config
	o.Worker = host.Self()
	if config == "" {
		if guess := filepath.Join(o.Content, "riposte.yaml"); exists(guess) {
			config = guess
		}
	}
	if config != "" {
		c, err := server.LoadConfig(config)
		if err != nil {
			return err
		}
		o.Config = c
	}
	for _, flag := range []struct {
		to            *string
		value, backup string
	}{
		{&o.Data, given.Data, "data"}, {&o.Listen, given.Listen, "127.0.0.1:8080"}, {&o.Cache, given.Cache, ""}, {&o.Plugins.Dir, given.Plugins.Dir, ""},
		{&o.Syslog.UDP, syslog, ""}, {&o.Syslog.TCP, syslog, ""},
	} {
		if flag.value != "" {
			*flag.to = flag.value
		}
		if *flag.to == "" {
			*flag.to = flag.backup
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// serve runs until ctx ends.
func serve(ctx context.Context, out io.Writer, o server.Options) error {
	o.Progress = func(plugin string, took time.Duration) {
		if took > time.Second {
			o.Log.Info("compiled", "plugin", plugin, "took", took.Round(time.Millisecond))
		}
	}
	s, err := server.New(o)
	if err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return firstOf(err, s.Stop())
	}
	udp, tcp := s.SyslogAddrs()
	fmt.Fprintf(out, "Riposte is ready.\n  API     http://%s   (token in %s)\n", s.Addr(), filepath.Join(o.Data, "token"))
	if udp+tcp != "" {
		fmt.Fprintf(out, "  syslog  udp %s  tcp %s\n", orDash(udp), orDash(tcp))
	}
	<-ctx.Done()
	fmt.Fprintln(out, "stopping: what is at work goes on at the next start")
	return s.Stop()
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func newLog(w *os.File, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !colored(w)}))
}

func checkCommand() *cobra.Command {
	var o server.Options
	var config string
	cmd := &cobra.Command{Use: "check", Short: "Check a folder of content without running it", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := configure(cmd, &o, config, ""); err != nil {
			return err
		}
		installed, err := server.OpenPlugins(o)
		if err != nil {
			return err
		}
		content, err := server.LoadContent(o.Content, installed.Bundles)
		if err != nil {
			return err
		}
		for _, held := range installed.Held {
			fmt.Fprintln(cmd.ErrOrStderr(), "held:", held)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is sound: %d runbooks, %d connectors, %d lists\n", o.Content, len(content.Runbooks), len(content.Connectors), len(content.Lists))
		return nil
	}}
	cmd.Flags().StringVar(&o.Content, "content", ".", "folder of the content")
	cmd.Flags().StringVar(&config, "config", "", "configuration (default CONTENT/riposte.yaml, if it is there)")
	cmd.Flags().StringVar(&o.Plugins.Dir, "plugins", "", "folder of plugin packages beside the built-in ones")
	return cmd
}
