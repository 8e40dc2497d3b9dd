package conformance_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

type vault map[secret.Ref]string

func (v vault) Resolve(_ context.Context, ref secret.Ref) (secret.Secret, error) {
	return secret.New(v[ref], string(ref)), nil
}

func startHost(t testing.TB) *host.Host {
	t.Helper()
	services := hostcall.NewServices(hostcall.ServicesOptions{
		Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Secrets: vault{"env:TOKEN": token, "env:PASSWORD": password}, KV: hostcall.NewMemoryKV(nil)})
	t.Cleanup(services.Close)
	h, err := host.New(host.Options{CacheDir: t.TempDir(), Services: services, Output: 8 << 20, Timeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// subject is the plugin of one language in the lab.
type subject struct {
	language string
	host     *host.Host
	bundle   *bundle.Bundle
	lab      lab
}

// seen is what came of a trial: the outcome, and what the tape holds of the host calls.
type seen struct {
	host.Outcome
	calls []string
}

// TestConformance runs every trial in every language.
func TestConformance(t *testing.T) {
	h, world := startHost(t), startLab(t)
	known := map[string]seen{}
	for _, l := range languages(t) {
		t.Run(l.Name, func(t *testing.T) {
			s := &subject{l.Name, h, build(t, l, 2), world}
			if err := h.Install(t.Context(), s.bundle); err != nil {
				t.Fatal(err)
			}
			for _, c := range trials() {
				c.action = cmp.Or(c.action, c.name)
				t.Run(c.name, func(t *testing.T) {
					got := s.try(t, c)
					c.check(t, got)
					if l.Name == reference {
						known[c.name] = got
						return
					}
					c.compare(t, got, known[c.name])
				})
			}
			t.Run("faults of the host", s.receivesFaults)
		})
	}
}

// invocation makes that of a trial. It is the same in each language, and so are the keys and the randomness that come of it.
func (s *subject) invocation(t *testing.T, c trial, log tape.Log) host.Invocation {
	t.Helper()
	grant := capability.Grant{}
	for _, r := range s.bundle.Manifest.Requires {
		grant[r.ID] = capability.Narrowing{}
	}
	settings := maps.Clone(s.lab.settings)
	maps.Copy(settings, c.settings)
	if c.with == nil {
		c.with = object{}
	}
	return host.Invocation{ID: "inv-1", Key: "key-" + c.name, Bundle: s.bundle, Action: c.action, Connector: s.language, Parameters: encode(t, c.with),
		Settings: encode(t, settings), Grant: grant, Incident: "IN-1", Run: "RUN-1", Step: "a[1]/b", Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Tape: log}
}

func encode(t testing.TB, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (s *subject) run(t *testing.T, in host.Invocation) host.Outcome {
	t.Helper()
	out, err := s.host.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try makes a call, and replays its tape: that must give the same, to the instruction.
func (s *subject) try(t *testing.T, c trial) seen {
	t.Helper()
	log := &tape.Memory{}
	in := s.invocation(t, c, log)
	out := s.run(t, in)
	entries := log.Entries()
	text := string(encode(t, out)) + string(encode(t, entries))
	for _, secret := range []string{token, password} {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is in the outcome or on the tape: %.2000s", text)
		}
	}
	timed := out.Fault != nil && out.Fault.Kind == abi.Timeout && c.action != "fetch" && c.action != "get-json" && c.action != "fail"
	if len(entries) > 0 && !timed {
		in.Tape = tape.NewReplay(entries, tape.Exact)
		again := s.run(t, in)
		if !reflect.DeepEqual(again.Fault, out.Fault) || string(again.Output) != string(out.Output) || again.Stats.Fuel != out.Stats.Fuel {
			t.Errorf("the replay gave %.300s %v with fuel %d, not %.300s %v with %d", again.Output, again.Fault, again.Stats.Fuel, out.Output, out.Fault, out.Stats.Fuel)
		}
	}
	return seen{out, callsOf(entries)}
}

// callsOf writes the host calls of a tape in lines, without what differs from one run to the next.
func callsOf(entries []tape.Entry) (lines []string) {
	for _, e := range entries {
		if e.Call != nil {
			lines = append(lines, fmt.Sprintf("%d %s %s %s %s %s %s", e.Seq, e.Kind, e.Call.Function, e.Call.Capability, e.Call.Effect, e.Call.Digest, e.Call.Key))
		}
		if e.Kind == tape.EndKind {
			lines = append(lines, fmt.Sprintf("%d answer %s", e.Seq, tape.Digest(e.Document(e.Reply))))
		}
	}
	return lines
}

// check holds what came of a trial against what it must give.
func (c trial) check(t *testing.T, got seen) {
	t.Helper()
	switch {
	case c.kind == "" && got.Fault != nil:
		t.Fatalf("got %v %v %v", got.Fault, got.Logs, got.Stack)
	case c.kind == "":
		if c.gives != nil && !reflect.DeepEqual(decode(t, got.Output), decode(t, encode(t, c.gives))) {
			t.Errorf("gave %.500s, want %.500s", got.Output, encode(t, c.gives))
		}
	case got.Fault == nil || got.Fault.Kind != c.kind:
		t.Fatalf("gave %.300s %v, want a fault of kind %s", got.Output, got.Fault, c.kind)
	case !strings.HasPrefix(got.Fault.Message, c.says):
		t.Errorf("the fault says %q, not %q", got.Fault.Message, c.says)
	case !regexp.MustCompile(c.tells).MatchString(got.Fault.Message):
		t.Errorf("the fault says %q, which does not match %s", got.Fault.Message, c.tells)
	case c.where != "" && got.Fault.Where != c.where:
		t.Errorf("the fault is at %q, not %q", got.Fault.Where, c.where)
	}
}

// compare holds it against what it came to in the language of reference.
func (c trial) compare(t *testing.T, got, want seen) {
	t.Helper()
	if !reflect.DeepEqual(got.calls, want.calls) {
		t.Errorf("the tape holds\n%s\nand not\n%s", strings.Join(got.calls, "\n"), strings.Join(want.calls, "\n"))
	}
	if len(want.Output) > 0 && !reflect.DeepEqual(decode(t, got.Output), decode(t, want.Output)) {
		t.Errorf("gave %.1000s, not %.1000s", got.Output, want.Output)
	}
	if c.own {
		return
	}
	if !reflect.DeepEqual(got.Fault, want.Fault) {
		t.Errorf("the fault is %+v, not %+v", got.Fault, want.Fault)
	}
	if a, b := encode(t, got.Logs), encode(t, want.Logs); string(a) != string(b) {
		t.Errorf("logged %s, not %s", a, b)
	}
	if a, b := encode(t, got.Emissions), encode(t, want.Emissions); string(a) != string(b) {
		t.Errorf("emitted %.500s, not %.500s", a, b)
	}
}

func decode(t testing.TB, raw json.RawMessage) (v any) {
	t.Helper()
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Errorf("%.300s: %v", raw, err)
	}
	return v
}

// receivesFaults lets the host answer a request with each kind of fault: the action can see all of it, and lets it pass unchanged.
func (s *subject) receivesFaults(t *testing.T) {
	log := &tape.Memory{}
	in := s.invocation(t, trial{name: "record", action: "catch", with: object{"path": "/person"}}, log)
	if out := s.run(t, in); out.Fault == nil || out.Fault.Kind != abi.Failed {
		t.Fatalf("got %v", out.Fault)
	}
	for _, kind := range kinds {
		want := abi.Fault{Kind: kind, Message: "no " + unicode, Hint: "ask " + unicode, Where: "$.url", Retryable: kind == abi.Conflict, RetryAfter: 1500}
		in.Tape = tape.NewReplay(answering(t, log.Entries(), want), tape.Exact)
		out := s.run(t, in)
		gives := object{"kind": kind, "message": want.Message, "hint": want.Hint, "where": want.Where, "retryable": want.Retryable, "retry_after_ms": 1500}
		if out.Fault != nil || !reflect.DeepEqual(decode(t, out.Output), decode(t, encode(t, gives))) {
			t.Errorf("%s: caught %s %v", kind, out.Output, out.Fault)
		}
	}
	log = &tape.Memory{}
	in = s.invocation(t, trial{name: "record", action: "get-json", with: object{"path": "/person"}}, log)
	s.run(t, in)
	for _, kind := range kinds {
		want := abi.Fault{Kind: kind, Message: "no " + unicode, Hint: "ask", Where: "$.url", Retryable: true, RetryAfter: 1}
		in.Tape = tape.NewReplay(answering(t, log.Entries(), want), tape.Exact)
		if out := s.run(t, in); out.Fault == nil || *out.Fault != want {
			t.Errorf("%s: gave %s %v", kind, out.Output, out.Fault)
		}
	}
}

// answering gives a tape on which every answer is a fault.
func answering(t *testing.T, recorded []tape.Entry, fault abi.Fault) []tape.Entry {
	entries := append([]tape.Entry(nil), recorded...)
	for i := range entries {
		if entries[i].Kind == tape.EndKind {
			entries[i].Reply = &tape.Body{Inline: encode(t, abi.Reply{Fault: &fault})}
		}
	}
	return entries
}
