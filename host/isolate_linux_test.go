package host_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/riposte-soar/riposte/host"
)

// processorTimeOf is what another process has used of the processor.
func processorTimeOf(b *testing.B, pid int) time.Duration {
	const sched = 2 // CPUCLOCK_SCHED of linux/posix-timers.h: all time of all threads
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// TestNothingStaysOfWorkers: no process, dead or alive, and no descriptor is left of workers that ended in every way.
func TestNothingStaysOfWorkers(t *testing.T) {
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	b := install(t, isolated(t, host.Options{}), built["trial"])
	before := open()
	h, err := host.New(host.Options{CacheDir: sharedCache, Services: stillServices(t), Worker: host.Self(), Isolate: everything, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	held := open() - before
	for n, action := range []string{"count", "crash", "exit", "loop", "count", "devour"} {
		in := host.Invocation{Bundle: b, Action: action, Connector: fmt.Sprint(n % 3), Timeout: 200 * time.Millisecond}
		mustRun(t, h, in)
		if n == 3 {
			for _, pid := range h.WorkerIDs() {
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Error(err)
				}
			}
		}
		if now := open(); now > before+held+2*4 { // three pipes for each worker, and the process itself
			t.Errorf("after %s %d descriptors are open, there were %d", action, now, before)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if now := open(); now > before {
		t.Errorf("%d descriptors are open, there were %d", now, before)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("there is a child still: %d, %v", pid, err)
	}
}

// BenchmarkIsolation compares, in one run, what a call takes of clock and processor in a worker and in this process.
func BenchmarkIsolation(b *testing.B) {
	here, there := newHost(b, host.Options{}), isolated(b, host.Options{Workers: 1})
	trial := install(b, here, built["trial"])
	install(b, there, built["trial"])
	for _, work := range []struct {
		name, action, parameters string
	}{{"no calls", "count", "{}"}, {"3 calls", "find", "{}"}, {"64 KiB in and out", "echo", string(large())}} {
		b.Run(work.name, func(b *testing.B) {
			in := host.Invocation{ID: "inv", Key: "key", Bundle: trial, Action: work.action, Parameters: json.RawMessage(work.parameters), Now: time.Unix(1_700_000_000, 0)}
			run := func(h *host.Host) {
				if out, err := h.Run(b.Context(), in); err != nil || out.Fault != nil {
					b.Fatal(out.Fault, err)
				}
			}
			run(here)
			run(there)
			used := func() time.Duration {
				all := processorTimeOf(b, os.Getpid())
				for _, pid := range there.WorkerIDs() {
					all += processorTimeOf(b, pid)
				}
				return all
			}
			var wall, cpu [2]time.Duration
			n := 0
			for b.Loop() {
				const times = 50
				for i, h := range []*host.Host{here, there} {
					began, before := time.Now(), used()
					for range times {
						run(h)
					}
					wall[i] += time.Since(began)
					cpu[i] += used() - before
				}
				n += times
			}
			for i, where := range []string{"here", "there"} {
				b.ReportMetric(float64(wall[i].Microseconds())/float64(n), where+"-wall-µs")
				b.ReportMetric(float64(cpu[i].Microseconds())/float64(n), where+"-cpu-µs")
			}
			b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "cpu-ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func large() []byte {
	text := make([]byte, 64<<10)
	for i := range text {
		text[i] = 'a' + byte(i%26)
	}
	return fmt.Appendf(nil, `{"text":%q}`, text)
}

// BenchmarkStartOfAWorker is how long the first invocation of a connector waits, and what the worker then holds.
func BenchmarkStartOfAWorker(b *testing.B) {
	h := isolated(b, host.Options{Workers: 1})
	trial := install(b, h, built["trial"])
	ended := func() time.Duration { // what workers used that are gone
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before, n := ended(), 0
	for b.Loop() {
		n++
		out, err := h.Run(b.Context(), host.Invocation{ID: "inv", Key: "key", Bundle: trial, Action: "count", Connector: fmt.Sprint("c", n)})
		if err != nil || out.Fault != nil {
			b.Fatal(out.Fault, err)
		}
	}
	b.ReportMetric(float64((ended()-before).Microseconds())/1000/float64(max(n-1, 1)), "cpu-ms")
	var used, resident, shared int
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", h.WorkerIDs()[0]))
	if err == nil {
		_, err = fmt.Sscan(string(text), &used, &resident, &shared)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(resident*os.Getpagesize())/(1<<20), "resident-MiB")
	b.ReportMetric(float64((resident-shared)*os.Getpagesize())/(1<<20), "own-MiB")
}
