package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// heed ends a guest whose time is over. Every host function begins with it: one call of it can take long, and the next look at the deadline is
// a slice of instructions away, which is thousands of such calls.
func heed(ctx context.Context) {
	if ctx.Err() != nil {
		panic(ended(ctx))
	}
}

// guard stands before a function of WASI, which the engine brings along. Those that change open files leave something behind that no image
// restores: an instance in which they were called is not used again.
func guard(f api.FunctionDefinition) experimental.FunctionListener {
	changes := slices.Contains([]string{"fd_close", "fd_renumber", "fd_fdstat_set_flags"}, f.Name())
	return experimental.FunctionListenerFunc(func(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64, _ experimental.StackIterator) {
		heed(ctx)
		if g, ok := ctx.Value(guestKey{}).(*guest); ok && changes {
			g.changedFiles = true
		}
	})
}

// clock is the guest's time. It stands still but for what host calls and sleeps took, and a microsecond for each look at it, so that it is
// the same in every run over the same tape.
type clock struct {
	start  time.Time
	calls  dispatcher // nil while an image is made
	own    time.Duration
	before time.Duration // what the image's clock had counted: a guest's time never goes back
}

func (c *clock) elapsed() time.Duration {
	c.own += time.Microsecond
	if c.calls == nil {
		return c.own
	}
	return c.own + c.calls.Elapsed()
}

func (c *clock) wall() (sec int64, nsec int32) {
	now := c.start.Add(c.elapsed())
	return now.Unix(), int32(now.Nanosecond())
}

func (c *clock) mono() int64 { return int64(c.before + c.elapsed()) }

// sleep waits for as long as the guest asks, at most until its invocation ends.
func (g *guest) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	g.clock.own += d
	if g.replay {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.ctx.Done():
		panic(ended(g.ctx))
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

// fuel counts the instructions of a guest.
type fuel struct {
	tank  meter.Tank
	asked bool
	used  int64
}

func newFuel(limit int64) fuel {
	if limit <= 0 {
		limit = math.MaxInt64 / 2
	}
	return fuel{tank: meter.Tank{Limit: limit}}
}

// meterDoor is what a metered module asks: every tenth of a millisecond or so it comes here for fuel, and ends if its time or its ration is over.
func meterDoor(d door) {
	d.export(meter.ImportRefill, types(i64), types(i64), func(ctx context.Context, g *guest, _ api.Module, stack []uint64) {
		if g.fuel.asked {
			runtime.Gosched() // compiled code cannot be preempted; this is where others get their turn
		}
		g.fuel.asked = true
		left, err := g.fuel.tank.Refill(ctx, int64(stack[0]))
		switch {
		case err == nil:
			stack[0] = uint64(left)
		case errors.Is(err, meter.ErrFuel):
			g.stop(abi.Limit, "the plugin used up its instructions")
		default:
			panic(ended(ctx))
		}
	})
	d.export(meter.ImportOverflow, nil, nil, func(_ context.Context, g *guest, _ api.Module, _ []uint64) {
		g.stop(abi.Limit, "the plugin calls itself too deeply")
	})
}

// settle reads what is left when the guest has ended.
func (f *fuel) settle(instance api.Module) {
	if left := instance.ExportedGlobal(meter.GlobalFuel); left != nil {
		f.used = f.tank.Used(int64(left.Get()))
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
	instance *instance
	stream   string
}

// Write implements io.Writer. A guest may write all of its memory, thousands of times in one call.
func (w speechWriter) Write(p []byte) (int, error) {
	g := w.instance.guest
	for line := range bytes.Lines(p) {
		heed(g.ctx)
		text, whole := bytes.CutSuffix(line, []byte("\n"))
		g.said.append(w.stream, text[:min(len(text), speechLine)])
		if whole {
			g.said.end(w.stream)
		}
	}
	return len(p), nil
}

// append goes on with a line, as far as it is kept.
func (s *speech) append(stream string, text []byte) {
	if s.partial == nil {
		s.partial = map[string][]byte{}
	}
	line := s.partial[stream]
	s.partial[stream] = append(line, text[:min(len(text), speechLine-len(line))]...)
}

// end ends a line.
func (s *speech) end(stream string) {
	s.add(stream, s.partial[stream])
	s.partial[stream] = s.partial[stream][:0]
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
