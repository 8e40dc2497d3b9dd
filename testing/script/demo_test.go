package script_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/incident"
)

// demo starts `riposte demo` and gives its output; it is asked to end, and must end well, when the test does.
func demo(t *testing.T, flags ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(*binary, append([]string{"demo", "--data", t.TempDir()}, flags...)...)
	said := &output{}
	cmd.Stderr = said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("the demo said:\n%s", said)
		}
	})
	return cmd, bufio.NewReader(stdout)
}

// TestDemoForPrograms: what another program, such as a benchmark, needs to use the demo is in its first line.
func TestDemoForPrograms(t *testing.T) {
	t.Parallel()
	cmd, out := demo(t, "--json", "--no-alarm")
	line, err := out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var ready struct {
		Ready      bool              `json:"ready"`
		URL        string            `json:"url"`
		SyslogUDP  string            `json:"syslog_udp"`
		SyslogTCP  string            `json:"syslog_tcp"`
		Token      string            `json:"token"`
		Simulators map[string]string `json:"simulators"`
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if !ready.Ready || !strings.HasPrefix(ready.Token, "rip_") {
		t.Errorf("%s", line)
	}
	for _, name := range []string{"panos", "virustotal", "logpoint", "hackertarget", "mssql", "smtp"} {
		if ready.Simulators[name] == "" {
			t.Errorf("no simulator %s in %s", name, line)
		}
	}
	for _, address := range append(slices.Collect(maps.Values(ready.Simulators)), ready.URL, ready.SyslogTCP) {
		if err := loopback(address); err != nil {
			t.Error(err)
		}
	}
	s := &server{url: ready.URL, token: ready.Token, transport: &http.Transport{}}
	defer s.transport.CloseIdleConnections()
	if _, err := s.call(t.Context(), "GET", "/readyz", nil, nil); err != nil {
		t.Error(err)
	}
	var list []incident.Head
	if _, err := s.call(t.Context(), "GET", "/api/v1/incidents", nil, &list); err != nil || len(list) != 0 {
		t.Errorf("incidents %v, %v", list, err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(out)
	if err != nil || len(rest) > 0 {
		t.Errorf("after its line the demo printed %q, %v", rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
}

// loopback says whether somebody listens at an address, on this machine only.
func loopback(address string) error {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%s is not on loopback", address)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// TestDemoForPeople: the demo shows an incident as it unfolds, and what to try next; with --exit it ends by itself.
func TestDemoForPeople(t *testing.T) {
	t.Parallel()
	cmd, out := demo(t, "--exit")
	all, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	text := string(all)
	for _, want := range []string{
		"Riposte", "API ", "syslog ", "CEF:0|LogPoint|LogPoint|", "opened: 10.20.30.40 talked to 203.0.113.66",
		"contained 203.0.113.66 by paloalto/block-ip", "CON-000001-1 verified", "contained 198.51.100.77", "mail/send", "run RUN-000001-1 succeeded",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the demo does not show %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b[") {
		t.Error("the demo prints colours although nobody sees them")
	}
}
