package worker_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/host/worker"
)

func TestMain(m *testing.M) {
	worker.Main(serve)
	if len(os.Args) == 2 && os.Args[1] == parent {
		beParent()
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// serve is the work of the workers of these tests: each frame names a thing to try, and the answer says what came of it.
func serve(p *worker.Pipe) error {
	for {
		f, err := p.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := "no such thing to try"
		if try := trials()[string(f.Head)]; try != nil {
			answer = "done"
			if err := try(); err != nil {
				answer = err.Error()
			}
		}
		if err := p.Send(worker.Frame{Kind: f.Kind, Number: f.Number, Head: []byte(answer), Body: f.Body}); err != nil {
			return err
		}
	}
}

// trials work on every system.
func trials() map[string]func() error {
	all := map[string]func() error{
		"echo":        func() error { return nil },
		"seal":        func() error { return worker.Seal() },
		"exit":        func() error { os.Exit(3); return nil },
		"panic":       func() error { panic("a worker that fails") },
		"garbage":     func() error { _, err := os.Stdout.WriteString(strings.Repeat("\xff", 100)); return err },
		"environment": func() error { return fmt.Errorf("%q", os.Environ()) },
		"spin": func() error {
			for n := 1; ; n++ {
				if n == 0 {
					return nil // after some hundred years
				}
			}
		},
		"devour": func() error {
			var all [][]byte
			for {
				all = append(all, make([]byte, 1<<20))
				for i := range all[len(all)-1] {
					all[len(all)-1][i] = 1
				}
			}
		},
	}
	for name, try := range systemTrials() {
		all[name] = try
	}
	return all
}

func start(t testing.TB, b worker.Bounds) *worker.Process {
	t.Helper()
	p, err := worker.Start(worker.Options{Program: worker.Self(), Bounds: b, MaxBody: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// try asks a worker to try something.
func try(t testing.TB, p *worker.Process, what string) (string, error) {
	t.Helper()
	if err := p.Send(worker.Frame{Kind: 1, Number: 7, Head: []byte(what), Body: []byte("body")}); err != nil {
		return "", err
	}
	f, err := p.Receive()
	if err == nil && (f.Kind != 1 || f.Number != 7 || string(f.Body) != "body") {
		t.Errorf("the answer is %+v", f)
	}
	return string(f.Head), err
}

func must(t testing.TB, p *worker.Process, what, want string) {
	t.Helper()
	got, err := try(t, p, what)
	if err != nil {
		p.Kill()
		t.Fatalf("%s: %v: %s", what, err, p.Ended())
	}
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestAWorkerAnswers(t *testing.T) {
	p := start(t, worker.Bounds{})
	must(t, p, "echo", "done")
	must(t, p, "environment", "[]")
	must(t, p, "seal", "done")
	must(t, p, "echo", "done")
	p.Kill()
	if _, err := try(t, p, "echo"); err == nil {
		t.Error("a worker that was killed answers")
	}
	p.Kill()
}

func TestAWorkerThatEndsSaysHow(t *testing.T) {
	for what, want := range map[string]string{"exit": "exit status 3", "panic": `exit status 2: "panic: a worker that fails"`, "devour": "out of memory"} {
		p := start(t, worker.Bounds{})
		if got, err := try(t, p, what); err == nil {
			t.Errorf("%s: the answer is %s", what, got)
		}
		if ended := p.Ended(); !strings.Contains(ended, want) {
			t.Errorf("%s: %s, want %s", what, ended, want)
		}
	}
}

func TestAWorkerThatDoesNotEndIsKilled(t *testing.T) {
	p := start(t, worker.Bounds{})
	go func() {
		p.Kill()
	}()
	if got, err := try(t, p, "spin"); err == nil {
		t.Errorf("the answer is %s", got)
	}
	if ended := p.Ended(); !strings.Contains(ended, "killed") {
		t.Errorf("it ended so: %s", ended)
	}
}

func TestProcessorTimeIsBounded(t *testing.T) {
	p := start(t, worker.Bounds{CPU: time.Second})
	if got, err := try(t, p, "spin"); err == nil {
		t.Errorf("the answer is %s", got)
	}
	if ended := p.Ended(); !strings.Contains(ended, "killed") && !strings.Contains(ended, "CPU") {
		t.Errorf("it ended so: %s", ended)
	}
}

func TestGarbageIsNoFrame(t *testing.T) {
	p := start(t, worker.Bounds{})
	if _, err := try(t, p, "garbage"); !errors.Is(err, worker.ErrFrame) {
		t.Errorf("the error is %v", err)
	}
}

func TestNoProgram(t *testing.T) {
	if _, err := worker.Start(worker.Options{Program: "/nowhere/at/all"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
	// A program that is no worker ends, or says nothing that is a frame.
	p, err := worker.Start(worker.Options{Program: "/bin/true"})
	if err != nil {
		return
	}
	defer p.Kill()
	if _, err := p.Receive(); err == nil {
		t.Error("/bin/true sent a frame")
	}
}
