package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/content"
)

// process is a program that was started for this run.
type process struct {
	cmd     *exec.Cmd
	address string
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// startBare starts this program again, as the baseline.
func startBare(url, file string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-bare", url, "-file", file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	return &process{cmd, strings.TrimSpace(address)}, err
}

// runBare is the least that such a program can do: take a line, append it, sync, post what it says.
func runBare(url, file string) error {
	log, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	var mu sync.Mutex
	id := regexp.MustCompile(`externalId=(\S+).* cs1=(\S+)`)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			lines := bufio.NewScanner(conn)
			for lines.Scan() {
				mu.Lock()
				_, err := log.Write(append(lines.Bytes(), '\n'))
				if err == nil {
					err = syscall.Fdatasync(int(log.Fd()))
				}
				mu.Unlock()
				m := id.FindSubmatch(lines.Bytes())
				if err != nil || m == nil {
					continue
				}
				resp, err := client.Post(url, "application/json", bytes.NewReader(fmt.Appendf(nil, `{"id":%q,"check":%q}`, m[1], m[2])))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		}()
	}
}

// riposte is a running server.
type riposte struct {
	process
	api, syslog, token string
}

// startRiposte starts the real binary with a rule, a runbook of one step, and every connector of the demo, so that all plugins are installed.
func startRiposte(binary, dir, target string) (*riposte, error) {
	folder := filepath.Join(dir, "content")
	places := map[string]string{}
	for _, name := range []string{"panos", "virustotal", "logpoint", "hackertarget", "rdap"} {
		places[name] = "http://127.0.0.1:9"
	}
	for _, name := range []string{"whois", "dns", "mssql", "smtp"} {
		places[name] = "127.0.0.1:9"
	}
	err := content.Write(folder, places, map[string]string{"panos": "not-used-here", "virustotal": "not-used-here", "logpoint": "not-used-here", "mssql": "not-used-here"})
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"rules/bench.yaml":      "rule: bench\nwhen: rule.name == \"bench action\"\ntemplate: bench\norder: 1\n",
		"templates/bench.yaml":  "template: bench\ntype: bench\ntitle: \"${{ event.code }}\"\nseverity: low\nrunbook: bench\nautorun: true\n",
		"runbooks/bench.yaml":   "runbook: bench\nversion: 1\ntitle: Bench\nsteps:\n  - {id: post, uses: webhook/post@1, connector: bench, with: {body: {id: \"${{ alarm.event.code }}\", check: \"${{ alarm.ext.labels.check }}\"}}}\n",
		"connectors/bench.yaml": "connector: bench\nplugin: webhook\nsettings: {url: \"" + target + "\"}\ngrant: [target]\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	cmd := exec.Command(binary, "serve", "--content", folder, "--data", data)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &riposte{process: process{cmd: cmd}}
	lines := bufio.NewScanner(out)
	for r.syslog == "" && lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) > 1 && fields[0] == "API":
			r.api = fields[1]
		case len(fields) > 4 && fields[0] == "syslog":
			r.syslog = fields[4]
		}
	}
	if r.syslog == "" {
		r.stop()
		return nil, fmt.Errorf("%s serve did not say where it listens", binary)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	token, err := os.ReadFile(filepath.Join(data, "token"))
	r.token = strings.TrimSpace(string(token))
	return r, err
}

// status reads a figure of /proc/PID/status, in bytes (proc_pid_status(5)).
func (r *riposte) status(name string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

func (r *riposte) rss() int64  { return r.status("VmRSS") }
func (r *riposte) anon() int64 { return r.status("RssAnon") } // of it what is no mapped file: the kernel cannot take it back
func (r *riposte) peak() int64 { return r.status("VmHWM") }

// cpu is the processor time that the server has used.
func (r *riposte) cpu() time.Duration { return processorTime(r.cmd.Process.Pid, false) }

// processorTime is what a process has used, and with its children what those used that have ended (proc_pid_stat(5), fields 14 to 17, in
// hundredths of a second).
func processorTime(pid int, children bool) (used time.Duration) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))[11:15]
	if !children {
		fields = fields[:2]
	}
	for _, field := range fields {
		n, _ := strconv.ParseInt(field, 10, 64)
		used += time.Duration(n) * 10 * time.Millisecond
	}
	return used
}

// metric reads a counter of the server.
func (r *riposte) metric(name string) (int64, error) {
	resp, err := http.Get(r.api + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(rest, 64)
			return int64(f), err
		}
	}
	return 0, fmt.Errorf("the server has no metric %s", name)
}
