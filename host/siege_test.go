package host_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/sink"
)

// How hard the siege is. `make test` asserts what does not depend on how busy the machine is: each guest ends with the fault that is its due, the
// work beside is done rightly, and no memory, descriptor or goroutine stays behind. There each shape has 10 turns with a short deadline. How long
// things took, and how much garbage lay about at most, is printed and not asserted, since other tests run on the same processors. `make siege`
// gives each shape 100 turns, a longer deadline, and the machine to itself.
var (
	siegeTimes    = flag.Int("siege.times", 10, "turns of each hostile guest")
	siegeDeadline = flag.Duration("siege.deadline", 10*time.Millisecond, "deadline of each turn")
)

const (
	siegeMemory  = 16 << 20 // bytes of memory that a guest may have
	siegeGrowth  = 64 << 20 // bytes by which the process may grow
	siegeTooLate = 10 * time.Second
)

// shape is a guest that means harm.
type shape struct {
	name string
	in   host.Invocation
	ends []abi.Kind // how its turns may end, beside by their deadline; "" is with a result
}

// work is a shipped plugin that goes on with its work against a server of the lab.
type work struct {
	host *host.Host
	in   host.Invocation
	sink *sink.Server
}

func newWork(t *testing.T, h *host.Host) *work {
	s, err := sink.Start(sink.Options{CountOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &work{host: h, sink: s, in: host.Invocation{Bundle: install(t, h, built["webhook"]), Action: "post",
		Settings: json.RawMessage(`{"url":"` + s.URL() + `/in"}`), Grant: capability.Grant{"target": {}}}}
}

// once does one piece of work, which must succeed, and gives how long it took.
func (w *work) once(t *testing.T, n int) time.Duration {
	in := w.in
	in.ID, in.Key = fmt.Sprint("work-", n), fmt.Sprint("work-", n)
	in.Parameters = json.RawMessage(fmt.Sprintf(`{"body":{"n":%d}}`, n))
	began := time.Now()
	out, err := w.host.Run(context.Background(), in)
	took := time.Since(began)
	if err != nil || out.Fault != nil || !strings.Contains(string(out.Output), `"status":200`) {
		t.Errorf("the work beside gave %v %v %s", err, out.Fault, out.Output)
	}
	return took
}

// beside does the work until the returned function is called, which gives the times in order of length.
func (w *work) beside(t *testing.T) (stop func() []time.Duration) {
	var over atomic.Bool
	took := make([]time.Duration, 0, 1<<20) // with room for all, so that it makes no garbage
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; !over.Load(); n++ {
			took = append(took, w.once(t, n))
		}
	}()
	return func() []time.Duration {
		over.Store(true)
		<-done
		slices.Sort(took)
		return took
	}
}

func p99(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }

// How much the server grows is how much more of the process lies in RAM at the worst moment of the siege, a look every 2 ms, than at the worst moment
// of the quiet time before it, which begins when all modules were loaded, had run, and the garbage was collected. All of the process counts: what the heap has got from the system, used or not, the memory
// of guests, mapped files of images and code, and, since it is the same process, the peer of the hostile guests and the receiver of the work beside.

// watch looks at the memory of the process until the test ends. The function that it gives returns the highest value since it was called last.
func watch(t *testing.T) (highest func() int64) {
	var most atomic.Int64
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				for was, now := most.Load(), resident(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
				}
			}
		}
	}()
	t.Cleanup(func() { close(over); <-ended })
	return func() int64 { return max(most.Swap(0), resident()) }
}

// resident is the memory of the process that lies in RAM, in bytes.
func resident() int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(raw))
	if err != nil || len(fields) < 2 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.Sys - m.HeapReleased)
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// descriptors counts the open files of the process, where the system tells.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// turn runs a hostile guest once and holds what came of it against its shape.
func (s *shape) turn(t *testing.T, h *host.Host, n int) time.Duration {
	in := s.in
	in.ID, in.Key = fmt.Sprint(s.name, n), fmt.Sprint(s.name, n)
	began := time.Now()
	out, err := h.Run(context.Background(), in)
	took := time.Since(began)
	kind := abi.Kind("")
	if out.Fault != nil {
		kind = out.Fault.Kind
	}
	switch {
	case err != nil:
		t.Errorf("%s: %v", s.name, err)
	case kind != abi.Timeout && !slices.Contains(s.ends, kind):
		t.Errorf("%s ended with %.200s %v, not with %q", s.name, out.Output, out.Fault, s.ends)
	case took > *siegeDeadline+siegeTooLate:
		t.Errorf("%s ended after %v", s.name, took)
	case out.Stats.Memory > siegeMemory:
		t.Errorf("%s had %d bytes", s.name, out.Stats.Memory)
	}
	return took
}

// TestSiege lets each hostile guest have its turns while a shipped plugin is at work.
func TestSiege(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // as cmd/riposte does
	leaks, files := goleak.IgnoreCurrent(), descriptors()
	t.Run("beside work", func(t *testing.T) {
		h := newHost(t, host.Options{Memory: siegeMemory, Resident: 200})
		besiege(t, h, newWork(t, h), allShapes(t, h))
	})
	if err := goleak.Find(leaks); err != nil {
		t.Error(err)
	}
	if now := descriptors(); now > files {
		t.Errorf("%d descriptors are open, there were %d", now, files)
	}
}

func besiege(t *testing.T, h *host.Host, w *work, shapes []shape) {
	for i := range shapes {
		shapes[i].turn(t, h, -1) // loads it
	}
	for n := range 50 {
		w.once(t, n)
	}
	debug.FreeOSMemory()
	idle := resident()
	highest := watch(t)
	stop := w.beside(t)
	time.Sleep(5 * time.Second) // the length of a measurement
	quiet := stop()
	before := highest()
	stop = w.beside(t)
	var latest time.Duration
	var most int64
	for i := range shapes {
		var longest time.Duration
		for n := range *siegeTimes {
			longest = max(longest, shapes[i].turn(t, h, n))
		}
		grown := highest() - before
		latest, most = max(latest, longest), max(most, grown)
		t.Logf("%-34s at the latest after %8v; memory %+4d MiB", shapes[i].name, longest.Round(100*time.Microsecond), grown>>20)
	}
	took := stop()
	t.Logf("%d shapes, %d turns each, deadline %v: stopped at the latest after %v (wanted: the deadline and 1 s)", len(shapes), *siegeTimes, *siegeDeadline, latest)
	debug.FreeOSMemory()
	stays := resident() - idle
	t.Logf("memory grew by %d MiB at most (wanted: less than 64), %d MiB of it stayed", most>>20, stays>>20)
	t.Logf("work beside: quiet median %v, p99 %v (%d calls); besieged median %v, p99 %v (%d calls): %.2f times (wanted: less than 2)",
		quiet[len(quiet)/2], p99(quiet), len(quiet), took[len(took)/2], p99(took), len(took), float64(p99(took))/float64(p99(quiet)))
	if stays >= siegeGrowth {
		t.Errorf("the process grew by %d MiB", stays>>20)
	}
}

// TestSiegeAllAtOnce lets all shapes run at the same time, so that they fill every slot there is.
func TestSiegeAllAtOnce(t *testing.T) {
	h := newHost(t, host.Options{Memory: siegeMemory, Resident: 200})
	w := newWork(t, h)
	shapes := allShapes(t, h)
	var all sync.WaitGroup
	for i := range shapes {
		all.Go(func() {
			for n := range 3 {
				shapes[i].turn(t, h, n)
			}
		})
	}
	for n := range 20 {
		w.once(t, n)
	}
	all.Wait()
	if w.sink.Total() != 20 {
		t.Errorf("the receiver got %d messages", w.sink.Total())
	}
}

// allShapes installs the hostile guests.
func allShapes(t *testing.T, h *host.Host) []shape { return someShapes(t, h, 1) }

// someShapes installs each nth of the hostile guests.
func someShapes(t *testing.T, h *host.Host, nth int) []shape {
	t.Helper()
	peer := hostilePeer(t)
	var list []shape
	all := assembledShapes(peer)
	for n, name := range slices.Sorted(maps.Keys(all)) {
		if n%nth != 0 {
			continue
		}
		s := all[name]
		b, err := bundle.Open(s.module.pack(t, s.requires...))
		if err == nil {
			err = h.Install(t.Context(), b)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		in := host.Invocation{Bundle: b, Action: "act", Settings: json.RawMessage(`{"url":"` + peer + `"}`), Grant: capability.Grant{}, Timeout: *siegeDeadline}
		for _, r := range s.requires {
			in.Grant[r.ID] = capability.Narrowing{}
		}
		list = append(list, shape{name, in, s.ends})
	}
	trial := install(t, h, built["trial"])
	for action, ends := range goShapes {
		in := host.Invocation{Bundle: trial, Action: action, Grant: capability.Grant{"keep": {}, "api": {}}, Timeout: *siegeDeadline}
		list = append(list, shape{"Go: " + action, in, ends})
	}
	slices.SortFunc(list, func(a, b shape) int { return strings.Compare(a.name, b.name) })
	return list
}
