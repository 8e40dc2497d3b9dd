package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/connector"
	"github.com/riposte-soar/riposte/server/expr"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/rule"
	"github.com/riposte-soar/riposte/server/runbook"
	"github.com/riposte-soar/riposte/server/store/badgerstore"
)

// clock is the time of a test. It stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond) // uids are in order
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// answer is what a scripted action gives.
type answer func(ctx context.Context, inv host.Invocation, params map[string]any) host.Outcome

// actor is a Runner made of scripts, one for each action.
type actor struct {
	mu      sync.Mutex
	answers map[string]answer
	calls   []host.Invocation
	atWork  int
	most    int // at work at once
}

func (a *actor) Run(ctx context.Context, inv host.Invocation) (host.Outcome, error) {
	a.mu.Lock()
	a.calls = append(a.calls, inv)
	a.atWork++
	a.most = max(a.most, a.atWork)
	script := a.answers[inv.Action]
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.atWork--
		a.mu.Unlock()
	}()
	var params map[string]any
	if err := json.Unmarshal(inv.Parameters, &params); err != nil {
		return host.Outcome{}, err
	}
	if script == nil {
		return output(map[string]any{"ip": params["ip"], "present": true, "score": 9, "rows": []any{}}), nil
	}
	return script(ctx, inv, params), nil
}

// on scripts an action.
func (a *actor) on(action string, do answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers[action] = do
}

// called lists the calls of an action, as their parameters "ip", in order.
func (a *actor) called(action string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []string{}
	for _, inv := range a.calls {
		if inv.Action == action {
			var params map[string]any
			_ = json.Unmarshal(inv.Parameters, &params)
			list = append(list, fmt.Sprint(params["ip"]))
		}
	}
	return list
}

func (a *actor) invocations(action string) (list []host.Invocation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, inv := range a.calls {
		if inv.Action == action {
			list = append(list, inv)
		}
	}
	return list
}

func output(v any) host.Outcome {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return host.Outcome{Output: raw}
}

func failure(kind abi.Kind, message string) host.Outcome {
	return host.Outcome{Fault: abi.NewFault(kind, message, "")}
}

// failTimes gives a fault the first n times, then success.
func failTimes(n int, out host.Outcome) answer {
	var mu sync.Mutex
	return func(context.Context, host.Invocation, map[string]any) host.Outcome {
		mu.Lock()
		defer mu.Unlock()
		if n--; n >= 0 {
			return out
		}
		return output(map[string]any{"present": true})
	}
}

// gate is an action that waits until it is opened, or cancelled.
type gate struct{ entered, open chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}, 1000), make(chan struct{})} }

func (g *gate) answer(ctx context.Context, _ host.Invocation, _ map[string]any) host.Outcome {
	g.entered <- struct{}{}
	select {
	case <-g.open:
		return output(map[string]any{"present": true})
	case <-ctx.Done():
		return host.Outcome{Fault: abi.NewFault(abi.Cancelled, "stopped", ""), Stats: host.Stats{HostCalls: 1}}
	}
}

// testPlugin has an action of each sort.
func testPlugin() *bundle.Bundle {
	object := func(props string) json.RawMessage {
		return json.RawMessage(`{"type": "object", "properties": {` + props + `}}`)
	}
	ip := object(`"ip": {"type": "string", "target": true}, "comment": {"type": "string"}, "ttl": {"type": "integer"}`)
	result := object(`"ip": {"type": "string"}, "present": {"type": "boolean"}, "score": {"type": "integer"}, "rows": {"type": "array"}, "rule": {"type": "integer"}`)
	return &bundle.Bundle{Digest: "sha256:trial", Manifest: abi.Manifest{Plugin: "trial", Version: "1.4.0", Title: "Trial", Actions: map[string]abi.Action{
		"look":    {Kind: abi.Enrich, Title: "Look", Effect: abi.Read, Parameters: ip, Result: result},
		"search":  {Kind: abi.Investigate, Title: "Search", Effect: abi.Read, Parameters: ip, Result: result},
		"tell":    {Kind: abi.Notify, Title: "Tell", Effect: abi.Keyed, Parameters: ip, Result: result},
		"blocked": {Kind: abi.Investigate, Title: "Is it blocked?", Effect: abi.Read, Parameters: object(`"ip": {"type": "string"}`), Result: result},
		"unblock": {Kind: abi.Release, Title: "Unblock", Effect: abi.Idempotent, Parameters: object(`"ip": {"type": "string"}, "rule": {"type": "integer"}`), Result: result},
		"block": {Kind: abi.Contain, Title: "Block", Effect: abi.Idempotent, Parameters: ip, Result: result, Probe: "blocked", Expires: "ttl",
			Inverse: &abi.Inverse{Action: "unblock", With: map[string]string{"ip": "{parameters.ip}", "rule": "{result.rule}"}}},
		"wipe": {Kind: abi.Contain, Title: "Wipe", Effect: abi.Unsafe, Parameters: ip, Result: result, Inverse: &abi.Inverse{None: "gone is gone"}},
	}}}
}

// content compiles rules and runbooks against the test plugin. texts are YAML documents; which is which is seen by their first word.
func content(t testing.TB, texts ...string) *Content {
	t.Helper()
	c := &Content{Plugins: map[string]*bundle.Bundle{"trial": testPlugin()}, Runbooks: map[string]*Source{}, Texts: map[string]string{},
		Lists:      map[string]any{"crown": expr.NewContentList([]string{"192.0.2.200"})},
		Connectors: map[string]*connector.Connector{"trial": {ID: "trial", Plugin: "trial", Settings: json.RawMessage("{}"), Digest: "c1"}}}
	var books []runbook.File
	var rules []rule.File
	for _, text := range texts {
		word, rest, _ := strings.Cut(strings.TrimSpace(text), ":")
		name, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		if word == "runbook" {
			books = append(books, runbook.File{Name: name + ".yaml", Data: []byte(text)})
		} else {
			rules = append(rules, rule.File{Name: name + ".yaml", Data: []byte(text)})
		}
	}
	compile := func(files []runbook.File) (*runbook.Set, error) {
		set, problems := runbook.Load(files, connector.NewCatalog(c.Plugins, c.Connectors), runbook.Options{Lists: []string{"crown"}})
		return set, problems.Err()
	}
	c.Compile = func(src Source) (*runbook.Runbook, error) {
		set, err := compile(src.Files())
		if err != nil {
			return nil, err
		}
		book, _ := set.Get(strings.TrimSuffix(src.File, ".yaml"))
		return book, nil
	}
	set, err := compile(books)
	if err != nil {
		t.Fatal(err)
	}
	for i, book := range books {
		id := strings.TrimSuffix(book.Name, ".yaml")
		compiled, ok := set.Get(id)
		if !ok {
			t.Fatalf("%s is not in the set", id)
		}
		src := &Source{Runbook: compiled, File: books[i].Name, Text: string(books[i].Data)}
		for _, called := range compiled.Calls {
			at := slices.IndexFunc(books, func(f runbook.File) bool { return f.Name == called+".yaml" })
			src.Called = append(src.Called, Source{File: books[at].Name, Text: string(books[at].Data)})
		}
		c.Runbooks[id] = src
	}
	var problems error
	if c.Rules, problems = loadRules(rules, slices.Collect(maps.Keys(c.Runbooks))); problems != nil {
		t.Fatal(problems)
	}
	return c
}

func loadRules(files []rule.File, books []string) (*rule.Set, error) {
	set, problems := rule.Load(files, rule.Options{Runbooks: books, Lists: map[string][]string{"crown": {"192.0.2.200"}}})
	return set, problems.Err()
}

// rig is an engine on a real store, with what it stands on.
type rig struct {
	testing.TB
	*Engine
	clock   *clock
	actor   *actor
	store   *badgerstore.Store
	options Options
	log     *logBook
}

// logBook fails the test when the engine logs an error that the test does not expect.
type logBook struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func (b *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	b.lines = append(b.lines, line)
	return nil
}

func (b *logBook) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines = nil
	return lines
}

func openStore(t testing.TB) *badgerstore.Store {
	t.Helper()
	store, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Ballast: -1, Log: slog.New(slog.DiscardHandler), Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// work makes an engine at work; mods change its options.
func work(t testing.TB, c *Content, mods ...func(*Options)) *rig {
	t.Helper()
	r := &rig{TB: t, clock: newClock(), actor: &actor{answers: map[string]answer{}}, store: openStore(t), log: &logBook{}}
	r.options = Options{Store: r.store, Runner: r.actor, Content: c, Now: r.clock.Now, Log: slog.New(r.log)}
	for _, mod := range mods {
		mod(&r.options)
	}
	r.Engine = New(r.options)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Stop()
		r.settled()
		for _, line := range r.log.take() {
			t.Error("the engine logged:", line)
		}
	})
	return r
}

// settled checks that a stopped engine holds nothing back.
func (r *rig) settled() {
	r.Helper()
	// The store takes what was submitted in order: once this is on disk, so is all that the engine left on its way.
	if err := journal.Commit(context.Background(), r.store, []journal.Op{{Key: []byte("z/settled"), Value: []byte{}}}); err != nil {
		r.Error(err)
	}
	if n := len(r.Engine.actions); n != 0 {
		r.Errorf("%d tokens of invocations are held", n)
	}
	r.Engine.mu.Lock()
	defer r.Engine.mu.Unlock()
	if n := len(r.Engine.running); n != 0 {
		r.Errorf("%d invocations are known as running", n)
	}
}

// restart stops the engine and starts another on the same store.
func (r *rig) restart() {
	r.Helper()
	r.Stop()
	r.settled()
	r.Engine = New(r.options)
	if err := r.Start(); err != nil {
		r.Fatal(err)
	}
}

// advance moves the clock, and lets the timers see it.
func (r *rig) advance(d time.Duration) {
	r.clock.add(d)
	select {
	case r.Engine.timers.wake <- struct{}{}:
	default:
	}
}

// send takes an alarm in and waits until it is on disk.
func (r *rig) send(fields map[string]any) string {
	r.Helper()
	a := r.alarm(fields)
	done := make(chan error, 1)
	r.Accept(r.Context(), a, func(err error) { done <- err })
	if err := <-done; err != nil {
		r.Fatal(err)
	}
	return a.UID
}

func (r *rig) alarm(fields map[string]any) *alarm.Alarm {
	now := r.clock.Now()
	b := alarm.NewBuilder(now, alarm.Intake{Source: alarm.HTTP, Peer: "198.51.100.9"}, "raw")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f, ok := alarm.Lookup(name)
		if !ok {
			r.Fatalf("no field %s", name)
		}
		b.Set(f, fields[name])
	}
	return b.Build(alarm.JSON)
}

// open opens an incident by an alarm of which the rule "opens" makes one without a runbook.
func (r *rig) open() string {
	r.Helper()
	return r.record(r.send(map[string]any{"rule.name": "plain", "source.ip": "10.1.2.3"})).Incidents[0]
}

func (r *rig) record(uid string) *AlarmRecord {
	r.Helper()
	rec, err := r.Alarm(uid)
	if err != nil {
		r.Fatal(err)
	}
	return rec
}

// until follows an incident until its state on disk is as ok says.
func (r *rig) until(id string, what string, ok func(*incident.Incident) bool) *incident.Incident {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second) // only a test that fails waits for it
	defer cancel()
	in := &incident.Incident{}
	err := r.Follow(ctx, id, 0, func(f *journal.Fact) error {
		if err := in.Apply(f); err != nil {
			return err
		}
		if ok(in) {
			return journal.ErrStop
		}
		return nil
	})
	if err != nil {
		r.Fatalf("waiting until %s: %v\n%s", what, err, r.timeline(id))
	}
	full, err := r.Incident(id)
	if err != nil {
		r.Fatal(err)
	}
	return full
}

// ended waits for the end of a run.
func (r *rig) ended(run string) *incident.Run {
	r.Helper()
	in := r.until(IncidentOf(run), run+" has ended", func(in *incident.Incident) bool {
		x := in.Run(run)
		return x != nil && x.Status.Ended()
	})
	return in.Run(run)
}

// run starts a runbook on a new incident and waits for its end.
func (r *rig) run(book string, inputs map[string]any) *incident.Run {
	r.Helper()
	return r.ended(r.begin(book, inputs))
}

func (r *rig) begin(book string, inputs map[string]any) string {
	r.Helper()
	id, err := r.StartRun(r.open(), book, inputs, "mia")
	if err != nil {
		r.Fatal(err)
	}
	return id
}

// timeline is the incident in sentences.
func (r *rig) timeline(id string) string {
	facts, err := r.Facts(id, 0)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for i := range facts {
		fmt.Fprintf(&b, "%4d %s\n", facts[i].Seq, incident.Sentence(&facts[i]))
	}
	return b.String()
}

// want checks the status of a run and, as "path=status", those of its steps.
func (r *rig) want(run *incident.Run, status incident.Status, steps ...string) {
	r.Helper()
	if run.Status != status {
		r.Errorf("%s is %s, want %s: %v\n%s", run.ID, run.Status, status, run.Fault, r.timeline(run.Incident))
	}
	for _, s := range steps {
		path, want, _ := strings.Cut(s, "=")
		got := "never began"
		if st := run.Steps[path]; st != nil {
			if got = string(st.Status); st.NotTaken {
				got = "not taken"
			}
		}
		if got != want {
			r.Errorf("step %s: %s, want %s\n%s", path, got, want, r.timeline(run.Incident))
		}
	}
}

// fault checks the kind of an error.
func (r *rig) fault(err error, kind abi.Kind) {
	r.Helper()
	var f *abi.Fault
	if !errors.As(err, &f) || f.Kind != kind {
		r.Errorf("got %v, want a fault of kind %s", err, kind)
	}
}

// plain opens an incident without a runbook.
const plainRule = `
rule: plain
when: rule.name == "plain"
template: plain`

const plainTemplate = `
template: plain
type: trial
title: plain
severity: low
artifacts: {src_ip: source.ip}`

// book is a runbook that is called b.
func book(lines ...string) string {
	return "runbook: b\nversion: 1\n" + strings.Join(lines, "\n") + "\n"
}

// with starts an engine with the plain rule and these documents.
func with(t testing.TB, texts ...string) *rig {
	t.Helper()
	return work(t, content(t, append([]string{plainRule, plainTemplate}, texts...)...))
}

// lookOrBad fails for the address "bad".
func lookOrBad(_ context.Context, _ host.Invocation, params map[string]any) host.Outcome {
	if params["ip"] == "bad" {
		return failure(abi.Failed, "no such thing")
	}
	return output(map[string]any{"ip": params["ip"], "score": 9, "rows": []any{}})
}

// submitted is the start of an invocation that is in the store.
func submitted() *submission {
	s := newSubmission()
	s.end(nil)
	return s
}
