package script_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/incident"
)

// server is a `riposte serve` at work: a process of its own, so that it can be killed.
type server struct {
	cmd        *exec.Cmd
	url, token string
	udp, tcp   string // addresses of the syslog listeners
	output     output
	exited     chan struct{}
	err        error // of the exit
	transport  *http.Transport
}

// output collects what a process says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

var (
	readyAPI    = regexp.MustCompile(`API +(http://\S+)`)
	readySyslog = regexp.MustCompile(`syslog +udp (\S+) +tcp (\S+)`)
)

// serve starts a server on dir/content and dir/data, and returns when it says that it is ready.
func serve(ctx context.Context, dir string, env []string, flags ...string) (*server, error) {
	data := filepath.Join(dir, "data")
	s := &server{exited: make(chan struct{}), transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	s.cmd = exec.Command(*binary, append([]string{"serve", "--content", filepath.Join(dir, "content"), "--data", data}, flags...)...)
	s.cmd.Env, s.cmd.Dir, s.cmd.Stderr = env, dir, &s.output
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		s.read(stdout, ready)
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	select {
	case <-ready:
	case <-s.exited:
		return nil, fmt.Errorf("the server ended before it was ready: %v\n%s", s.err, &s.output)
	case <-ctx.Done():
		s.kill()
		return nil, fmt.Errorf("the server was not ready: %w\n%s", ctx.Err(), &s.output)
	}
	token, err := os.ReadFile(filepath.Join(data, "token"))
	s.token = strings.TrimSpace(string(token))
	return s, err
}

// read takes the addresses from what the server prints.
func (s *server) read(stdout io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fmt.Fprintln(&s.output, lines.Text())
		if m := readyAPI.FindStringSubmatch(lines.Text()); m != nil {
			s.url = m[1]
		}
		if m := readySyslog.FindStringSubmatch(lines.Text()); m != nil {
			s.udp, s.tcp = m[1], m[2]
			close(ready)
		}
	}
}

// kill ends the process as a power cut of its own would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may be dead already
	<-s.exited
	s.transport.CloseIdleConnections()
}

// stop replays what the server has done, asks it to end, as a service manager does, and expects that it ends well.
func (s *server) stop() error {
	defer s.transport.CloseIdleConnections()
	if err := s.replays(); err != nil {
		s.kill()
		return err
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("the server did not stop\n%s", &s.output)
	}
	if s.err != nil {
		return fmt.Errorf("the server ended with %w\n%s", s.err, &s.output)
	}
	return nil
}

// call sends a request with the token and decodes the answer into out, unless that is nil.
func (s *server) call(ctx context.Context, method, path string, body []byte, out any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&http.Client{Transport: s.transport}).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return resp.StatusCode, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	if out == nil {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, json.Unmarshal(answer, out)
}

// errEnough ends a follow without an error.
var errEnough = errors.New("enough")

// follow gives the facts of an incident to fn, in order and as they come, until fn gives an error; errEnough counts as none.
func (s *server) follow(ctx context.Context, id string, fn func(*api.Entry) error) error {
	var after uint64
	for {
		var list []api.Entry
		path := "/api/v1/incidents/" + id + "/timeline?wait=30&after=" + strconv.FormatUint(after, 10)
		if _, err := s.call(ctx, "GET", path, nil, &list); err != nil {
			return err
		}
		for i := range list {
			after = list[i].Seq
			if err := fn(&list[i]); err != nil {
				if errors.Is(err, errEnough) {
					return nil
				}
				return err
			}
		}
	}
}

// runsEnded waits until an incident has had at least n runs and none of them goes on.
func (s *server) runsEnded(ctx context.Context, id string, n int) error {
	open, begun := 0, 0
	var last string
	err := s.follow(ctx, id, func(e *api.Entry) error {
		last = e.Text
		switch e.Kind {
		case incident.FactRunStarted:
			open++
			begun++
		case incident.FactRunFinished:
			if open--; open == 0 && begun >= n {
				return errEnough
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %d runs began, %d go on, last fact %q: %w", id, begun, open, last, err)
	}
	return nil
}

// sendTCP sends messages over one syslog connection, each framed by its length (RFC 6587, section 3.4.1).
func sendTCP(address string, messages []string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(conn)
	for _, m := range messages {
		fmt.Fprintf(w, "%d %s", len(m), m)
	}
	return errors.Join(w.Flush(), conn.Close())
}

// sendUDP sends each message as a datagram.
func sendUDP(address string, messages []string) error {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if _, err := conn.Write([]byte(m)); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	return conn.Close()
}

// lines are the lines of a text that are not empty.
func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == "" })
}

// sendLF sends messages over one syslog connection, each ended by a line feed (RFC 6587, section 3.4.2).
func sendLF(address string, messages []string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	_, err = io.WriteString(conn, strings.Join(messages, "\n")+"\n")
	return errors.Join(err, conn.Close())
}
