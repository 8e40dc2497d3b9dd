package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
	"github.com/riposte-soar/riposte/server/runbook"
)

// weakStore is a store that fails as it is told.
type weakStore struct {
	journal.Store
	mu      sync.Mutex
	refuse  func(ops []journal.Op) error // asked for each commit; an error is what done gets
	submits int
}

func (s *weakStore) Submit(ctx context.Context, ops []journal.Op, within time.Duration, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock() // the order of what is refused is that of submission
	s.submits++
	var err error
	if s.refuse != nil {
		err = s.refuse(ops)
	}
	if err != nil {
		ops = nil // answered in its turn
	}
	s.Store.Submit(ctx, ops, within, func(other error) {
		if done != nil {
			done(errors.Join(err, other))
		}
	})
}

func (s *weakStore) set(refuse func(ops []journal.Op) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// facts are the kinds of the facts in a commit.
func factsIn(ops []journal.Op) (n int) {
	for _, op := range ops {
		if strings.HasPrefix(string(op.Key), "f/") && !op.Delete {
			n++
		}
	}
	return n
}

var errCrash = errors.New("the process was killed")

// crashAfter lets n commits with facts through, and nothing after that.
func crashAfter(n int, crashed chan<- struct{}) func(ops []journal.Op) error {
	return func(ops []journal.Op) error {
		if n--; n >= 0 {
			return nil
		}
		if n == -1 {
			close(crashed)
		}
		return errCrash
	}
}

// everything has a step of each kind, so that a crash may happen anywhere.
const everything = `runbook: b
version: 1
inputs: {ip: {type: string}}
guards: {max_contain: {per_run: 9}}
steps:
  - id: p
    parallel:
      - {id: l, uses: trial/look@1, with: {ip: "${{ inputs.ip }}"}}
      - {id: bad, uses: trial/look@1, with: {ip: "bad"}, on_error: continue}
  - {id: all, foreach: "${{ ['1', 'bad', '3', '4', '5'] }}", concurrency: 2, on_item_error: continue, uses: trial/look@1, cache: 1h, with: {ip: "${{ item }}"}}
  - {id: again, foreach: "${{ ['1', '3'] }}", uses: trial/look@1, cache: 1h, with: {ip: "${{ item }}"}}
  - {id: s, set: "${{ steps.all.filter(e, !has(e.error)).map(e, e.output.ip) }}"}
  - {id: choice, decide: [{when: "${{ steps.s.size() > 2 }}", then: many}, {else: few}]}
  - {id: few, fail: "too few"}
  - {id: many, foreach: "${{ steps.s }}", as: ip, call: contain, concurrency: 2, with: {ip: "${{ ip }}"}}
  - {id: tell, needs: [many], uses: trial/tell@1, with: {ip: "done"}}
outputs: {s: "${{ steps.s }}", many: "${{ steps.many.map(e, e.output.was) }}"}
runbooks:
  contain:
    inputs: {ip: {type: string}}
    steps: [{id: block, uses: trial/block@1, with: {ip: "${{ inputs.ip }}"}, approval: auto, ttl: 1h}]
    outputs: {was: "${{ steps.block.ip }}"}
`

// summary is what must be the same however a run came to its end.
func (r *rig) summary(id string) string {
	r.Helper()
	in, err := r.Incident(id)
	if err != nil {
		r.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d alarms\n", in.Status, in.Joined)
	for _, run := range in.Runs {
		fmt.Fprintf(&b, "%s %s %s %s\n", run.ID, run.Runbook, run.Status, run.Outputs)
		paths := slices.Sorted(func(yield func(string) bool) {
			for path := range run.Steps {
				if !yield(path) {
					return
				}
			}
		})
		for _, path := range paths {
			s := run.Steps[path]
			fmt.Fprintf(&b, "  %s %s %s", path, s.Status, s.Output)
			if s.Fault != nil {
				fmt.Fprintf(&b, " %v", s.Fault)
			}
			b.WriteString("\n")
		}
	}
	list := []string{}
	for _, c := range in.Containments {
		list = append(list, fmt.Sprintf("contained %v at %s: %s\n", c.Targets, c.Step, c.State))
	}
	slices.Sort(list)
	b.WriteString(strings.Join(list, ""))
	for _, a := range in.Approvals {
		fmt.Fprintf(&b, "approval at %s: %s\n", a.Step, a.State)
	}
	return b.String()
}

// A crash after any commit comes to the same end as none.
func TestCrashAnywhere(t *testing.T) {
	c := content(t, append(alarmRules, everything, plainRule, plainTemplate)...)
	var want string
	commits := 0
	for n := 0; n == 0 || n < commits-3; n++ { // the number varies with what is committed together
		weak := &weakStore{}
		r := work(t, c, func(o *Options) { weak.Store = o.Store; o.Store = weak })
		r.actor.on("look", lookOrBad)
		crashed := make(chan struct{})
		if n > 0 {
			weak.set(crashAfter(n, crashed))
		}
		done := make(chan error, 1)
		r.Accept(t.Context(), r.alarm(netAlarm("10.0.0.1")), func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			r.ended("RUN-000001-1")
			want = r.summary("INC-000001")
			commits = weak.submits
			t.Logf("%d commits\n%s", commits, want)
			continue
		}
		<-crashed
		r.Stop()
		r.settled() // what was refused is logged by now
		r.log.take()
		r.options.Store = r.store
		r.restart()
		r.ended("RUN-000001-1")
		if got := r.summary("INC-000001"); got != want {
			t.Fatalf("crash after commit %d: got\n%s\nwant\n%s\n%s", n, got, want, r.timeline("INC-000001"))
		}
		blocks := map[string]string{}
		for _, inv := range r.actor.invocations("block") {
			if key, ok := blocks[inv.Step]; ok && key != inv.ID+inv.Key {
				t.Errorf("%s was begun as %s and as %s", inv.Step, key, inv.ID+inv.Key)
			}
			blocks[inv.Step] = inv.ID + inv.Key
		}
	}
}

// The store refuses for a while, as on a full disk: nothing is lost, and the journal has no gap.
func TestRefusedCommits(t *testing.T) {
	c := content(t, append(alarmRules, everything, plainRule, plainTemplate)...)
	full := abi.NewFault(abi.Unavailable, "the disk is full", "")
	for n := 1; n < 30; n++ {
		weak := &weakStore{}
		r := work(t, c, func(o *Options) { weak.Store = o.Store; o.Store = weak })
		r.actor.on("look", lookOrBad)
		count := 0
		weak.set(func(ops []journal.Op) error {
			if factsIn(ops) == 0 {
				return nil
			}
			if count++; count == n { // what is behind it in the queue is taken
				return full
			}
			return nil
		})
		a := r.alarm(netAlarm("10.0.0.1"))
		done := make(chan error, 1)
		r.Accept(t.Context(), a, func(err error) { done <- err })
		if err := <-done; err != nil { // it was not taken in: the sender sends it again
			r.fault(err, abi.Unavailable)
			r.Accept(t.Context(), a, func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		id := r.record(a.UID).Incidents[0]
		for i := 0; ; i++ {
			in, err := r.Incident(id)
			if err == nil && len(in.Runs) > 0 && // for a moment, what is to be taken back may stand behind a gap
				in.Runs[0].Status.Ended() {
				break
			}
			next := r.Changed()
			r.advance(retryCommit) // the incident is read again, and goes on
			select {
			case <-next:
			case <-time.After(10 * time.Millisecond):
			}
			if i > 2000 {
				t.Fatalf("refused commit %d: the run does not end: %v\n%s\n%s", n, err, r.timeline(id), strings.Join(r.log.take(), "\n"))
			}
		}
		r.want(r.ended("RUN-"+strings.TrimPrefix(id, "INC-")+"-1"), incident.Succeeded)
		r.Stop()
		r.settled() // what was refused is logged by now
		r.log.take()
	}
}

// A person's word that the store refuses is not acknowledged, and holds when it is said again.
func TestRefusedWord(t *testing.T) {
	weak := &weakStore{}
	r := work(t, content(t, plainRule, plainTemplate), func(o *Options) { weak.Store = o.Store; o.Store = weak })
	id := r.open()
	weak.set(func([]journal.Op) error { return abi.NewFault(abi.Unavailable, "the disk is full", "") })
	r.fault(r.Comment(id, "mia", "one"), abi.Unavailable)
	weak.set(nil)
	if err := r.Comment(id, "mia", "two"); err != nil {
		t.Fatal(err)
	}
	facts, err := r.Facts(id, 0)
	if err != nil || facts[len(facts)-1].Seq != 4 || !strings.Contains(string(facts[3].Data), "two") {
		t.Errorf("%v\n%s", err, r.timeline(id))
	}
	if len(r.log.take()) == 0 {
		t.Error("the refusal was not told")
	}
}

// A backlog that the store refuses stays on disk.
func TestRefusedBacklog(t *testing.T) {
	weak := &weakStore{}
	r := work(t, content(t, append(alarmRules, lookAtIP, plainRule, plainTemplate)...), func(o *Options) { weak.Store = o.Store; o.Store = weak; o.MaxRuns = 1 })
	g := newGate()
	r.actor.on("look", g.answer)
	r.send(netAlarm("10.0.0.1"))
	<-g.entered
	uid := r.send(netAlarm("10.0.0.2"))
	refused := make(chan struct{})
	var once sync.Once
	weak.set(func(ops []journal.Op) error {
		for _, op := range ops {
			if string(op.Key) == prefixPending+uid {
				once.Do(func() { close(refused) })
				return abi.NewFault(abi.Unavailable, "the disk is full", "")
			}
		}
		return nil
	})
	close(g.open)
	<-refused
	weak.set(nil)
	r.Engine.backlog.poke()
	r.alarmIs(uid, AlarmMatched)
	r.idleNow()
	r.log.take()
}

// A stop while actions are at work leaves them in flight: the next start goes on with the same invocations.
func TestStopAtWork(t *testing.T) {
	r := with(t, book(`steps: [{id: a, uses: trial/search@1, with: {ip: "1"}}, {id: b, set: 1}]`))
	g := newGate()
	r.actor.on("search", g.answer)
	run := r.begin("b", nil)
	<-g.entered
	r.restart()
	<-g.entered
	close(g.open)
	r.want(r.ended(run), incident.Succeeded, "a=succeeded", "b=succeeded")
	list := r.actor.invocations("search")
	if len(list) != 2 || list[0].ID != list[1].ID || list[0].Key != list[1].Key || !list[0].Now.Equal(list[1].Now) {
		t.Errorf("%+v", list)
	}
}

// Timers hold over a restart: waits, retries, and the ends of containments of incidents that are at rest otherwise.
func TestTimersHold(t *testing.T) {
	r := with(t, book(`steps: [{id: w, wait: 1h}]`), "runbook: c\nversion: 1\nsteps: [{id: block, uses: trial/block@1, with: {ip: \"192.0.2.1\"}, approval: auto, ttl: 2h}]",
		"runbook: d\nversion: 1\n"+lookOnce)
	r.actor.on("look", failTimes(1, failure(abi.Unavailable, "busy")))
	b, c, d := r.begin("b", nil), r.begin("c", nil), r.begin("d", nil)
	r.want(r.ended(c), incident.Succeeded)
	r.waits(b, "w", 0)
	r.waits(d, "l", 1)
	r.restart()
	r.advance(time.Hour + time.Minute)
	r.want(r.ended(b), incident.Succeeded)
	r.want(r.ended(d), incident.Succeeded)
	r.restart()
	r.advance(time.Hour)
	r.contained(IncidentOf(c), incident.Released)
}

// Runs go on with the runbook that they began with.
func TestRunbookChanges(t *testing.T) {
	old := book(`steps: [{id: w, wait: 1h}, {id: old, set: "old"}]`)
	r := with(t, old)
	run := r.begin("b", nil)
	r.waits(run, "w", 0)
	r.options.Content = content(t, plainRule, plainTemplate, book(`steps: [{id: other, set: "new"}]`))
	r.restart()
	r.advance(2 * time.Hour)
	r.want(r.ended(run), incident.Succeeded, "old=succeeded")
	r.want(r.run("b", nil), incident.Succeeded, "other=succeeded")

	run = func() string { // one whose runbook cannot be compiled any more ends, and says why
		r.options.Content = content(t, plainRule, plainTemplate, old)
		r.restart()
		return r.begin("b", nil)
	}()
	r.waits(run, "w", 0)
	r.options.Content = content(t, plainRule, plainTemplate)
	r.options.Content.Compile = func(Source) (*runbook.Runbook, error) { return nil, errors.New("the plugin is gone") }
	r.restart()
	got := r.ended(run)
	r.want(got, incident.Failed)
	if got.Fault == nil || got.Fault.Kind != abi.Invalid {
		t.Errorf("%v", got.Fault)
	}
}

// A connector or a plugin that is gone ends the step, not the server.
func TestPluginIsGone(t *testing.T) {
	r := with(t, book(`steps: [{id: a, uses: trial/search@1, with: {ip: "1"}}]`))
	g := newGate()
	r.actor.on("search", g.answer)
	run := r.begin("b", nil)
	<-g.entered
	r.options.Content = content(t, plainRule, plainTemplate, book(`steps: [{id: a, uses: trial/search@1, with: {ip: "1"}}]`))
	other := *testPlugin()
	other.Digest = "sha256:other"
	r.options.Content.Plugins["trial"] = &other
	r.restart()
	got := r.ended(run)
	r.want(got, incident.Failed, "a=failed")
	if got.Fault.Kind != abi.Conflict {
		t.Errorf("%v", got.Fault)
	}
}

// The runner's own failure ends the step.
func TestRunnerFails(t *testing.T) {
	r := work(t, content(t, plainRule, plainTemplate, book(`steps: [{id: a, uses: trial/search@1, with: {ip: "1"}}]`)), func(o *Options) { o.Runner = broken{} })
	r.want(r.run("b", nil), incident.Failed, "a=failed")
}

type broken struct{}

func (broken) Run(context.Context, host.Invocation) (host.Outcome, error) {
	return host.Outcome{}, errors.New("no module")
}

// An action gets on while its start is being submitted, but nothing of it is stored, or done outside, before.
func TestStartComesFirst(t *testing.T) {
	weak := &weakStore{}
	r := work(t, content(t, append(alarmRules, everything, plainRule, plainTemplate)...), func(o *Options) { weak.Store = o.Store; o.Store = weak })
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	var first sync.Once
	began := make(chan struct{}, 100)
	r.actor.on("look", func(ctx context.Context, inv host.Invocation, params map[string]any) host.Outcome {
		began <- struct{}{}
		err := inv.Tape.Append(tape.Entry{Kind: tape.BeginKind, Seq: 1, Call: &tape.Call{Function: "http.fetch"}}, inv.Step == "p/l")
		note("call")
		if err != nil {
			return host.Outcome{Fault: abi.AsFault(err)}
		}
		return lookOrBad(ctx, inv, params)
	})
	weak.set(func(ops []journal.Op) error {
		switch {
		case strings.HasPrefix(string(ops[0].Key), prefixTape):
			note("tape")
		case factsIn(ops) > 0:
			first.Do(func() { <-began }) // the submission waits for an action, not the other way round
			note("facts")
		}
		return nil
	})
	r.send(netAlarm("10.0.0.1"))
	r.ended("RUN-000001-1")
	mu.Lock()
	defer mu.Unlock()
	if order[0] != "facts" || !slices.Contains(order, "tape") || !slices.Contains(order, "call") {
		t.Errorf("the order was %v", order)
	}
}

// An action whose start was refused has done what is on its tape: when its incident has been read again, it goes on from there.
func TestRefusedStart(t *testing.T) {
	weak := &weakStore{}
	r := work(t, content(t, append(alarmRules, everything, plainRule, plainTemplate)...), func(o *Options) { weak.Store = o.Store; o.Store = weak })
	var mu sync.Mutex
	var recorded []int // entries that were there when an action came to work
	r.actor.on("tell", func(_ context.Context, inv host.Invocation, params map[string]any) host.Outcome {
		mu.Lock()
		recorded = append(recorded, len(inv.Tape.Recorded()))
		mu.Unlock()
		if err := inv.Tape.Append(tape.Entry{Kind: tape.BeginKind, Seq: 1, Call: &tape.Call{Function: "http.fetch"}}, true); err != nil {
			return host.Outcome{Fault: abi.AsFault(err)}
		}
		return output(map[string]any{"ip": params["ip"], "present": true})
	})
	var first sync.Once
	weak.set(func(ops []journal.Op) (err error) {
		for _, op := range ops {
			if strings.HasPrefix(string(op.Key), "f/") && strings.Contains(string(op.Value), `"invocation":"RUN-000001-1:tell#1"`) {
				first.Do(func() { err = abi.NewFault(abi.Unavailable, "the disk is full", "") })
			}
		}
		return err
	})
	r.send(netAlarm("10.0.0.1"))
	for {
		next := r.Changed()
		if in, err := r.Incident("INC-000001"); err == nil && len(in.Runs) > 0 && in.Runs[0].Status.Ended() {
			break
		}
		r.advance(retryCommit) // the incident is read again, and goes on
		select {
		case <-next:
		case <-time.After(10 * time.Millisecond):
		}
	}
	r.want(r.ended("RUN-000001-1"), incident.Succeeded)
	r.Stop()
	r.settled() // what was refused is logged by now
	r.log.take()
	if want := []int{0, 1}; !slices.Equal(recorded, want) {
		t.Errorf("its tape had %v entries when it came to work, want %v", recorded, want)
	}
}

// An action that was started when the engine stops, before its start was taken, does nothing: the store takes nothing more.
func TestStopBeforeTheStart(t *testing.T) {
	weak := &weakStore{}
	r := work(t, content(t, append(alarmRules, everything, plainRule, plainTemplate)...), func(o *Options) { weak.Store = o.Store; o.Store = weak })
	began, tried := make(chan struct{}, 100), make(chan error, 100)
	r.actor.on("look", func(_ context.Context, inv host.Invocation, _ map[string]any) host.Outcome {
		began <- struct{}{}
		err := inv.Tape.Append(tape.Entry{Kind: tape.BeginKind, Seq: 1, Call: &tape.Call{Function: "http.fetch"}}, true)
		tried <- err
		return host.Outcome{Fault: abi.AsFault(err)}
	})
	var first sync.Once
	stopped := make(chan struct{})
	weak.set(func(ops []journal.Op) error {
		first.Do(func() {
			<-began
			go func() {
				defer close(stopped)
				r.Stop()
			}()
			<-r.ctx.Done()
		})
		return nil
	})
	r.Accept(t.Context(), r.alarm(netAlarm("10.0.0.1")), func(error) {})
	if err := <-tried; err == nil {
		t.Error("its tape was stored")
	}
	<-stopped
	err := r.store.Scan([]byte(prefixTape), nil, false, func(key, _ []byte) error { return fmt.Errorf("%q is there", key) })
	if err != nil {
		t.Error(err)
	}
}
