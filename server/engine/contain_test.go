package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
)

const blockAuto = `
inputs: {ip: {type: string}}
steps: [{id: block, uses: trial/block@1, with: {ip: "${{ inputs.ip }}", comment: because}, approval: auto, ttl: 1h}]`

var one = map[string]any{"ip": "192.0.2.1"}

// state waits until the first containment of an incident is in a state.
func (r *rig) contained(id string, state incident.ContainmentState) *incident.Containment {
	r.Helper()
	in := r.until(id, "the containment is "+string(state), func(in *incident.Incident) bool {
		return len(in.Containments) > 0 && in.Containments[0].State == state
	})
	return in.Containments[0]
}

func TestContainment(t *testing.T) {
	r := with(t, book(blockAuto))
	r.actor.on("block", func(context.Context, host.Invocation, map[string]any) host.Outcome {
		return output(map[string]any{"rule": 77})
	})
	run := r.run("b", one)
	r.want(run, incident.Succeeded, "block=succeeded")
	c := r.contained(run.Incident, incident.Verified)
	if c.Reason != "because" || len(c.Targets) != 1 || c.Targets[0] != "192.0.2.1" || c.Expires == nil || c.Expires.Sub(c.Placed) != time.Hour {
		t.Errorf("%+v", c)
	}
	inv := r.actor.invocations("block")[0]
	if !strings.Contains(string(inv.Parameters), `"ttl":3600`) {
		t.Errorf("the target was not told when it ends: %s", inv.Parameters)
	}
	if string(r.actor.invocations("blocked")[0].Parameters) != `{"ip":"192.0.2.1"}` {
		t.Errorf("the probe was asked %s", r.actor.invocations("blocked")[0].Parameters)
	}
	r.advance(time.Hour + time.Second)
	c = r.contained(run.Incident, incident.Released)
	if got := string(r.actor.invocations("unblock")[0].Parameters); got != `{"ip":"192.0.2.1","rule":77}` {
		t.Errorf("released with %s", got)
	}
	release := r.ended(c.ReleaseBy)
	r.want(release, incident.Succeeded)
	if release.Releases != c.ID || release.By != "" {
		t.Errorf("%+v", release.RunStarted)
	}
	r.fault(r.Release(c.ID, "mia"), abi.Conflict)
	if n := r.keys(prefixActive); n != 0 {
		t.Errorf("%d incidents count as active", n)
	}
}

// A target that accepts a change and does nothing is asked again, and then told of.
func TestUnverified(t *testing.T) {
	r := with(t, book(blockAuto))
	r.actor.on("blocked", func(context.Context, host.Invocation, map[string]any) host.Outcome {
		return output(map[string]any{"present": false})
	})
	run := r.begin("b", one)
	for i := range maxProbes - 1 {
		r.until(IncidentOf(run), fmt.Sprintf("probe %d is over", i+1), func(in *incident.Incident) bool {
			s := stepOf(in, run, "block")
			return s != nil && s.Probes == i+1 && s.Due != nil
		})
		r.advance(time.Minute)
	}
	r.want(r.ended(run), incident.Failed, "block=failed")
	if n := len(r.actor.called("blocked")); n != maxProbes {
		t.Errorf("%d probes", n)
	}
	r.contained(IncidentOf(run), incident.Unverified)
	r.advance(time.Hour)
	r.contained(IncidentOf(run), incident.Released) // it may be in effect all the same
}

func TestVerifiedAtTheThirdLook(t *testing.T) {
	r := with(t, book(`steps: [{id: block, uses: trial/block@1, with: {ip: "192.0.2.1"}, approval: auto, verify: "${{ output.score > 3 }}"}]`))
	var n atomic.Int64
	r.actor.on("blocked", func(context.Context, host.Invocation, map[string]any) host.Outcome {
		if n.Add(1) == 1 {
			return failure(abi.Unavailable, "busy")
		}
		return output(map[string]any{"score": 2 * n.Load()})
	})
	run := r.begin("b", nil)
	r.until(IncidentOf(run), "the first probe failed", func(in *incident.Incident) bool {
		s := stepOf(in, run, "block")
		return s != nil && s.Probes == 1 && s.Due != nil
	})
	r.advance(time.Second)
	r.want(r.ended(run), incident.Succeeded)
	c := r.contained(IncidentOf(run), incident.Verified)
	if c.Expires != nil {
		t.Errorf("it expires at %s", c.Expires)
	}
	if err := r.Release(c.ID, "mia"); err != nil {
		t.Fatal(err)
	}
	c = r.contained(IncidentOf(run), incident.Released)
	if got := r.ended(c.ReleaseBy).By; got != "mia" {
		t.Errorf("released by %q", got)
	}
}

// A containment that ends while it is still being verified stays released.
func TestExpiryWhileVerifying(t *testing.T) {
	r := with(t, book(blockAuto))
	g := newGate()
	r.actor.on("blocked", func(ctx context.Context, inv host.Invocation, p map[string]any) host.Outcome {
		g.answer(ctx, inv, p)
		return output(map[string]any{"present": false})
	})
	run := r.begin("b", one)
	<-g.entered
	r.advance(time.Hour + time.Second)
	r.contained(IncidentOf(run), incident.Released)
	close(g.open)
	for i := range maxProbes - 1 {
		r.until(IncidentOf(run), "the probe is over", func(in *incident.Incident) bool {
			s := stepOf(in, run, "block")
			return s != nil && s.Probes == i+1 && s.Due != nil
		})
		r.advance(time.Minute)
	}
	r.ended(run)
	in, err := r.Incident(IncidentOf(run))
	if err != nil || in.Containments[0].State != incident.Released || len(in.Runs) != 2 {
		t.Errorf("%v\n%s", err, r.timeline(IncidentOf(run)))
	}
}

func TestReleaseFails(t *testing.T) {
	r := with(t, book(blockAuto))
	r.actor.on("unblock", failTimes(1, failure(abi.Unauthorized, "the key was changed")))
	run := r.run("b", one)
	r.contained(run.Incident, incident.Verified)
	r.advance(2 * time.Hour)
	c := r.contained(run.Incident, incident.ReleaseFailed)
	if c.Fault == nil || c.Fault.Kind != abi.Unauthorized {
		t.Errorf("%+v", c.Fault)
	}
	r.restart() // it is not tried again by itself
	r.Advance(run.Incident)
	if n := len(r.actor.called("unblock")); n != 1 {
		t.Errorf("%d attempts", n)
	}
	if err := r.Release(c.ID, "mia"); err != nil {
		t.Fatal(err)
	}
	r.contained(run.Incident, incident.Released)
}

// A release is tried again as long as the target cannot be reached.
func TestReleaseIsTriedAgain(t *testing.T) {
	r := with(t, book(blockAuto))
	r.actor.on("unblock", failTimes(2, failure(abi.Unavailable, "down")))
	run := r.run("b", one)
	r.contained(run.Incident, incident.Verified)
	if err := r.Release("CON-000001-1", "mia"); err != nil {
		t.Fatal(err)
	}
	c := r.contained(run.Incident, incident.Releasing)
	if err := r.Release(c.ID, "mia"); err != nil { // at work already
		t.Fatal(err)
	}
	for i := range 2 {
		r.waits(c.ReleaseBy, "act", i+1)
		r.advance(time.Minute)
	}
	r.want(r.ended(c.ReleaseBy), incident.Succeeded)
	if n := len(r.actor.called("unblock")); n != 3 {
		t.Errorf("%d attempts", n)
	}
}

func TestNoInverse(t *testing.T) {
	r := with(t, book(`steps: [{id: wipe, uses: trial/wipe@1, with: {ip: "192.0.2.1"}, approval: auto}]`))
	run := r.run("b", nil)
	r.want(run, incident.Succeeded)
	c := r.contained(run.Incident, incident.Active)
	r.fault(r.Release(c.ID, "mia"), abi.Refused)
}

// What may have taken effect is on record, so that it can be undone.
func TestContainmentInDoubt(t *testing.T) {
	text := book(`steps: [{id: block, uses: trial/block@1, with: {ip: "192.0.2.1"}, approval: auto, ttl: 1h, retry: {attempts: 2, delay: 5s}}]`)
	t.Run("every attempt times out", func(t *testing.T) {
		r := with(t, text)
		r.actor.on("block", failTimes(2, failure(abi.Timeout, "no answer")))
		run := r.begin("b", nil)
		r.waits(run, "block", 1)
		r.advance(time.Minute)
		r.want(r.ended(run), incident.TimedOut, "block=timed_out")
		r.contained(IncidentOf(run), incident.Unverified)
		r.advance(time.Hour)
		r.contained(IncidentOf(run), incident.Released)
	})
	t.Run("the second attempt is refused for certain", func(t *testing.T) {
		r := with(t, text)
		first := true
		r.actor.on("block", func(context.Context, host.Invocation, map[string]any) host.Outcome {
			if first {
				first = false
				return failure(abi.Timeout, "no answer")
			}
			return failure(abi.Unauthorized, "no")
		})
		run := r.begin("b", nil)
		r.waits(run, "block", 1)
		r.advance(time.Minute)
		r.want(r.ended(run), incident.Failed)
		r.contained(IncidentOf(run), incident.Unverified)
	})
	t.Run("cancelled between the attempts", func(t *testing.T) {
		r := with(t, text)
		r.actor.on("block", failTimes(2, failure(abi.Timeout, "no answer")))
		run := r.begin("b", nil)
		r.waits(run, "block", 1)
		if err := r.CancelRun(run, "mia"); err != nil {
			t.Fatal(err)
		}
		r.want(r.ended(run), incident.Cancelled)
		r.contained(IncidentOf(run), incident.Unverified)
	})
	t.Run("cancelled at work", func(t *testing.T) {
		r := with(t, text)
		g := newGate()
		r.actor.on("block", g.answer)
		run := r.begin("b", nil)
		<-g.entered
		if err := r.CancelRun(run, "mia"); err != nil {
			t.Fatal(err)
		}
		r.want(r.ended(run), incident.Cancelled, "block=cancelled")
		r.contained(IncidentOf(run), incident.Unverified)
	})
	t.Run("refused for certain", func(t *testing.T) {
		r := with(t, text)
		r.actor.on("block", failTimes(1, failure(abi.Refused, "no")))
		run := r.run("b", nil)
		r.want(run, incident.Failed)
		if in, _ := r.Incident(run.Incident); len(in.Containments) != 0 {
			t.Errorf("%+v", in.Containments[0])
		}
	})
}

func TestGuards(t *testing.T) {
	const guarded = `
inputs: {ips: {type: array, items: string}}
guards:
  never_contain: ["${{ target.ip in lists.crown }}", "${{ target.ip.startsWith('10.') }}"]
  max_contain: {per_run: 3, per_hour: 5}
steps:
  - {id: all, foreach: "${{ inputs.ips }}", on_item_error: continue, uses: trial/block@1, with: {ip: "${{ item }}"}, approval: auto}`
	ips := func(list ...any) map[string]any { return map[string]any{"ips": list} }
	r := with(t, book(guarded))
	run := r.run("b", ips("192.0.2.200", "10.0.0.1", "192.0.2.1"))
	r.want(run, incident.Succeeded, "all[0]=failed", "all[1]=failed", "all[2]=succeeded")
	if f := run.Steps["all[0]"].Fault; f.Kind != abi.Refused || !strings.Contains(f.Where, "never_contain") {
		t.Errorf("%v", f)
	}
	run = r.run("b", ips("192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"))
	r.want(run, incident.Succeeded, "all[2]=succeeded", "all[3]=failed")
	if f := run.Steps["all[3]"].Fault; f.Kind != abi.Refused || !strings.Contains(f.Where, "per_run") {
		t.Errorf("%v", f)
	}
	run = r.run("b", ips("192.0.2.6", "192.0.2.7"))
	r.want(run, incident.Succeeded, "all[0]=succeeded", "all[1]=failed")
	if f := run.Steps["all[1]"].Fault; f.Kind != abi.Refused || !strings.Contains(f.Where, "per_hour") {
		t.Errorf("%v", f)
	}
	r.restart()
	r.want(r.run("b", ips("192.0.2.8")), incident.Succeeded, "all[0]=failed")
	r.clock.add(61 * time.Minute)
	r.want(r.run("b", ips("192.0.2.8")), incident.Succeeded, "all[0]=succeeded")
	if err := r.removeOld(); err != nil {
		t.Fatal(err)
	}
	if n := r.keys(prefixHour); n != 1 {
		t.Errorf("%d containments are kept for the caps of the hour", n)
	}
	if got := strings.Join(r.actor.called("block"), " "); got != "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.6 192.0.2.8" {
		t.Errorf("blocked %s", got)
	}
}

// The guards of a shared runbook hold wherever it is called from, and so do those of the caller.
func TestGuardsOfEveryScope(t *testing.T) {
	shared := "runbook: shared\nversion: 1\ninputs: {ip: {type: string}}\nguards: {never_contain: [\"${{ target.ip == '192.0.2.66' }}\"]}\n" +
		"steps: [{id: block, uses: trial/block@1, with: {ip: \"${{ inputs.ip }}\"}, approval: auto}]"
	outer := book(`
inputs: {ip: {type: string}}
guards: {never_contain: ["${{ target.ip == inputs.ip + '0' }}", "${{ target.ip == '192.0.2.77' }}"]}
steps: [{id: c, call: shared, with: {ip: "${{ inputs.ip }}"}}]`)
	r := with(t, outer, shared)
	for ip, want := range map[string]incident.Status{"192.0.2.66": incident.Failed, "192.0.2.77": incident.Failed, "192.0.2.1": incident.Succeeded} {
		r.want(r.run("b", map[string]any{"ip": ip}), want)
	}
	if got := r.actor.called("block"); len(got) != 1 {
		t.Errorf("blocked %v", got)
	}
}

// A guard that cannot be evaluated protects.
func TestGuardFailsClosed(t *testing.T) {
	r := with(t, book(`
inputs: {l: {type: array}}
guards: {never_contain: ["${{ inputs.l[5] == target.ip }}"]}
steps: [{id: block, uses: trial/block@1, with: {ip: "192.0.2.1"}, approval: auto}]`))
	r.want(r.run("b", map[string]any{"l": []any{}}), incident.Failed, "block=failed")
	if n := len(r.actor.called("block")); n != 0 {
		t.Error("it was contained all the same")
	}
}

// An action by hand is asked for like one of a runbook.
func TestContainByHand(t *testing.T) {
	r := with(t)
	id := r.open()
	raw, _ := json.Marshal(one)
	run, err := r.Act(id, incident.Invocation{Plugin: "trial", Action: "block", Connector: "trial", Parameters: raw}, "mia")
	if err != nil {
		t.Fatal(err)
	}
	a := r.asked(id, 1)
	if n := len(r.actor.called("block")); n != 0 {
		t.Fatal("nobody was asked")
	}
	if err := r.Decide(a.ID, "noa", true, a.Digest, ""); err != nil {
		t.Fatal(err)
	}
	r.want(r.ended(run), incident.Succeeded)
}

// What two incidents have blocked stays blocked until both have let it go.
func TestSharedContainment(t *testing.T) {
	simple := testPlugin()
	block := simple.Manifest.Actions["block"]
	block.Inverse = &abi.Inverse{Action: "unblock", With: map[string]string{"ip": "{parameters.ip}"}}
	start := func(t *testing.T, text string) *rig {
		r := with(t, text)
		r.content.Plugins["trial"].Manifest.Actions["block"] = block
		return r
	}
	t.Run("the second to be released frees the target", func(t *testing.T) {
		r := start(t, book(blockAuto))
		first, second, other := r.run("b", one), r.run("b", one), r.run("b", map[string]any{"ip": "192.0.2.2"})
		for _, run := range []*incident.Run{first, second, other} {
			r.contained(run.Incident, incident.Verified)
		}
		if err := r.Release("CON-000001-1", "mia"); err != nil {
			t.Fatal(err)
		}
		r.contained(first.Incident, incident.Released)
		if got := r.actor.called("unblock"); len(got) != 0 {
			t.Fatalf("%v was unblocked while %s holds it", got, second.Incident)
		}
		in, _ := r.Incident(first.Incident)
		if len(in.Findings) != 1 || !strings.Contains(in.Findings[0].Text, second.Incident+" still holds") {
			t.Errorf("%+v", in.Findings)
		}
		r.restart() // what stands is known after it
		if err := r.Release("CON-000003-1", "mia"); err != nil {
			t.Fatal(err)
		}
		r.contained(other.Incident, incident.Released)
		r.advance(time.Hour + time.Second)
		r.contained(second.Incident, incident.Released)
		if got := strings.Join(r.actor.called("unblock"), " "); got != "192.0.2.2 192.0.2.1" {
			t.Errorf("unblocked %s", got)
		}
		if n := r.keys(prefixHeld); n != 0 {
			t.Errorf("%d containments are held for ever", n)
		}
	})
	t.Run("a block waits for the release that is at work", func(t *testing.T) {
		r := start(t, book(blockAuto))
		first := r.run("b", one)
		r.contained(first.Incident, incident.Verified)
		g := newGate()
		r.actor.on("unblock", g.answer)
		if err := r.Release("CON-000001-1", "mia"); err != nil {
			t.Fatal(err)
		}
		<-g.entered
		second := r.begin("b", one)
		r.until(IncidentOf(second), "the block is under way", func(in *incident.Incident) bool {
			s := stepOf(in, second, "block")
			return s != nil && s.InFlight
		})
		if n := len(r.actor.called("block")); n != 1 {
			t.Errorf("%d blocks while the release is at work", n)
		}
		close(g.open)
		r.want(r.ended(second), incident.Succeeded)
		r.contained(first.Incident, incident.Released)
		if got := len(r.actor.called("block")); got != 2 {
			t.Errorf("%d blocks", got)
		}
	})
	t.Run("a block that fails for certain holds nothing", func(t *testing.T) {
		r := start(t, book(blockAuto))
		first := r.run("b", one)
		r.contained(first.Incident, incident.Verified)
		r.actor.on("block", failTimes(1, failure(abi.Refused, "no")))
		r.want(r.run("b", one), incident.Failed)
		if err := r.Release("CON-000001-1", "mia"); err != nil {
			t.Fatal(err)
		}
		r.contained(first.Incident, incident.Released)
		if n := len(r.actor.called("unblock")); n != 1 {
			t.Errorf("%d unblocked", n)
		}
	})
}
