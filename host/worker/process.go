// Package worker runs part of this program in a process of its own: the same file, executed again, without environment, secrets, network or the
// files of its parent, bounded in memory and time. It talks to its parent through a pair of pipes, and ends with it. What is
// done there may go wrong in any way: the parent believes nothing that comes back, and kills a worker that it does not like.
//
// On Linux the worker gives up, before it looks at anything that it is sent, all system calls but those that memory, threads, its pipes and the
// files of a cache need; [Seal] gives up those for files and for new native code too. Other systems start a plain process.
package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Options say how to start a worker.
type Options struct {
	// Program is the file to execute. Its main function must call Main first. See Self.
	Program string
	Bounds  Bounds
	// MaxBody bounds the body of a frame that the worker sends, in bytes.
	MaxBody int64
}

// Bounds are the limits of a worker.
type Bounds struct {
	Memory int64         `json:"memory"`        // bytes that it may write to, in all; at least minMemory
	CPU    time.Duration `json:"cpu,omitempty"` // processor time, rounded up to a second; zero is no limit
}

const (
	minMemory = 256 << 20 // a Go program gets its memory in steps of 64 MiB
	files     = 64        // that a worker may have open
	fileBytes = 1 << 30   // of one file, and of memory that is one
)

// name is what a worker is called, and how it knows that it is one.
const name = "riposte: worker"

// Self is the file of this program, also after it was replaced or removed, where the system can do that.
func Self() string {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe"
	}
	file, err := os.Executable()
	if err != nil {
		return ""
	}
	return file
}

// Process is a worker, as its parent sees it.
type Process struct {
	*Pipe
	cmd    *exec.Cmd
	ends   []*os.File
	said   beginning
	gone   chan struct{}
	killed sync.Once
}

// Start starts a worker. Kill it in the end.
func Start(o Options) (*Process, error) {
	p := &Process{gone: make(chan struct{})}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("worker: %w", errors.Join(err, theirIn.Close(), in.Close()))
	}
	p.ends = []*os.File{in, out}
	p.Pipe = NewPipe(out, in, o.MaxBody)
	p.cmd = &exec.Cmd{Path: o.Program, Args: []string{name}, Env: []string{}, Dir: os.TempDir(), Stdin: theirIn, Stdout: theirOut, Stderr: &p.said, SysProcAttr: attributes()}
	err = errors.Join(p.cmd.Start(), theirIn.Close(), theirOut.Close())
	if err != nil {
		return nil, fmt.Errorf("worker: %w", errors.Join(err, in.Close(), out.Close()))
	}
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	o.Bounds.Memory = max(o.Bounds.Memory, minMemory)
	bounds, err := json.Marshal(o.Bounds)
	if err == nil {
		err = p.Send(Frame{Head: bounds})
	}
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("worker: %w (%s)", err, p.Ended())
	}
	return p, nil
}

// Kill ends the worker at once, and returns when it is gone. Send and Receive fail then. It may be called at any time, and again.
func (p *Process) Kill() {
	p.killed.Do(func() {
		_ = p.cmd.Process.Kill() // it fails if there is none any more
		<-p.gone
		for _, end := range p.ends {
			_ = end.Close() // nothing is lost with it
		}
	})
}

// Alive says whether the worker is there still.
func (p *Process) Alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// ID is the number that the system knows the worker by.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// Ended says how a worker that was killed, or ended itself, came to its end: its state, and the beginning of what it wrote to its
// standard error.
func (p *Process) Ended() string {
	<-p.gone
	said, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(p.said.String(), "")), "\n")
	if said == "" {
		return p.cmd.ProcessState.String()
	}
	return fmt.Sprintf("%s: %.200q", p.cmd.ProcessState, said)
}

// beginning keeps the first bytes that are written to it.
type beginning struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	const most = 4 << 10
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p[:min(len(p), most-len(b.text))]...)
	return len(p), nil
}

func (b *beginning) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

// Main does the work of a worker, if this process is one, and ends it; otherwise it returns at once. Call it before anything else in main, and
// in TestMain of tests that start workers.
func Main(serve func(*Pipe) error) {
	if len(os.Args) != 1 || os.Args[0] != name {
		return
	}
	p := NewPipe(os.Stdin, os.Stdout, maxBody)
	err := begin(p)
	if err == nil {
		err = serve(p)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// begin reads the bounds, and keeps to them from here on.
func begin(p *Pipe) error {
	first, err := p.Receive()
	if err != nil {
		return err
	}
	var b Bounds
	if err := json.Unmarshal(first.Head, &b); err != nil {
		return err
	}
	runtime.GOMAXPROCS(min(runtime.NumCPU(), 2)) // it does one thing at a time, beside the garbage collector
	debug.SetMemoryLimit(b.Memory / 4 * 3)
	return confine(b)
}
