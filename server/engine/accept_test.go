package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

// rules: "net" joins by source.ip for ten minutes and starts b; "also" follows it for alarms that say so.
var alarmRules = []string{`
rule: net
when: rule.name.startsWith("net")
dedupe: {by: [source.ip], window: 10m}
template: net
order: 1
continue: true`, `
rule: also
when: rule.name == "net also"
template: plain
order: 2`, `
template: net
type: network
title: "${{ source.ip }} is odd"
severity: from-alarm
artifacts: {ip: source.ip}
runbook: b
autorun: true`}

const lookAtIP = "runbook: b\nversion: 1\ninputs: {ip: {type: string}}\nsteps: [{id: l, uses: trial/look@1, with: {ip: \"${{ inputs.ip + ' ' + alarm.source.ip }}\"}}]"

func netAlarm(ip string) map[string]any { return map[string]any{"rule.name": "net", "source.ip": ip} }

func TestAlarm(t *testing.T) {
	r := with(t, append(alarmRules, lookAtIP)...)
	uid := r.send(netAlarm("10.0.0.1"))
	rec := r.record(uid)
	if rec.State != AlarmMatched || !slices.Equal(rec.Rules, []string{"net"}) || !slices.Equal(rec.Incidents, []string{"INC-000001"}) {
		t.Errorf("%+v", rec)
	}
	run := r.ended("RUN-000001-1")
	r.want(run, incident.Succeeded, "l=succeeded")
	if run.Alarm != uid || run.By != "" || r.actor.called("look")[0] != "10.0.0.1 10.0.0.1" {
		t.Errorf("%+v, %v", run.RunStarted, r.actor.called("look"))
	}
	in, err := r.Incident("INC-000001")
	if err != nil || in.Title != "10.0.0.1 is odd" || in.Template != "net" || in.Rule != "net" || in.Status != "open" || len(in.Artifacts) != 1 {
		t.Errorf("%+v, %v", in, err)
	}
	all, err := r.Facts("INC-000001", 0)
	if err != nil || len(all) < 5 {
		t.Fatalf("%v, %v", all, err)
	}
	for after := range all { // wherever facts lie together
		if some, err := r.Facts("INC-000001", uint64(after)); err != nil || !reflect.DeepEqual(some, all[after:]) {
			t.Errorf("after %d: %v, %v", after, some, err)
		}
	}
	uid = r.send(map[string]any{"rule.name": "nothing of the sort"})
	if rec := r.record(uid); rec.State != AlarmUnmatched || len(rec.Incidents) != 0 {
		t.Errorf("%+v", rec)
	}
	if r.Stats.Matched.Load() != 1 || r.Stats.Unmatched.Load() != 1 || r.Stats.Opened.Load() != 1 || r.Stats.RunsFinished.Load() != 1 {
		t.Errorf("%+v", &r.Stats)
	}
}

func TestDedupe(t *testing.T) {
	r := with(t, append(alarmRules, lookAtIP)...)
	incidentOf := func(ip string) string { return r.record(r.send(netAlarm(ip))).Incidents[0] }
	for i, c := range []struct {
		ip    string
		after time.Duration
		want  string
	}{
		{"10.0.0.1", 0, "INC-000001"},
		{"10.0.0.1", time.Minute, "INC-000001"},
		{"10.0.0.2", 0, "INC-000002"},
		{"10.0.0.1", 8 * time.Minute, "INC-000001"},
		{"10.0.0.1", 2 * time.Minute, "INC-000003"}, // the window counts from the first
		{"10.0.0.1", time.Minute, "INC-000003"},
	} {
		r.clock.add(c.after)
		if i == 3 {
			r.restart()
		}
		if got := incidentOf(c.ip); got != c.want {
			t.Errorf("alarm %d is in %s, want %s", i+1, got, c.want)
		}
	}
	r.ended("RUN-000003-1")
	in, err := r.Incident("INC-000001")
	if err != nil || in.Joined != 3 || len(in.Runs) != 1 {
		t.Errorf("%+v, %v", in, err)
	}
	if err := r.Change("INC-000003", "mia", incident.Changed{Status: "closed"}); err != nil {
		t.Fatal(err)
	}
	if got := incidentOf("10.0.0.1"); got != "INC-000004" {
		t.Errorf("a closed incident was joined: %s", got)
	}
	r.ended("RUN-000004-1")
	r.clock.add(time.Hour)
	if err := r.removeOld(); err != nil {
		t.Fatal(err)
	}
	if n := r.keys(prefixDedupe); n != 0 || len(r.dedupe) != 0 {
		t.Errorf("%d dedupe keys are kept whose windows are over", n)
	}
}

func TestSeveralRules(t *testing.T) {
	r := with(t, append(alarmRules, lookAtIP)...)
	rec := r.record(r.send(map[string]any{"rule.name": "net also", "source.ip": "10.0.0.1"}))
	if !slices.Equal(rec.Rules, []string{"net", "also"}) || !slices.Equal(rec.Incidents, []string{"INC-000001", "INC-000002"}) {
		t.Errorf("%+v", rec)
	}
	r.ended("RUN-000001-1")
	if in, err := r.Incident("INC-000002"); err != nil || in.Template != "plain" {
		t.Errorf("%+v, %v", in, err)
	}
}

// Alarms that join keep joining although their incident leaves the memory and comes back, with any number of senders.
func TestDedupeUnderLoad(t *testing.T) {
	r := with(t, append(alarmRules, lookAtIP)...)
	const senders, each, keys = 8, 100, 5
	var wait, stored sync.WaitGroup
	for s := range senders {
		wait.Go(func() {
			for i := range each {
				stored.Add(1)
				r.Accept(context.Background(), r.alarm(netAlarm(fmt.Sprintf("10.0.0.%d", (s+i)%keys))), func(err error) {
					if err != nil {
						t.Error(err)
					}
					stored.Done()
				})
			}
		})
	}
	wait.Wait()
	stored.Wait()
	r.idleNow()
	heads, err := r.Heads("", 1000, nil)
	if err != nil || len(heads) != keys {
		t.Fatalf("%d incidents, want %d: %v", len(heads), keys, err)
	}
	total := 0
	for _, h := range heads {
		total += h.Alarms
		in, err := r.Incident(h.ID)
		if err != nil || len(in.Runs) != 1 || in.Joined != h.Alarms {
			t.Errorf("%s: %v", h.ID, err)
		}
	}
	if total != senders*each {
		t.Errorf("%d alarms on incidents, want %d", total, senders*each)
	}
}

// idleNow waits until no alarm waits and no run is at work, as the disk has it.
func (r *rig) idleNow() {
	r.Helper()
	for {
		next := r.Changed()
		heads, err := r.Heads("", 1000, func(h *incident.Head) bool {
			return slices.ContainsFunc(h.Runs, func(run incident.RunHead) bool { return !run.Status.Ended() })
		})
		if err != nil {
			r.Fatal(err)
		}
		if len(heads) == 0 && r.keys(prefixPending) == 0 {
			return
		}
		select {
		case <-next:
		case <-time.After(20 * time.Second): // only a test that fails
			r.Fatalf("%d alarms wait, of %v the runs go on", r.keys(prefixPending), heads)
		}
	}
}

// When too many runs are busy, alarms wait on disk, and are driven in order; after a restart too.
func TestBacklog(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %t", restart), func(t *testing.T) {
			r := work(t, content(t, append(alarmRules, lookAtIP, plainRule, plainTemplate)...), func(o *Options) { o.MaxRuns = 2 })
			g := newGate()
			r.actor.on("look", g.answer)
			var want []string
			for i := range 12 {
				want = append(want, r.send(netAlarm(fmt.Sprintf("10.0.0.%d", i))))
			}
			<-g.entered
			<-g.entered
			if got := r.Backlog(); got != 10 {
				t.Errorf("%d alarms wait, want 10", got)
			}
			for i, uid := range want {
				rec := r.record(uid)
				if (rec.State == AlarmMatched) != (i < 2) || (rec.State == AlarmWaiting) != (i >= 2) {
					t.Errorf("alarm %d is %s", i, rec.State)
				}
			}
			if restart {
				r.restart() // two runs go on, and two more may begin
			}
			close(g.open)
			r.alarmIs(want[11], AlarmMatched)
			r.idleNow()
			heads, err := r.Heads("", 100, nil)
			if err != nil || len(heads) != 12 {
				t.Fatalf("%d incidents: %v", len(heads), err)
			}
			for i, uid := range want {
				if rec := r.record(uid); rec.State != AlarmMatched || rec.Incidents[0] != incidentID(uint64(i+1)) {
					t.Errorf("alarm %d: %s in %v", i, rec.State, rec.Incidents)
				}
			}
			if n := r.keys(prefixPending); n != 0 || len(r.Engine.runs) != 0 {
				t.Errorf("%d alarms wait on disk, %d tokens of runs are held", n, len(r.Engine.runs))
			}
		})
	}
}

// alarmIs waits until an alarm is in a state.
func (r *rig) alarmIs(uid string, state AlarmState) {
	r.Helper()
	for {
		next := r.Changed()
		if r.record(uid).State == state {
			return
		}
		select {
		case <-next:
		case <-time.After(20 * time.Second):
			r.Fatalf("alarm %s is %s", uid, r.record(uid).State)
		}
	}
}

// A run that waits for people or for time lets the next one begin.
func TestWaitingRunsAreNotBusy(t *testing.T) {
	r := work(t, content(t, append(alarmRules, "runbook: b\nversion: 1\ninputs: {ip: {type: string}}\nsteps: [{id: w, wait: 1h}]", plainRule, plainTemplate)...), func(o *Options) { o.MaxRuns = 1 })
	for i := range 5 {
		r.send(netAlarm(fmt.Sprintf("10.0.0.%d", i)))
	}
	if n := r.Backlog(); n != 0 || len(r.Engine.runs) != 0 {
		t.Errorf("%d alarms wait, %d tokens are held", n, len(r.Engine.runs))
	}
}

// An alarm of the backlog that cannot be read holds up no other.
func TestBacklogGoesOn(t *testing.T) {
	r := work(t, content(t, append(alarmRules, lookAtIP, plainRule, plainTemplate)...), func(o *Options) { o.MaxRuns = 1 })
	ops := []journal.Op{{Key: []byte(prefixPending + "al-0"), Value: []byte{}}, {Key: []byte(prefixAlarm + "al-0"), Value: []byte("{")}, {Key: []byte(prefixPending + "al-1"), Value: []byte{}}}
	if err := journal.Commit(t.Context(), r.store, ops); err != nil {
		t.Fatal(err)
	}
	r.restart()
	g := newGate()
	r.actor.on("look", g.answer)
	r.send(netAlarm("10.0.0.1"))
	uid := r.send(netAlarm("10.0.0.2"))
	close(g.open)
	r.alarmIs(uid, AlarmMatched)
	r.looked("10.0.0.2 10.0.0.2")
	r.Stop()
	r.log.take() // it was told, each time that it was tried
}

// looked waits until an action was called with an address.
func (r *rig) looked(ip string) {
	r.Helper()
	for !slices.Contains(r.actor.called("look"), ip) {
		select {
		case <-r.Changed():
		case <-time.After(20 * time.Second):
			r.Fatal("it was never looked at: ", ip)
		}
	}
}

// Alarms that wait keep the time at which they came: it says what they join.
func TestBacklogAndDedupe(t *testing.T) {
	r := work(t, content(t, append(alarmRules, lookAtIP, plainRule, plainTemplate)...), func(o *Options) { o.MaxRuns = 1 })
	g := newGate()
	r.actor.on("look", g.answer)
	r.send(netAlarm("10.0.0.1"))
	<-g.entered
	a, b := r.send(netAlarm("10.0.0.2")), r.send(netAlarm("10.0.0.2"))
	r.clock.add(time.Hour)
	close(g.open)
	r.alarmIs(b, AlarmMatched)
	if x, y := r.record(a).Incidents[0], r.record(b).Incidents[0]; x != y {
		t.Errorf("%s and %s", x, y)
	}
	r.idleNow()
}

func TestUnparsedAndRedrive(t *testing.T) {
	r := with(t, append(alarmRules, lookAtIP)...)
	a := alarm.NewBuilder(r.clock.Now(), alarm.Intake{Source: alarm.HTTP}, "gibberish").Fail(errors.New("no known format"))
	done := make(chan error, 1)
	r.Accept(t.Context(), a, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if rec := r.record(a.UID); rec.State != AlarmUnparsed || rec.Alarm.Raw != "gibberish" || r.keys(prefixUnparsed) != 1 {
		t.Errorf("%+v", rec)
	}
	_, err := r.Redrive(t.Context(), a.UID, func(old *alarm.Alarm) *alarm.Alarm { return old })
	r.fault(err, abi.Invalid)
	var parsed atomic.Int64
	var wait sync.WaitGroup
	for range 4 { // it is driven once
		wait.Go(func() {
			rec, err := r.Redrive(context.Background(), a.UID, func(*alarm.Alarm) *alarm.Alarm { return r.alarm(netAlarm("10.0.0.9")) })
			if err != nil {
				r.fault(err, abi.Conflict)
				return
			}
			parsed.Add(1)
			if rec.State != AlarmMatched || rec.Alarm.UID != a.UID || !rec.Alarm.Received.Equal(a.Received) {
				t.Errorf("%+v", rec)
			}
		})
	}
	wait.Wait()
	r.idleNow()
	heads, err := r.Heads("", 10, nil)
	if err != nil || len(heads) != 1 || parsed.Load() != 1 || r.keys(prefixUnparsed) != 0 {
		t.Errorf("%d incidents, driven %d times, %v", len(heads), parsed.Load(), err)
	}
	_, err = r.Redrive(t.Context(), "al-none", nil)
	r.fault(err, abi.NotFound)
}

// A runbook that does not get what it needs leaves a word on the incident.
func TestRunThatCannotBegin(t *testing.T) {
	r := with(t, append(alarmRules, "runbook: b\nversion: 1\ninputs: {ip: {type: string}, other: {type: string}}\nsteps: [{id: w, set: 1}]")...)
	id := r.record(r.send(netAlarm("10.0.0.1"))).Incidents[0]
	in, err := r.Incident(id)
	if err != nil || len(in.Runs) != 0 || len(in.Findings) != 1 || !strings.Contains(in.Findings[0].Text, "other") {
		t.Errorf("%+v, %v", in.Findings, err)
	}
	_, err = r.StartRun(id, "b", map[string]any{"ip": "x"}, "mia")
	r.fault(err, abi.Invalid)
	_, err = r.StartRun(id, "c", nil, "mia")
	r.fault(err, abi.NotFound)
	if n := len(r.Engine.runs); n != 0 {
		t.Errorf("%d tokens are held", n)
	}
}

func TestLists(t *testing.T) {
	r := with(t)
	var uids []string
	for range 5 {
		uids = append(uids, r.send(map[string]any{"rule.name": "plain"}))
	}
	heads, err := r.Heads("", 2, nil)
	if err != nil || len(heads) != 2 || heads[0].ID != "INC-000005" {
		t.Fatalf("%v, %v", heads, err)
	}
	heads, err = r.Heads(heads[1].ID, 9, func(h *incident.Head) bool { return h.ID != "INC-000002" })
	if err != nil || len(heads) != 2 || heads[0].ID != "INC-000003" || heads[1].ID != "INC-000001" {
		t.Errorf("%v, %v", heads, err)
	}
	list, err := r.Alarms(uids[4], 2, nil)
	if err != nil || len(list) != 2 || list[0].Alarm.UID != uids[3] {
		t.Errorf("%v, %v", list, err)
	}
}

// A stopped engine refuses alarms, and says so.
func TestAcceptAfterStop(t *testing.T) {
	r := with(t)
	r.Stop()
	done := make(chan error, 1)
	r.Accept(t.Context(), r.alarm(nil), func(err error) { done <- err })
	r.fault(<-done, abi.Unavailable)
}

// Actions wait for their turn.
func TestActionsAtOnce(t *testing.T) {
	r := work(t, content(t, plainRule, plainTemplate, book(`
steps: [{id: all, foreach: "${{ ['1','2','3','4','5','6','7','8'] }}", concurrency: 8, uses: trial/search@1, with: {ip: "${{ item }}"}}]`)), func(o *Options) { o.MaxActions = 3 })
	g := newGate()
	r.actor.on("search", g.answer)
	run := r.begin("b", nil)
	for range 3 {
		<-g.entered
	}
	close(g.open)
	r.want(r.ended(run), incident.Succeeded)
	if r.actor.most != 3 {
		t.Errorf("%d at once", r.actor.most)
	}
}

// What is stored of an alarm is what json.Marshal gives, of what needs no escape for HTML.
func TestAlarmsAreStoredAsJSON(t *testing.T) {
	for _, rec := range []*AlarmRecord{
		{Alarm: alarm.NewBuilder(time.Unix(5, 0).UTC(), alarm.Intake{Source: alarm.HTTP}, `a \ "raw" one`).Fail(errors.New("no known format")), State: AlarmUnparsed},
		{Alarm: &alarm.Alarm{UID: "al-1"}, State: AlarmMatched, Rules: []string{"a", "b"}, Incidents: []string{"INC-000001"}, Warnings: []string{"w"}},
	} {
		want, err := json.Marshal(rec)
		if got := rec.encode(); err != nil || string(got) != string(want) {
			t.Errorf("stored %s, want %s: %v", got, want, err)
		}
	}
}
