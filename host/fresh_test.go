package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riposte-soar/riposte/host"
)

// Each call of an action must be the first one: with the same input, output and instructions are the same, whatever other actions did to the
// instance before, and however its memory was put back.
func TestCallsAreAlike(t *testing.T) {
	var fuel [2]int64
	for way, options := range []host.Options{{}, host.Options{}.WithCopies()} {
		h := newHost(t, options)
		b := install(t, h, built["trial"])
		echo := func(i int) host.Invocation {
			return host.Invocation{Bundle: b, Action: "echo", Parameters: json.RawMessage(fmt.Sprintf(`{"list":["%0*d"]}`, 1+i%3000, i))}
		}
		same := host.Invocation{Bundle: b, Action: "echo", Parameters: json.RawMessage(`{"n":[1,2,{"x":"y"}]}`)}
		for i := range 250 {
			out := mustRun(t, h, same)
			if out.Fault != nil || string(out.Output) != `{"n":[1,2,{"x":"y"}]}` {
				t.Fatalf("call %d: %v %s", i, out.Fault, out.Output)
			}
			if fuel[way] == 0 {
				fuel[way] = out.Stats.Fuel
			}
			if out.Stats.Fuel != fuel[way] {
				t.Fatalf("call %d took %d instructions, the first one %d", i, out.Stats.Fuel, fuel[way])
			}
			switch i % 50 {
			case 20:
				mustRun(t, h, host.Invocation{Bundle: b, Action: "crash"})
			case 40:
				mustRun(t, h, host.Invocation{Bundle: b, Action: "exit"})
			default:
				mustRun(t, h, echo(i))
			}
		}
	}
	if fuel[0] != fuel[1] {
		t.Errorf("%d instructions with a mapped image, %d with copies", fuel[0], fuel[1])
	}
}

// A guest that grows its memory, as every one in Rust does, finds it as small as before in the next call, and empty behind that.
func TestMemoryGrowsAnew(t *testing.T) {
	a := says(`{"output":1}`)
	trapIf := []byte{0x04, 0x40, opUnreachable, opEnd}
	a.actions[0].code = join(
		i32const(20), []byte{0x40, 0}, i32const(1), []byte{0x47}, trapIf, // memory.grow gives the size before
		i32const(1<<16+8), []byte{0x28, 2, 0}, trapIf,
		i32const(1<<16+8), i32const(7), []byte{0x36, 2, 0},
		a.actions[0].code)
	file := a.pack(t)
	var fuel int64
	for _, options := range []host.Options{{}, host.Options{}.WithCopies()} {
		h := newHost(t, options)
		b := install(t, h, file)
		for i := range 100 {
			out := mustRun(t, h, host.Invocation{Bundle: b, Action: "act"})
			if fuel == 0 {
				fuel = out.Stats.Fuel
			}
			if string(out.Output) != "1" || out.Stats.Memory != 21<<16 || out.Stats.Fuel != fuel {
				t.Fatalf("call %d: %s %v, %d bytes, fuel %d instead of %d", i, out.Output, out.Fault, out.Stats.Memory, out.Stats.Fuel, fuel)
			}
		}
		if n := h.Instances(); n != 1 {
			t.Errorf("one call after the other left %d instances", n)
		}
	}
}

// mappings counts those of images.
func mappings(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("NOT TESTED: this system does not tell its mappings: ", err)
	}
	return strings.Count(string(maps), "riposte-image")
}

func TestUnusedInstancesGo(t *testing.T) {
	before := mappings(t)
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, host.Options{Idle: time.Minute, Concurrency: 16})
		b := install(t, h, built["trial"])
		var calls sync.WaitGroup
		for range 16 {
			calls.Go(func() {
				for range 20 {
					if out, err := h.Run(context.Background(), host.Invocation{ID: "i", Key: "k", Bundle: b, Action: "echo", Parameters: json.RawMessage(`{}`)}); err != nil || out.Fault != nil {
						t.Error(err, out.Fault)
					}
				}
			})
		}
		calls.Wait()
		mustRun(t, h, host.Invocation{Bundle: b, Action: "devour"}) // its instance grows, and is not kept
		used := mappings(t)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if now := mappings(t); h.Loaded() != 1 || now >= used && used > before {
			t.Errorf("%d modules are loaded; of %d mappings %d are left", h.Loaded(), used, now)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if now := mappings(t); h.Loaded() != 0 || now != before {
			t.Errorf("%d modules are loaded; %d mappings, before there were %d", h.Loaded(), now, before)
		}
	})
}
