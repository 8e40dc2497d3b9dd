package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
)

// asked waits for the nth approval of an incident, and gives it.
func (r *rig) asked(id string, n int) *incident.Approval {
	r.Helper()
	return r.until(id, fmt.Sprintf("approval %d is asked for", n), func(in *incident.Incident) bool { return len(in.Approvals) == n }).Approvals[n-1]
}

func (r *rig) decide(id, by string, grant bool) {
	r.Helper()
	if err := r.Decide(id, by, grant, "", "my note"); err != nil {
		r.Fatal(err)
	}
}

const approveTwo = `
steps:
  - id: ask
    approve: {title: "Really ${{ 1 + 1 }}?", show: ["${{ 'x' }}"], need: [{group: soc, count: 1}, {group: net, count: 1}], not: [requester], expires: 30m}
    then: go
  - {id: go, set: "${{ steps.ask }}"}`

func TestApprove(t *testing.T) {
	r := with(t, book(approveTwo))
	run := r.begin("b", nil)
	a := r.asked(IncidentOf(run), 1)
	if a.Title != "Really 2?" || string(a.Show) != `["x"]` || a.Digest == "" || a.State != "pending" || a.Expires.Sub(a.Asked) > 31*time.Minute {
		t.Errorf("%+v", a)
	}
	r.fault(r.Decide(a.ID, "noa", true, "another digest", ""), abi.Conflict)
	r.fault(r.Decide(a.ID, "mia", true, "", ""), abi.Refused) // she started it
	r.decide(a.ID, "noa", true)
	r.fault(r.Decide(a.ID, "noa", true, "", ""), abi.Conflict)
	r.restart()
	r.fault(r.Decide(a.ID, "noa", true, "", ""), abi.Conflict)
	r.decide(a.ID, "ole", true)
	got := r.ended(run)
	r.want(got, incident.Succeeded, "ask=succeeded", "go=succeeded")
	if out := string(got.Steps["go"].Output); out != `{"by":["noa","ole"],"decision":"granted","note":"my note"}` {
		t.Error(out)
	}
	r.fault(r.Decide(a.ID, "pia", false, "", ""), abi.Conflict)
}

func TestOneDenialIsFinal(t *testing.T) {
	r := with(t, book(approveTwo))
	run := r.begin("b", nil)
	a := r.asked(IncidentOf(run), 1)
	r.decide(a.ID, "noa", true)
	r.decide(a.ID, "mia", false) // whoever started it may stop it
	r.want(r.ended(run), incident.Failed, "ask=failed", "go=never began")
}

func TestApprovalExpires(t *testing.T) {
	for word, want := range map[string]string{"fail": "ask=failed next=never began", "end": "ask=succeeded next=never began", "continue": "ask=succeeded chosen=not taken next=succeeded"} {
		for _, how := range []string{"expire", "deny"} {
			r := with(t, book(fmt.Sprintf(`
steps:
  - {id: ask, approve: {title: x, need: {group: soc}, expires: 30m, on_%s: %s}, then: chosen}
  - {id: chosen, set: 1}
  - {id: next, needs: [ask], set: "${{ steps.ask.decision }}"}`, how, word)))
			run := r.begin("b", nil)
			a := r.asked(IncidentOf(run), 1)
			if how == "deny" {
				r.decide(a.ID, "noa", false)
			} else {
				r.clock.add(31 * time.Minute)
				r.fault(r.Decide(a.ID, "noa", true, "", ""), abi.Timeout)
				r.advance(0)
			}
			got := r.ended(run)
			steps := want
			if how == "expire" {
				steps = strings.ReplaceAll(steps, "ask=failed", "ask=timed_out")
			}
			for _, f := range fields(steps) {
				r.want(got, got.Status, f)
			}
			if (got.Status == incident.Succeeded) != (word != "fail") {
				t.Errorf("%s %s: the run is %s", how, word, got.Status)
			}
		}
	}
}

const blockAsk = `
steps:
  - {id: l, uses: trial/look@1, with: {ip: "1"}}
  - {id: block, uses: trial/block@1, with: {ip: "192.0.2.1"}, ttl: "${{ incident.severity == 'low' ? '1h' : '2h' }}"}`

func TestApprovalOfAContainment(t *testing.T) {
	r := with(t, book(blockAsk))
	run := r.begin("b", nil)
	a := r.asked(IncidentOf(run), 1)
	for _, word := range []string{`"action":"block"`, `"192.0.2.1"`, `"module":"sha256:trial"`, `"connector_digest":"c1"`, `"inverse"`, `"ttl_seconds":3600`} {
		if !strings.Contains(string(a.Subject), word) {
			t.Errorf("the subject does not tell %s: %s", word, a.Subject)
		}
	}
	if len(a.Need) != 1 || a.Need[0].Group != "soc-lead" {
		t.Errorf("asked of %v", a.Need)
	}
	r.decide(a.ID, "noa", true)
	r.want(r.ended(run), incident.Succeeded)
}

// What was approved is what runs: if it has changed, people are asked again.
func TestSubjectChanges(t *testing.T) {
	r := with(t, book(blockAsk))
	run := r.begin("b", nil)
	a := r.asked(IncidentOf(run), 1)
	if err := r.Change(IncidentOf(run), "noa", incident.Changed{Severity: "high"}); err != nil {
		t.Fatal(err)
	}
	r.decide(a.ID, "noa", true)
	again := r.asked(IncidentOf(run), 2)
	if again.Digest == a.Digest || !strings.Contains(string(again.Subject), `"ttl_seconds":7200`) {
		t.Errorf("asked again for %s", again.Subject)
	}
	if n := len(r.actor.called("block")); n != 0 {
		t.Fatal("it ran")
	}
	r.decide(again.ID, "noa", true)
	r.want(r.ended(run), incident.Succeeded)
	c := r.contained(IncidentOf(run), incident.Verified)
	if c.Expires.Sub(c.Placed) != 2*time.Hour {
		t.Errorf("it ends at %s", c.Expires)
	}
}

// Caps of the hour count a containment once, whether it was asked for or not, and are looked at again when it is granted.
func TestCapsCountOnce(t *testing.T) {
	r := with(t, book(`
inputs: {ip: {type: string}}
guards: {max_contain: {per_hour: 2}}
steps: [{id: block, uses: trial/block@1, with: {ip: "${{ inputs.ip }}"}}]`))
	var runs []string
	for i := range 3 {
		runs = append(runs, r.begin("b", map[string]any{"ip": fmt.Sprint(i)}))
	}
	for i, run := range runs {
		r.decide(r.asked(IncidentOf(run), 1).ID, "noa", true)
		r.want(r.ended(run), map[bool]incident.Status{true: incident.Succeeded, false: incident.Failed}[i < 2])
	}
}

func TestContainmentDeniedAndExpired(t *testing.T) {
	r := with(t, book(blockAsk))
	run := r.begin("b", nil)
	r.decide(r.asked(IncidentOf(run), 1).ID, "noa", false)
	got := r.ended(run)
	r.want(got, incident.Failed, "block=failed")
	if got.Fault.Kind != abi.Refused || got.Fault.Hint != "my note" {
		t.Errorf("%v", got.Fault)
	}
	run = r.begin("b", nil)
	r.asked(IncidentOf(run), 1)
	r.restart()
	r.advance(approvalTTL + time.Second)
	r.want(r.ended(run), incident.TimedOut, "block=timed_out")
	if n := len(r.actor.called("block")); n != 0 {
		t.Error("it ran")
	}
}

// A loop with more items than its limit asks before it begins.
func TestLoopOverItsLimit(t *testing.T) {
	text := book(`
steps:
  - {id: all, foreach: "${{ ['1', '2', '3'] }}", limit: 2, uses: trial/look@1, with: {ip: "${{ item }}"}}`)
	r := with(t, text)
	run := r.begin("b", nil)
	a := r.asked(IncidentOf(run), 1)
	if !strings.Contains(a.Title, "3 items") || string(a.Show) != `["1","2","3"]` {
		t.Errorf("%+v", a)
	}
	r.restart()
	r.decide(a.ID, "noa", true)
	r.want(r.ended(run), incident.Succeeded, "all=succeeded", "all[2]=succeeded")
	run = r.begin("b", nil)
	r.decide(r.asked(IncidentOf(run), 1).ID, "noa", false)
	r.want(r.ended(run), incident.Failed, "all=failed", "all[0]=never began")
}

func TestCancel(t *testing.T) {
	for _, c := range []struct{ name, book, steps string }{
		{"an action at work", `steps: [{id: a, uses: trial/search@1, with: {ip: "1"}}, {id: z, set: 1}]`, "a=cancelled z=never began"},
		{"a wait", `steps: [{id: a, wait: 7d}, {id: z, set: 1}]`, "a=cancelled z=never began"},
		{"an approve", `steps: [{id: a, approve: {title: x, need: {group: g}}}, {id: z, set: 1}]`, "a=cancelled z=never began"},
		{"a containment that is asked for", `steps: [{id: a, uses: trial/block@1, with: {ip: "1"}}, {id: z, set: 1}]`, "a=cancelled z=never began"},
		{"a retry", `steps: [{id: a, uses: trial/look@1, with: {ip: "1"}, retry: {attempts: 2, delay: 1h}}, {id: z, set: 1}]`, "a=cancelled z=never began"},
		{"a loop", `steps: [{id: a, foreach: "${{ ['1', '2'] }}", uses: trial/search@1, with: {ip: "1"}}, {id: z, set: 1}]`, "a=cancelled a[0]=cancelled a[1]=never began z=never began"},
		{"a loop over its limit", `steps: [{id: a, foreach: "${{ ['1', '2'] }}", limit: 1, uses: trial/search@1, with: {ip: "1"}}, {id: z, set: 1}]`, "a=cancelled a[0]=never began z=never began"},
		{"a parallel", `steps: [{id: p, parallel: [{id: a, uses: trial/search@1, with: {ip: "1"}}, {id: b, wait: 1h}]}, {id: z, set: 1}]`, "p=cancelled a=cancelled b=cancelled z=never began"},
		{"a call", "steps: [{id: c, call: in}, {id: z, set: 1}]\nrunbooks: {in: {steps: [{id: a, uses: trial/search@1, with: {ip: \"1\"}}, {id: y, set: 1}]}}", "c=cancelled c/a=cancelled c/y=never began z=never began"},
		{"a failure is at hand", "steps: [{id: a, wait: 1h}]\non_failure: [{id: t, uses: trial/tell@1}]", "a=cancelled on_failure/t=never began"},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %t", c.name, restart), func(t *testing.T) {
				t.Parallel()
				r := with(t, book(c.book))
				r.actor.on("look", failTimes(99, failure(abi.Unavailable, "down")))
				g := newGate()
				r.actor.on("search", g.answer)
				run := r.begin("b", nil)
				if strings.Contains(c.book, "search") && !strings.Contains(c.book, "limit") {
					<-g.entered
				}
				r.until(IncidentOf(run), "it began", func(in *incident.Incident) bool {
					x := in.Run(run)
					return x != nil && len(x.Steps) >= 1 && (!strings.Contains(c.book, "retry") || x.Steps["a"].Due != nil)
				})
				if restart {
					r.restart()
				}
				if err := r.CancelRun(run, "mia"); err != nil {
					t.Fatal(err)
				}
				got := r.ended(run)
				r.want(got, incident.Cancelled, fields(c.steps)...)
				in, err := r.Incident(got.Incident)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range in.Approvals {
					if a.State != "cancelled" {
						t.Errorf("%s is %s", a.ID, a.State)
					}
					r.fault(r.Decide(a.ID, "noa", true, "", ""), abi.Conflict)
				}
				r.fault(r.CancelRun(run, "mia"), abi.Conflict)
			})
		}
	}
}
