package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/server"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/testing/lab"
	"github.com/riposte-soar/riposte/testing/lab/content"
)

// ready is the line that the demo prints for programs.
type ready struct {
	Ready      bool              `json:"ready"`
	URL        string            `json:"url"`
	SyslogUDP  string            `json:"syslog_udp"`
	SyslogTCP  string            `json:"syslog_tcp"`
	Token      string            `json:"token"`
	Data       string            `json:"data"`
	Simulators map[string]string `json:"simulators"`
}

type demoFlags struct {
	data                  string
	asJSON, noAlarm, exit bool
}

func demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{Use: "demo", Short: "See an alarm turn into a contained incident, on this machine alone", Args: cobra.NoArgs,
		Long: "Start a server with demo content and simulated vendors, all on loopback; send one alarm, and show the incident as it unfolds.\n" +
			"Nothing leaves this machine. Ctrl-C ends it.",
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), cmd.OutOrStdout(), f) }}
	cmd.Flags().StringVar(&f.data, "data", "", "folder for store and content (default a temporary one, removed at the end)")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print one JSON line when ready, for programs")
	cmd.Flags().BoolVar(&f.noAlarm, "no-alarm", false, "send no alarm")
	cmd.Flags().BoolVar(&f.exit, "exit", false, "end when the incident's runs have ended")
	return cmd
}

// demo starts everything, tells where it is, sends the alarm and follows it.
func demo(ctx context.Context, out io.Writer, f demoFlags) (err error) {
	if f.data == "" {
		if f.data, err = os.MkdirTemp("", "riposte-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(f.data)
	}
	if f.data, err = filepath.Abs(f.data); err != nil {
		return err
	}
	l, err := lab.Start()
	if err != nil {
		return fmt.Errorf("simulators: %w", err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	folder := filepath.Join(f.data, "content")
	if err := content.Write(folder, l.Addresses(), l.Secrets()); err != nil {
		return err
	}
	config, err := server.LoadConfig(filepath.Join(folder, "riposte.yaml"))
	if err != nil {
		return err
	}
	config.Data = filepath.Join(f.data, "data")
	o := server.Options{Config: config, Content: folder, Worker: host.Self(), Log: newLog(os.Stderr, false), Ballast: -1}
	p := printer{w: out, color: colored(out)}
	if !f.asJSON {
		o.Progress = p.compiled
	}
	s, err := server.New(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := s.Start(); err != nil {
		return err
	}
	udp, tcp := s.SyslogAddrs()
	page := ready{Ready: true, URL: "http://" + s.Addr().String(), SyslogUDP: udp, SyslogTCP: tcp, Token: s.Token(), Data: f.data, Simulators: l.Addresses()}
	if f.asJSON {
		if err := jsonLine(out, page); err != nil {
			return err
		}
	} else {
		p.page(page)
	}
	if !f.noAlarm {
		line := l.World.SeedAlarm(time.Now())
		if !f.asJSON {
			fmt.Fprintf(out, "%s\n%s\n\n", p.paint(bold, "The alarm, by syslog from LogPoint:"), p.paint(dim, line))
		}
		if err := sendSyslog(tcp, line); err != nil {
			return err
		}
		if err := follow(ctx, s, p, out, f.asJSON); err != nil || f.exit {
			return err
		}
	}
	if !f.asJSON {
		p.next(page, f.data)
	}
	<-ctx.Done()
	return nil
}

// sendSyslog sends one message to the TCP listener, framed by its length (RFC 6587, section 3.4.1).
func sendSyslog(address, line string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "%d %s", len(line), line)
	return err
}

// follow prints the first incident until its runs have ended.
func follow(ctx context.Context, s *server.Server, p printer, out io.Writer, asJSON bool) error {
	open := 0
	err := s.Engine().Follow(ctx, "INC-000001", 0, func(fact *journal.Fact) error {
		switch text := incident.Sentence(fact); {
		case asJSON:
			if err := jsonLine(out, map[string]any{"fact": fact, "text": text}); err != nil {
				return err
			}
		default:
			p.fact(*fact, text)
		}
		switch fact.Kind {
		case incident.FactRunStarted:
			open++
		case incident.FactRunFinished:
			open--
			if open == 0 {
				return journal.ErrStop
			}
		}
		return nil
	})
	if err != nil && ctx.Err() != nil {
		return nil
	}
	return err
}

// compiled tells of a plugin that was compiled for the first time on this machine.
func (p printer) compiled(plugin string, took time.Duration) {
	if took > 300*time.Millisecond {
		fmt.Fprintf(p.w, "%s\n", p.paint(dim, fmt.Sprintf("compiled %s in %.1f s; the next start has it in its cache", plugin, took.Seconds())))
	}
}

// page is the head of the demo.
func (p printer) page(r ready) {
	fmt.Fprintf(p.w, "\n%s  turns an alarm into a contained incident\n\n", p.paint(bold, "Riposte"))
	fmt.Fprintf(p.w, "  API        %s\n  token      %s\n  syslog     udp %s   tcp %s\n  simulators %s/state\n  content    %s\n\n",
		p.paint(cyan, r.URL), p.paint(cyan, r.Token), r.SyslogUDP, r.SyslogTCP, r.Simulators["lab"], filepath.Join(r.Data, "content"))
}

// next says what one can do now.
func (p printer) next(r ready, data string) {
	exe, err := os.Executable()
	if err != nil {
		exe = "riposte"
	}
	flags := fmt.Sprintf("--server %s --token %s", r.URL, r.Token)
	fmt.Fprintf(p.w, "\n%s (Ctrl-C ends the demo)\n", p.paint(bold, "Now try"))
	for _, line := range []string{
		exe + " incident show INC-000001 " + flags,
		exe + " containment ls " + flags,
		exe + " containment release CON-000001-1 " + flags,
		"echo 'CEF:0|LogPoint|LogPoint|7.4.0|1071|Malicious outbound connection|9|src=10.20.30.41 dst=198.51.100.23' | " + exe + " alarm send - " + flags,
	} {
		fmt.Fprintf(p.w, "  %s\n", line)
	}
}
