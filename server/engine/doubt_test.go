package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
)

// inDoubt waits until a step waits for a person, and gives the run.
func (r *rig) inDoubt(run, path string) *incident.Run {
	r.Helper()
	in := r.until(IncidentOf(run), path+" is in doubt", func(in *incident.Incident) bool {
		x := in.Run(run)
		return x != nil && len(x.Asks) == 1 && x.Asks[0] == path
	})
	return in.Run(run)
}

// A step in doubt waits, also over a restart, until a person settles it.
func TestSettle(t *testing.T) {
	text := book(`
steps:
  - {id: wipe, uses: trial/wipe@1, with: {ip: "192.0.2.1"}, approval: auto}
  - {id: tell, uses: trial/tell@1, with: {ip: "1"}}`)
	lost := failure(abi.InDoubt, "the answer was lost")
	for _, c := range []struct {
		answer incident.Answer
		status incident.Status
		steps  []string
		wipes  int
		state  incident.ContainmentState // empty for no containment
	}{
		{incident.Happened, incident.Succeeded, []string{"wipe=succeeded", "tell=succeeded"}, 1, incident.Active},
		{incident.NotHappened, incident.Failed, []string{"wipe=failed", "tell=never began"}, 1, ""},
		{incident.Again, incident.Succeeded, []string{"wipe=succeeded", "tell=succeeded"}, 2, incident.Active},
	} {
		t.Run(string(c.answer), func(t *testing.T) {
			r := with(t, text)
			r.actor.on("wipe", failTimes(1, lost))
			run := r.begin("b", nil)
			asked := r.inDoubt(run, "wipe")
			if s := asked.Steps["wipe"]; s.Status != incident.Waiting || s.Fault == nil || s.Fault.Kind != abi.InDoubt || s.Fault.Hint == "" {
				t.Errorf("%s %v", s.Status, s.Fault)
			}
			r.restart()
			heads, err := r.Heads("", 1, nil)
			if err != nil || len(heads) != 1 || heads[0].InDoubt != 1 {
				t.Errorf("the list says %+v, %v", heads, err)
			}
			r.fault(r.Settle(run, "tell", "mia", incident.Settled{Answer: c.answer}), abi.Conflict)
			r.fault(r.Settle(run, "wipe", "mia", incident.Settled{Answer: "maybe"}), abi.Invalid)
			r.fault(r.Settle(run+"1", "wipe", "mia", incident.Settled{Answer: c.answer}), abi.NotFound)
			if err := r.Settle(run, "wipe", "mia", incident.Settled{Answer: c.answer, Note: "I looked"}); err != nil {
				t.Fatal(err)
			}
			got := r.ended(run)
			r.want(got, c.status, c.steps...)
			if n := len(r.actor.called("wipe")); n != c.wipes || len(got.Asks) != 0 {
				t.Errorf("wiped %d times, asks %v", n, got.Asks)
			}
			if in, _ := r.Incident(got.Incident); c.state == "" && len(in.Containments) != 0 {
				t.Errorf("contained %+v", in.Containments[0])
			} else if c.state != "" {
				r.contained(got.Incident, c.state)
			}
			r.fault(r.Settle(run, "wipe", "mia", incident.Settled{Answer: c.answer}), abi.Conflict)
		})
	}
}

// A probe is asked before a person: what it finds has happened; what it does not find is done again; where it fails, a person must look.
func TestDoubtIsProbed(t *testing.T) {
	text := book(`steps: [{id: block, uses: trial/block@1, with: {ip: "192.0.2.1"}, approval: auto, ttl: 1h}]`)
	lost := failure(abi.InDoubt, "the answer was lost")
	probing := func(r *rig, run string) {
		for i := range maxProbes - 1 {
			r.until(IncidentOf(run), fmt.Sprintf("probe %d has answered", i+1), func(in *incident.Incident) bool {
				s := stepOf(in, run, "block")
				return s != nil && s.Due != nil && s.Probes == i+1
			})
			r.advance(time.Minute)
		}
	}
	t.Run("it is in effect", func(t *testing.T) {
		r := with(t, text)
		r.actor.on("block", failTimes(1, lost))
		run := r.run("b", nil)
		r.want(run, incident.Succeeded, "block=succeeded")
		r.contained(run.Incident, incident.Verified)
		if n := len(r.actor.called("block")); n != 1 {
			t.Errorf("blocked %d times", n)
		}
	})
	t.Run("it is not in effect", func(t *testing.T) {
		r := with(t, text)
		r.actor.on("block", failTimes(1, lost))
		r.actor.on("blocked", failTimes(maxProbes, output(map[string]any{"present": false})))
		run := r.begin("b", nil)
		probing(r, run)
		r.want(r.ended(run), incident.Succeeded, "block=succeeded")
		r.contained(IncidentOf(run), incident.Verified)
		if n := len(r.actor.called("block")); n != 2 {
			t.Errorf("blocked %d times", n)
		}
	})
	t.Run("the probe fails", func(t *testing.T) {
		r := with(t, text)
		r.actor.on("block", failTimes(1, lost))
		r.actor.on("blocked", failTimes(maxProbes, failure(abi.Unavailable, "off")))
		run := r.begin("b", nil)
		probing(r, run)
		r.inDoubt(run, "block")
		if err := r.Settle(run, "block", "mia", incident.Settled{Answer: incident.Happened}); err != nil {
			t.Fatal(err)
		}
		r.want(r.ended(run), incident.Succeeded, "block=succeeded")
		r.contained(IncidentOf(run), incident.Active)
	})
	t.Run("cancelled while it is probed", func(t *testing.T) {
		r := with(t, text)
		g := newGate()
		r.actor.on("block", failTimes(1, lost))
		r.actor.on("blocked", g.answer)
		run := r.begin("b", nil)
		<-g.entered
		if err := r.CancelRun(run, "mia"); err != nil {
			t.Fatal(err)
		}
		r.want(r.ended(run), incident.Cancelled)
		r.contained(IncidentOf(run), incident.Unverified)
	})
}

// Nobody is waited for when the run is cancelled, or another step has failed: what may be in effect is on record.
func TestDoubtWithoutAnAnswer(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		r := with(t, book(`steps: [{id: wipe, uses: trial/wipe@1, with: {ip: "192.0.2.1"}, approval: auto}]`))
		r.actor.on("wipe", failTimes(1, failure(abi.InDoubt, "the answer was lost")))
		run := r.begin("b", nil)
		r.inDoubt(run, "wipe")
		if err := r.CancelRun(run, "mia"); err != nil {
			t.Fatal(err)
		}
		r.want(r.ended(run), incident.Cancelled, "wipe=in_doubt")
		r.contained(IncidentOf(run), incident.Unverified)
	})
	t.Run("another step fails", func(t *testing.T) {
		r := with(t, book(`
steps:
  - {id: wipe, uses: trial/wipe@1, with: {ip: "192.0.2.1"}, approval: auto}
  - {id: other, needs: [], uses: trial/look@1, with: {ip: "1"}}`))
		g := newGate()
		r.actor.on("wipe", failTimes(1, failure(abi.InDoubt, "the answer was lost")))
		r.actor.on("look", func(ctx context.Context, inv host.Invocation, params map[string]any) host.Outcome {
			g.answer(ctx, inv, params)
			return failure(abi.Failed, "no")
		})
		run := r.begin("b", nil)
		r.inDoubt(run, "wipe")
		close(g.open)
		r.want(r.ended(run), incident.InDoubt, "wipe=in_doubt", "other=failed")
		r.contained(IncidentOf(run), incident.Unverified)
	})
	t.Run("a notice in doubt is no containment", func(t *testing.T) {
		r := with(t, book(`steps: [{id: tell, uses: trial/tell@1, with: {ip: "1"}, retry: {attempts: 2, delay: 5s}}]`))
		r.actor.on("tell", failTimes(2, failure(abi.Timeout, "no answer")))
		run := r.begin("b", nil)
		r.waits(run, "tell", 1)
		if err := r.CancelRun(run, "mia"); err != nil {
			t.Fatal(err)
		}
		r.want(r.ended(run), incident.Cancelled)
		if in, _ := r.Incident(IncidentOf(run)); len(in.Containments) != 0 {
			t.Errorf("contained %+v", in.Containments[0])
		}
	})
}
