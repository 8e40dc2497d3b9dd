package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/host/worker"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func everything(*bundle.Bundle) bool { return true }

// isolated makes a host that runs everything in worker processes.
func isolated(t testing.TB, o host.Options) *host.Host {
	t.Helper()
	o.Isolate = everything
	if o.Worker == "" {
		o.Worker = host.Self()
	}
	return newHost(t, o)
}

// stillServices are services whose clock stands, so that tapes can be compared byte for byte.
func stillServices(t testing.TB) *hostcall.Services {
	s := hostcall.NewServices(hostcall.ServicesOptions{
		Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Secrets: vault{"env:TOKEN": "correct-horse-battery"},
		Now:     func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	})
	t.Cleanup(s.Close)
	return s
}

// TestAWorkerChangesNothing: outcome and tape of an invocation are the same, to the byte, in this process and in another.
func TestAWorkerChangesNothing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Del("Date")
		w.Header()["Date"] = nil
		fmt.Fprintf(w, `{"path":%q,"token":%q,"<html>":"&"}`, r.URL.Path, r.Header.Get("X-Webhook-Token"))
	}))
	t.Cleanup(server.Close)
	services := stillServices(t)
	here, there := newHost(t, host.Options{Services: services}), isolated(t, host.Options{Services: services})
	var list []host.Invocation
	add := func(b *bundle.Bundle, action, parameters, settings string, grant capability.Grant) {
		list = append(list, host.Invocation{ID: "inv-1", Key: "key-1", Bundle: b, Action: action, Parameters: json.RawMessage(parameters),
			Settings: json.RawMessage(settings), Grant: grant, Now: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Timeout: 20 * time.Second})
	}
	both := func(file []byte) *bundle.Bundle {
		install(t, here, file)
		return install(t, there, file)
	}
	webhook, trial := both(built["webhook"]), both(built["trial"])
	add(webhook, "post", `{"body":{"a":"<b>"},"path":"in","method":"PUT"}`, `{"url":"`+server.URL+`/hook","signed":true,"token":{"secret":"env:TOKEN"}}`, capability.Grant{"signed-target": {}})
	add(webhook, "post", `{"body":1}`, `{"url":"`+server.URL+`/"}`, nil)
	add(both(built["plain"]), "run", `{"name":"you","list":[1,2,3]}`, `{ "greeting" : "Hello" }`, nil)
	api := capability.Grant{"api": {}, "keep": {}}
	settings := `{"url":"` + server.URL + `","token":{"secret":"env:TOKEN"}}`
	for _, action := range []string{"settings", "crash", "exit", "deny", "recurse", "devour", "flood", "chatter", "shout", "observe", "lie", "count", "remember", "find"} {
		add(trial, action, "", settings, api)
	}
	add(trial, "echo", `{"a" : "<&>\u2028", "b":[1.0, 1e3]}`, settings, api)
	add(trial, "fetch", `{"url":"`+server.URL+`/x","times":3}`, settings, api)
	add(trial, "fetch", `{"url":"`+server.URL+`/x","times":5}`, settings, api)
	add(trial, "fetch", `{"url":"http://192.0.2.1/","times":1}`, settings, api)
	add(trial, "doze", "", settings, api)
	for _, name := range []string{"trap", "recursion", "write from nowhere", "output twice", "output of 4 MiB"} {
		add(both(assembledShapes("")[name].module.pack(t)), "act", "", "", nil)
	}
	file, err := command()
	if err != nil {
		t.Fatal(err)
	}
	program := both(file)
	for _, action := range []string{"fetch", "look", "deny", "crash", "late", "open", "wait", "count"} {
		add(program, action, "", settings, capability.Grant{"site": {}})
	}
	add(both(pack(t, trapping(t, "tinygo"), abi.Manifest{Plugin: "tinygo", Version: "1.0.0", Title: "With lines",
		Actions: map[string]abi.Action{"act": {Kind: abi.Enrich, Title: "Crash", Effect: abi.Pure}}})), "act", "", "", nil)
	for _, in := range list {
		t.Run(in.Bundle.Manifest.Plugin+" "+in.Action, func(t *testing.T) {
			var outs []host.Outcome
			var tapes []*tape.Memory
			for _, h := range []*host.Host{here, there} {
				log := &tape.Memory{}
				in.Tape = log
				out := mustRun(t, h, in)
				out.Stats.Wall, out.Stats.Setup = 0, 0
				if in.Action == "doze" {
					out.Stats.Fuel = 0 // it gets as far as it gets
				}
				outs, tapes = append(outs, out), append(tapes, log)
			}
			if !reflect.DeepEqual(outs[0], outs[1]) {
				t.Errorf("here  %+v %v\nthere %+v %v", outs[0], outs[0].Fault, outs[1], outs[1].Fault)
			}
			if a, b := entries(t, tapes[0]), entries(t, tapes[1]); in.Action != "doze" && !bytes.Equal(a, b) {
				t.Errorf("the tapes are\nhere  %s\nthere %s", a, b)
			}
			if in.Action == "doze" {
				return
			}
			replay := in
			replay.Tape = tape.NewReplay(tapes[0].Entries(), tape.Exact)
			out := mustRun(t, there, replay)
			if string(out.Output) != string(outs[0].Output) || out.Stats.Fuel != outs[0].Stats.Fuel || !reflect.DeepEqual(out.Fault, outs[0].Fault) {
				t.Errorf("a replay in a worker gives %s %v with fuel %d, not %s %v with %d", out.Output, out.Fault, out.Stats.Fuel, outs[0].Output, outs[0].Fault, outs[0].Stats.Fuel)
			}
		})
	}
}

func entries(t *testing.T, log *tape.Memory) []byte {
	t.Helper()
	raw, err := json.Marshal(log.Entries())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestHostileGuestsInWorkers: what is stopped in this process is stopped in a worker, which lives on. Since each guest takes a process for itself,
// only some of them come.
func TestHostileGuestsInWorkers(t *testing.T) {
	h := isolated(t, host.Options{Memory: siegeMemory, Workers: 2})
	for _, s := range someShapes(t, h, 5) {
		s.turn(t, h, 0)
		s.turn(t, h, 1)
		if n := h.Workers(); n == 0 || n > 2 {
			t.Errorf("after %s there are %d workers", s.name, n)
		}
	}
}

// TestWhoNeedsAWorkerGetsOne: each connector of each package has its own, there are never too many, and those that idle end.
func TestWhoNeedsAWorkerGetsOne(t *testing.T) {
	h := isolated(t, host.Options{Workers: 2, WorkerIdle: 50 * time.Millisecond})
	b := install(t, h, built["trial"])
	for n, connector := range []string{"a", "a", "b", "c", "a", "b"} {
		out := mustRun(t, h, host.Invocation{Bundle: b, Action: "count", Connector: connector})
		if string(out.Output) != "1" {
			t.Errorf("invocation %d counted %s, %v", n, out.Output, out.Fault)
		}
		if n := h.Workers(); n > 2 {
			t.Errorf("there are %d workers", n)
		}
	}
	done := make(chan string, 8)
	for range cap(done) {
		go func() {
			out, err := h.Run(context.Background(), host.Invocation{ID: "i", Key: "k", Bundle: b, Action: "count", Connector: "a"})
			done <- fmt.Sprint(string(out.Output), out.Fault, err)
		}()
	}
	for range cap(done) {
		if got := <-done; got != "1<nil> <nil>" {
			t.Error("at the same time:", got)
		}
	}
	for h.Workers() > 0 {
		runtime.Gosched() // those that idle end by themselves
	}
}

// TestNativeCodeOfIsolatedModulesStaysApart: a host that trusts a package does not find what workers made of it.
func TestNativeCodeOfIsolatedModulesStaysApart(t *testing.T) {
	cache := t.TempDir()
	b := install(t, isolated(t, host.Options{CacheDir: cache}), built["plain"])
	if list, err := os.ReadDir(filepath.Join(cache, host.EngineVersion())); err == nil {
		t.Errorf("the cache of this process holds %v", list)
	}
	trusting := newHost(t, host.Options{CacheDir: cache, Worker: host.Self()})
	if _, err := trusting.Run(t.Context(), host.Invocation{Bundle: b, Action: "run"}); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("the error is %v", err)
	}
	install(t, trusting, built["plain"])
	out := mustRun(t, trusting, host.Invocation{Bundle: b, Action: "run", Parameters: json.RawMessage(`{"name":"you","list":[1]}`), Settings: json.RawMessage(`{"greeting":"Hello"}`)})
	if string(out.Output) != `{"list":[1],"said":"Hello you"}` {
		t.Errorf("what a worker compiled gave %s, %v", out.Output, out.Fault)
	}
	if trusting.Workers() > 0 {
		t.Error("a package that is trusted runs in a worker")
	}
	none := newHost(t, host.Options{CacheDir: cache, Isolate: everything})
	for _, err := range []error{none.Install(t.Context(), b), mustRun(t, none, host.Invocation{Bundle: b, Action: "run", Parameters: json.RawMessage("{}")}).Fault} {
		if fault := abi.AsFault(err); fault.Kind != abi.Refused {
			t.Errorf("without a program for workers: %v", err)
		}
	}
}

// TestACompileBombIsDefused: compilation takes no more time and memory than a worker may have, and this process has none of it.
func TestACompileBombIsDefused(t *testing.T) {
	for name, test := range map[string]struct {
		bomb assembly
		o    host.Options
		says string
	}{
		"time":   {slowModule(), host.Options{InstallTimeout: time.Second}, "could not be compiled and initialised in 1s"},
		"memory": {wideModule(), host.Options{WorkerMemory: 256 << 20}, "needs more than 256 MiB of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := bundle.Open(test.bomb.pack(t))
			if err != nil {
				t.Fatal(err)
			}
			test.o.CacheDir, test.o.Worker = t.TempDir(), host.Self()
			h := newHost(t, test.o)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			fault := abi.AsFault(h.Install(t.Context(), b))
			runtime.ReadMemStats(&after)
			if fault.Kind != abi.Limit || !strings.Contains(fault.Message, test.says) {
				t.Errorf("the fault is %v", fault)
			}
			if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 4*int64(b.Size) {
				t.Errorf("this process allocated %d KiB for a module of %d KiB", grown>>10, b.Size>>10)
			}
			if _, err := h.Run(t.Context(), host.Invocation{Bundle: b, Action: "act"}); err == nil {
				t.Error("it runs")
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, err := bundle.Open(built["trial"])
	if err != nil {
		t.Fatal(err)
	}
	h := isolated(t, host.Options{CacheDir: t.TempDir()})
	if fault := abi.AsFault(h.Install(ctx, b)); fault.Kind != abi.Cancelled {
		t.Errorf("a compilation that was cancelled: %v", fault)
	}
}

func TestACancelledInvocationEndsItsWorker(t *testing.T) {
	h := isolated(t, host.Options{})
	b := install(t, h, built["trial"])
	ctx, cancel := context.WithCancel(t.Context())
	reached := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	go func() {
		<-reached
		cancel()
	}()
	out, err := h.Run(ctx, host.Invocation{ID: "i", Key: "k", Bundle: b, Action: "fetch", Parameters: json.RawMessage(`{"url":"` + server.URL + `/","times":1}`),
		Settings: json.RawMessage(`{"url":"` + server.URL + `"}`), Grant: capability.Grant{"api": {}}})
	if err != nil || out.Fault == nil || out.Fault.Kind != abi.Cancelled {
		t.Errorf("it ended with %v, %v", out.Fault, err)
	}
	if out := mustRun(t, h, host.Invocation{Bundle: b, Action: "count"}); string(out.Output) != "1" {
		t.Errorf("the next gave %s, %v", out.Output, out.Fault)
	}
}

// lies are workers that fell to their guests: each does something else than its work once it has a task, or before.
func lies() map[string]func(p *worker.Pipe) error {
	task := func(then func(p *worker.Pipe, task worker.Frame) error) func(p *worker.Pipe) error {
		return func(p *worker.Pipe) error {
			if _, err := p.Receive(); err != nil {
				return err
			}
			if err := p.Send(worker.Frame{Kind: host.FrameDone, Head: []byte("{}")}); err != nil {
				return err
			}
			for {
				task, err := p.Receive()
				if err == nil {
					err = then(p, task)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	never := func() error {
		for {
			time.Sleep(time.Hour)
		}
	}
	ended := func(number uint64, head, body string) worker.Frame {
		return worker.Frame{Kind: host.FrameEnded, Number: number, Head: []byte(head), Body: []byte(body)}
	}
	say := func(make func(number uint64) worker.Frame) func(p *worker.Pipe) error {
		return task(func(p *worker.Pipe, task worker.Frame) error { return p.Send(make(task.Number)) })
	}
	return map[string]func(p *worker.Pipe) error{
		"exits at once":      func(*worker.Pipe) error { os.Exit(3); return nil },
		"never answers":      func(*worker.Pipe) error { return never() },
		"answers with noise": func(*worker.Pipe) error { _, err := os.Stdout.Write(bytes.Repeat([]byte{0xee}, 1<<10)); return err },
		"done is not JSON":   func(p *worker.Pipe) error { return p.Send(worker.Frame{Kind: host.FrameDone, Head: []byte("{")}) },
		"is late":            task(func(*worker.Pipe, worker.Frame) error { return never() }),
		"crashes":            task(func(*worker.Pipe, worker.Frame) error { panic("no more") }),
		"ends":               task(func(*worker.Pipe, worker.Frame) error { os.Exit(0); return nil }),
		"sends noise": task(func(*worker.Pipe, worker.Frame) error {
			_, err := os.Stdout.Write(bytes.Repeat([]byte{0xee}, 1<<20))
			return err
		}),
		"takes all memory": task(func(*worker.Pipe, worker.Frame) error {
			var all [][]byte
			for len(all) < 1<<20 {
				all = append(all, bytes.Repeat([]byte{1}, 1<<20))
			}
			return nil
		}),
		"answers before it is asked": func(p *worker.Pipe) error {
			_, err := p.Receive()
			return errors.Join(err, p.Send(worker.Frame{Kind: host.FrameDone, Head: []byte("{}")}), p.Send(ended(0, "{}", "42")), func() error { _, err := p.Receive(); return err }())
		},
		"answers another task":  say(func(n uint64) worker.Frame { return ended(n+1, "{}", "42") }),
		"sends an unknown kind": say(func(n uint64) worker.Frame { return worker.Frame{Kind: 99, Number: n} }),
		"calls what there is not": say(func(n uint64) worker.Frame {
			return worker.Frame{Kind: host.FrameCall, Number: n, Head: []byte("secret.reveal")}
		}),
		"gives what is no JSON":    say(func(n uint64) worker.Frame { return ended(n, "{}", "{") }),
		"ends with what is no end": say(func(n uint64) worker.Frame { return ended(n, "[", "42") }),
		"says too much": say(func(n uint64) worker.Frame {
			return worker.Frame{Kind: host.FrameCall, Number: n, Head: []byte("http.fetch"), Body: make([]byte, 20<<20)}
		}),
		"breaks the schema": say(func(n uint64) worker.Frame { return ended(n, "{}", `{"score":"high"}`) }),
		"gives a strange fault": say(func(n uint64) worker.Frame {
			return ended(n, `{"fault":{"kind":"victory","message":"`+strings.Repeat("x", 10_000)+`"},"stack":["`+strings.Repeat("y", 10_000)+`"],"fuel":-5,"memory":-5,"setup":-5}`, "")
		}),
		"asks for what was not granted": task(func(p *worker.Pipe, task worker.Frame) error {
			if err := p.Send(worker.Frame{Kind: host.FrameCall, Number: task.Number, Head: []byte("http.fetch"), Body: []byte(`{"capability":"api","method":"GET","url":"http://127.0.0.1:1/"}`)}); err != nil {
				return err
			}
			reply, err := p.Receive()
			if err != nil {
				return err
			}
			head, err := json.Marshal(map[string]any{"fault": json.RawMessage(reply.Body[len(`{"fault":`) : len(reply.Body)-1])})
			return errors.Join(err, p.Send(worker.Frame{Kind: host.FrameEnded, Number: task.Number, Head: head}))
		}),
	}
}

// lieOf is the way in which this process is to misbehave, which is the name of its program.
func lieOf() func(p *worker.Pipe) error {
	file, err := os.Executable()
	if err != nil {
		return nil
	}
	return lies()[strings.ReplaceAll(filepath.Base(file), "_", " ")]
}

// TestAWorkerThatMisbehaves is killed, its invocation ends with a fault, and the next gets another one.
func TestAWorkerThatMisbehaves(t *testing.T) {
	install(t, isolated(t, host.Options{}), built["trial"])
	folder := filepath.Dir(sharedCache)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name := range lies() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(folder, strings.ReplaceAll(name, " ", "_"))
			if err := os.Link(self, program); err != nil {
				t.Skip("NOT TESTED: this program cannot be linked: ", err)
			}
			defer os.Remove(program)
			timeout := 20 * time.Second
			h := isolated(t, host.Options{Worker: program, WorkerMemory: 256 << 20, InstallTimeout: timeout})
			want := abi.Trap
			switch name {
			case "never answers":
				h, want = isolated(t, host.Options{Worker: program, InstallTimeout: 300 * time.Millisecond}), abi.Limit
			case "takes all memory":
				want = abi.Limit
			case "is late":
				timeout, want = 300*time.Millisecond, abi.Timeout
			case "gives a strange fault":
				want = abi.Failed
			case "asks for what was not granted":
				want = abi.Refused
			}
			b, err := bundle.Open(built["trial"])
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				out := mustRun(t, h, host.Invocation{Bundle: b, Action: "lie", Timeout: timeout})
				if out.Fault == nil || out.Fault.Kind != want {
					t.Fatalf("the outcome is %s, %v; want a fault of kind %s", out.Output, out.Fault, want)
				}
				if s := out.Stats; s.Fuel < 0 || s.Memory < 0 || s.Setup < 0 || len(out.Fault.Message) > 5000 {
					t.Errorf("the outcome is %+v", out)
				}
				t.Logf("%.100s", out.Fault.Message)
			}
		})
	}
}
