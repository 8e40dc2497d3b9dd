package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
)

const lookOnce = "steps: [{id: l, uses: trial/look@1, with: {ip: \"1\"}, retry: {attempts: 4, delay: 10s, backoff: 3, max_delay: 1m}}]"

// waits waits until a step waits for a time, and gives it.
func (r *rig) waits(run, path string, n int) time.Time {
	r.Helper()
	var due time.Time
	r.until(IncidentOf(run), fmt.Sprintf("%s waits for attempt %d", path, n+1), func(in *incident.Incident) bool {
		s := stepOf(in, run, path)
		if s == nil || s.Due == nil || s.Attempts != n {
			return false
		}
		due = *s.Due
		return true
	})
	return due
}

// stepOf is nil as long as the step has not begun.
func stepOf(in *incident.Incident, run, path string) *incident.Step {
	if x := in.Run(run); x != nil {
		return x.Steps[path]
	}
	return nil
}

func TestRetry(t *testing.T) {
	r := with(t, book(lookOnce))
	r.actor.on("look", failTimes(3, failure(abi.Unavailable, "busy")))
	run := r.begin("b", nil)
	for i, pause := range []time.Duration{10 * time.Second, 30 * time.Second, time.Minute} {
		due := r.waits(run, "l", i+1)
		if got := due.Sub(r.clock.Now()); got > pause || got < pause-time.Second {
			t.Errorf("pause %d is %s, want %s", i+1, got, pause)
		}
		if n := len(r.actor.called("look")); n != i+1 {
			t.Fatalf("%d calls before attempt %d was due", n, i+2)
		}
		r.advance(pause)
	}
	got := r.ended(run)
	r.want(got, incident.Succeeded, "l=succeeded")
	list := r.actor.invocations("look")
	for i, inv := range list {
		if want := fmt.Sprintf("%s:l#%d", run, i+1); inv.ID != want || inv.Key != list[0].Key {
			t.Errorf("attempt %d is %s with key %s", i+1, inv.ID, inv.Key)
		}
	}
}

func TestRetryEnds(t *testing.T) {
	r := with(t, book(lookOnce))
	r.actor.on("look", failTimes(99, failure(abi.Timeout, "slow")))
	run := r.begin("b", nil)
	for i := range 3 {
		r.waits(run, "l", i+1)
		r.advance(time.Minute)
	}
	r.want(r.ended(run), incident.TimedOut, "l=timed_out")
	if n := len(r.actor.called("look")); n != 4 {
		t.Errorf("%d attempts, want 4", n)
	}
}

func TestNoRetryOfWhatIsCertain(t *testing.T) {
	r := with(t, book(lookOnce))
	r.actor.on("look", failTimes(99, failure(abi.NotFound, "no such thing")))
	r.want(r.run("b", nil), incident.Failed, "l=failed")
	if n := len(r.actor.called("look")); n != 1 {
		t.Errorf("%d attempts, want 1", n)
	}
}

// The other side's Retry-After counts, but not without bound.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		asked int64
		want  time.Duration
	}{{45_000, 45 * time.Second}, {1, 10 * time.Second}, {-5, 10 * time.Second}, {1 << 62, time.Hour}} {
		r := with(t, book(lookOnce))
		out := failure(abi.RateLimited, "later")
		out.Fault.RetryAfter = c.asked
		r.actor.on("look", failTimes(1, out))
		run := r.begin("b", nil)
		due := r.waits(run, "l", 1)
		if got := due.Sub(r.clock.Now()); got > c.want || got < c.want-time.Second {
			t.Errorf("asked for %d ms: the pause is %s, want %s", c.asked, got, c.want)
		}
		r.advance(c.want)
		r.want(r.ended(run), incident.Succeeded)
	}
}

func TestWait(t *testing.T) {
	r := with(t, book(`
steps:
  - {id: a, wait: 10m}
  - {id: b, wait: "${{ '2026-03-01T09:00:00Z' }}"}
  - {id: c, wait: "${{ '2020-03-01T09:00:00Z' }}"}
  - {id: d, wait: "${{ 'soon' }}", on_error: continue}`))
	run := r.begin("b", nil)
	r.waits(run, "a", 0)
	r.advance(9 * time.Minute)
	r.Advance(IncidentOf(run)) // once too often does no harm
	r.advance(2 * time.Minute)
	r.waits(run, "b", 0)
	r.advance(time.Hour)
	r.want(r.ended(run), incident.Succeeded, "a=succeeded", "b=succeeded", "c=succeeded", "d=failed")
}

func TestCache(t *testing.T) {
	r := with(t, book(`
inputs: {ip: {type: string}}
steps:
  - {id: l, uses: trial/look@1, cache: 6h, with: {ip: "${{ inputs.ip }}"}}
  - {id: s, set: "${{ steps.l.score }}"}`))
	for _, c := range []struct {
		ip    string
		after time.Duration
		calls int
	}{{"1", 0, 1}, {"1", time.Hour, 1}, {"2", 0, 2}, {"1", 6 * time.Hour, 3}} {
		r.clock.add(c.after)
		run := r.run("b", map[string]any{"ip": c.ip})
		r.want(run, incident.Succeeded, "l=succeeded", "s=succeeded")
		if n := len(r.actor.called("look")); n != c.calls {
			t.Errorf("%d calls, want %d", n, c.calls)
		}
	}
	r.clock.add(7 * time.Hour)
	if err := r.removeOld(); err != nil {
		t.Fatal(err)
	}
	if n := r.keys(prefixCache); n != 0 {
		t.Errorf("%d answers are kept that are too old", n)
	}
}

// keys counts the keys with a prefix.
func (r *rig) keys(prefix string) (n int) {
	r.Helper()
	err := r.store.Scan([]byte(prefix), nil, false, func(_, _ []byte) error { n++; return nil })
	if err != nil {
		r.Fatal(err)
	}
	return n
}

func TestFailuresAreNotCached(t *testing.T) {
	r := with(t, book(`steps: [{id: l, uses: trial/look@1, cache: 6h, with: {ip: "1"}}]`))
	r.actor.on("look", failTimes(1, failure(abi.Failed, "no")))
	r.want(r.run("b", nil), incident.Failed)
	r.want(r.run("b", nil), incident.Succeeded)
}

func TestKeyAndTimeout(t *testing.T) {
	r := with(t, book(`
steps:
  - {id: a, uses: trial/tell@1, with: {ip: "1"}, timeout: 7s, idempotency_key: "${{ incident.id + '/x' }}"}
  - {id: b, uses: trial/tell@1, with: {ip: "2"}}`))
	run := r.run("b", nil)
	r.want(run, incident.Succeeded)
	list := r.actor.invocations("tell")
	if list[0].Key != run.Incident+"/x" || list[0].Timeout != 7*time.Second {
		t.Errorf("key %s, timeout %s", list[0].Key, list[0].Timeout)
	}
	if list[1].Key != run.ID+":b" || list[1].Timeout != 0 {
		t.Errorf("key %s, timeout %s", list[1].Key, list[1].Timeout)
	}
	if list[0].Incident != run.Incident || list[0].Run != run.ID || list[0].Step != "a" || list[0].Connector != "trial" || list[0].Now.IsZero() {
		t.Errorf("%+v", list[0])
	}
}

func TestOnFailure(t *testing.T) {
	text := book(`
steps:
  - {id: a, uses: trial/look@1, with: {ip: "bad"}}
outputs: {x: "${{ 1 }}"}
on_failure:
  - {id: tell, uses: trial/tell@1, with: {ip: "${{ failure.step + ' ' + failure.kind + ' ' + failure.message }}"}}
  - {id: worse, fail: "this changes nothing more"}`)
	r := with(t, text)
	r.actor.on("look", lookOrBad)
	run := r.run("b", nil)
	r.want(run, incident.Failed, "on_failure/tell=succeeded", "on_failure/worse=failed")
	if got := r.actor.called("tell"); len(got) != 1 || got[0] != "a failed no such thing" {
		t.Errorf("told %q", got)
	}
	if run.Failed != "a" || run.Fault.Message != "no such thing" || run.Outputs != nil {
		t.Errorf("%+v", run)
	}
}

// A cancel while on_failure is at work waits for what is at work.
func TestCancelInOnFailure(t *testing.T) {
	r := with(t, book(`
steps:
  - {id: a, fail: "no"}
on_failure:
  - {id: tell, uses: trial/tell@1, with: {ip: x}}
  - {id: more, uses: trial/tell@1, with: {ip: y}}`))
	g := newGate()
	r.actor.on("tell", g.answer)
	run := r.begin("b", nil)
	<-g.entered
	if err := r.CancelRun(run, "mia"); err != nil {
		t.Fatal(err)
	}
	r.want(r.ended(run), incident.Cancelled, "on_failure/tell=cancelled", "on_failure/more=never began")
}

func TestOutputs(t *testing.T) {
	r := with(t, book(`
steps:
  - {id: a, uses: trial/look@1, with: {ip: "1"}}
  - {id: b, set: ["${{ steps.a.ip }}", 2], if: "${{ false }}"}
outputs: {ip: "${{ steps.a.ip }}", list: "${{ steps.b }}", n: 7}`))
	run := r.run("b", nil)
	if got := string(run.Outputs); got != `{"ip":"1","list":[],"n":7}` {
		t.Errorf("outputs are %s", got)
	}
}

// What a plugin gives for the incident is on its record, however much it is.
func TestEmissions(t *testing.T) {
	r := with(t, book(`steps: [{id: l, uses: trial/look@1, with: {ip: "1"}}]`))
	r.actor.on("look", func(context.Context, host.Invocation, map[string]any) host.Outcome {
		out := output(map[string]any{"score": 1})
		out.Emissions = []hostcall.Emission{{Type: "finding", Emission: abi.Emission{Value: "it is bad", Verdict: "malicious"}}}
		for i := range 900 {
			out.Emissions = append(out.Emissions, hostcall.Emission{Type: "artifact", Emission: abi.Emission{Kind: "domain", Value: fmt.Sprintf("d%d.corp.test", i), Note: strings.Repeat("n", 5000)}})
		}
		for i := range 5 {
			out.Emissions = append(out.Emissions, hostcall.Emission{Type: "evidence",
				Emission: abi.Emission{Kind: "text/plain", Name: "a.txt", Data: []byte(strings.Repeat("x", 200_000+i))}})
		}
		return out
	})
	run := r.run("b", nil)
	r.want(run, incident.Succeeded)
	in := r.until(run.Incident, "all evidence is on record", func(in *incident.Incident) bool { return len(in.Evidence) == 5 })
	if len(in.Artifacts) != 901 || len(in.Findings) != 1 || in.Findings[0].Source != run.ID+"/l" {
		t.Errorf("%d artifacts, findings %v", len(in.Artifacts), in.Findings)
	}
	raw, err := r.store.Get([]byte(in.Evidence[4].Key))
	if err != nil || len(raw) != in.Evidence[4].Size {
		t.Errorf("evidence has %d bytes: %v", len(raw), err)
	}
}

func TestActionByHand(t *testing.T) {
	r := with(t)
	id := r.open()
	run, err := r.Act(id, incident.Invocation{Plugin: "trial", Action: "look", Connector: "trial", Parameters: []byte(`{"ip": "${{ inputs.x }} $${{"}`)}, "mia")
	if err != nil {
		t.Fatal(err)
	}
	got := r.ended(run)
	r.want(got, incident.Succeeded, "act=succeeded")
	if got.By != "mia" {
		t.Errorf("by %q", got.By)
	}
	if ip := r.actor.called("look"); ip[0] != "${{ inputs.x }} $${{" {
		t.Errorf("the text was read as an expression: %q", ip)
	}
	if run, err = r.Act(id, incident.Invocation{Plugin: "trial", Action: "search", Parameters: []byte("null")}, "mia"); err != nil {
		t.Fatal(err)
	}
	r.want(r.ended(run), incident.Succeeded)
	_, err = r.Act(id, incident.Invocation{Plugin: "trial", Action: "look", Parameters: []byte(`{"nonsense": 1}`)}, "mia")
	r.fault(err, abi.Invalid)
	_, err = r.Act(id, incident.Invocation{Plugin: "none", Action: "look"}, "mia")
	r.fault(err, abi.NotFound)
	_, err = r.Act("INC-000099", incident.Invocation{Plugin: "trial", Action: "search"}, "mia")
	r.fault(err, abi.NotFound)
}

// What does not exist, and ids that would reach beyond one incident's facts.
func TestUnknown(t *testing.T) {
	r := with(t)
	id := r.open()
	for _, bad := range []string{"", "INC-000099", "INC-1", id + "/", id + "/\x00\x00\x00\x00\x00\x00\x00", "../x", "RUN-000001-1"} {
		_, err := r.Incident(bad)
		r.fault(err, abi.NotFound)
		_, err = r.Facts(bad, 0)
		r.fault(err, abi.NotFound)
		r.fault(r.Comment(bad, "mia", "x"), abi.NotFound)
		_, err = r.StartRun(bad, "b", nil, "mia")
		r.fault(err, abi.NotFound)
	}
	r.fault(r.CancelRun("RUN-000001-9", "mia"), abi.NotFound)
	r.fault(r.Release("CON-000001-9", "mia"), abi.NotFound)
	r.fault(r.Decide("APR-000001-9", "mia", true, "", ""), abi.NotFound)
	r.fault(r.Change(id, "mia", incident.Changed{Status: "gone"}), abi.Invalid)
	_, err := r.Alarm("al-none")
	r.fault(err, abi.NotFound)
	if facts, err := r.Facts(id, 3); err != nil || len(facts) != 0 {
		t.Errorf("%v, %v", facts, err)
	}
}
