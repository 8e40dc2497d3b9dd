package host

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// clock is the guest's time. It stands still but for what host calls and sleeps took, and a microsecond for each look at it, so that it is
// the same in every run over the same tape.
type clock struct {
	start   time.Time
	session *hostcall.Session
	own     time.Duration
}

func (c *clock) elapsed() time.Duration {
	c.own += time.Microsecond
	return c.own + c.session.Elapsed()
}

func (c *clock) wall() (sec int64, nsec int32) {
	now := c.start.Add(c.elapsed())
	return now.Unix(), int32(now.Nanosecond())
}

func (c *clock) mono() int64 { return int64(c.elapsed()) }

// sleep waits for as long as the guest asks, at most until its invocation ends.
func (g *guest) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	g.clock.own += d
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		panic(ended(ctx))
	}
}

// seedOf makes the seed of an invocation's randomness.
func seedOf(in Invocation) uint64 {
	sum := sha256.Sum256([]byte(in.ID + "\x00" + in.Key))
	return binary.LittleEndian.Uint64(sum[:])
}

// newRandom gives the bytes that a seed stands for.
func newRandom(seed uint64) io.Reader {
	var whole [32]byte
	binary.LittleEndian.PutUint64(whole[:], seed)
	return rand.NewChaCha8(sha256.Sum256(whole[:]))
}

// fuel counts instructions. The guest asks for it in slices, and ends here when its time or its ration is over.
type fuel struct {
	limit   int64 // 0: none
	granted int64
	used    int64
}

// fuelSlice is about a millisecond of work.
const fuelSlice = 2_000_000

// meterDoor is what a metered module asks.
func meterDoor(d door) {
	d.export(meter.ImportRefill, types(i64), types(i64), func(ctx context.Context, g *guest, _ api.Module, stack []uint64) {
		if ctx.Err() != nil {
			panic(ended(ctx))
		}
		f := &g.fuel
		left := int64(stack[0])
		if f.limit > 0 && f.granted-left >= f.limit {
			f.used = f.granted - left
			g.stop(abi.Limit, "the plugin used up its instructions")
		}
		f.granted += fuelSlice
		stack[0] = uint64(left + fuelSlice)
		runtime.Gosched() // compiled code cannot be preempted; this is where others get their turn
	})
	d.export(meter.ImportOverflow, nil, nil, func(_ context.Context, g *guest, _ api.Module, _ []uint64) {
		g.stop(abi.Limit, "the plugin calls itself too deeply")
	})
}

// settle reads what is left when the guest has ended.
func (f *fuel) settle(instance api.Module) {
	if left := instance.ExportedGlobal(meter.GlobalFuel); left != nil {
		f.used = f.granted - int64(left.Get())
	}
}

// speech keeps the end of what the guest wrote to its standard output and error.
type speech struct {
	lines   []abi.LogEntry
	partial map[string][]byte
}

const (
	speechLines = 20
	speechLine  = 1 << 10 // bytes
)

type speechWriter struct {
	speech *speech
	stream string
}

func (s *speech) writer(stream string) io.Writer { return speechWriter{s, stream} }

// Write implements io.Writer.
func (w speechWriter) Write(p []byte) (int, error) {
	s := w.speech
	if s.partial == nil {
		s.partial = map[string][]byte{}
	}
	for _, c := range p {
		line := s.partial[w.stream]
		switch {
		case c == '\n':
			s.add(w.stream, line)
			line = line[:0]
		case len(line) < speechLine:
			line = append(line, c)
		}
		s.partial[w.stream] = line
	}
	return len(p), nil
}

func (s *speech) add(stream string, line []byte) {
	text := strings.TrimSpace(strings.ToValidUTF8(string(line), "�"))
	if text == "" {
		return
	}
	level := "info"
	if stream == "stderr" {
		level = "error"
	}
	// The beginning says what happened, the end where: keep both.
	if len(s.lines) == speechLines {
		s.lines = append(s.lines[:speechLines/2], s.lines[speechLines/2+1:]...)
	}
	s.lines = append(s.lines, abi.LogEntry{Level: level, Message: text, Fields: map[string]any{"stream": stream}})
}

func (s *speech) entries() []abi.LogEntry {
	for stream, line := range s.partial {
		s.add(stream, line)
	}
	s.partial = nil
	return s.lines
}

// last is the line that says most about a crash: what a Go or Rust program says when it panics, or else the last one.
func (s *speech) last() string {
	all := s.entries()
	for _, e := range all {
		if strings.HasPrefix(e.Message, "panic:") || strings.HasPrefix(e.Message, "fatal error:") || strings.Contains(e.Message, "panicked at") {
			return ": " + e.Message
		}
	}
	if len(all) > 0 {
		return ": " + all[len(all)-1].Message
	}
	return ""
}
