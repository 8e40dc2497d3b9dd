package engine

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
)

func manyItems(n int) map[string]any {
	list := make([]any, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return map[string]any{"list": list}
}

// Ten thousand items, a stop at item 7,312, and it goes on there.
func TestLongLoop(t *testing.T) {
	const total, at = 10_000, 7_312
	r := with(t, book(`
inputs: {list: {type: array, items: string}}
steps:
  - {id: all, foreach: "${{ inputs.list }}", limit: 20000, concurrency: 32, uses: trial/look@1, with: {ip: "${{ item }}"}}
  - {id: n, set: "${{ steps.all.size() }}"}`))
	var calls atomic.Int64
	reached := make(chan struct{})
	r.actor.on("look", func(ctx context.Context, _ host.Invocation, params map[string]any) host.Outcome {
		if calls.Add(1) == at {
			close(reached)
		}
		return output(map[string]any{"ip": params["ip"]})
	})
	began := time.Now()
	run := r.begin("b", manyItems(total))
	<-reached
	first := time.Since(began)
	r.restart()
	got := r.ended(run)
	r.want(got, incident.Succeeded, "all=succeeded", "n=succeeded")
	all := got.Steps["all"]
	if all.Done != total || all.Broken != 0 || string(got.Steps["n"].Output) != "10000" {
		t.Errorf("%d done, %d failed, n is %s", all.Done, all.Broken, got.Steps["n"].Output)
	}
	again := calls.Load() - total
	if again < 0 || again > 200 {
		t.Errorf("%d items were looked at twice", again)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("%d items in %s, the rest in %s, %d again; %d MiB of heap", at, first.Round(time.Millisecond), (time.Since(began) - first).Round(time.Millisecond), again, mem.HeapInuse>>20)
}

// When another branch ends the scope of a loop, or one around it, the items at work come to their end, and no further one begins. The step that
// failed is the one that the run names.
func TestLoopBesideAFailure(t *testing.T) {
	const loop = `{id: all, needs: [], foreach: "${{ ['1', '2', '3', '4'] }}", concurrency: 2, uses: trial/block@1, with: {ip: "${{ item }}"}, approval: auto}`
	const beside = `{id: other, needs: [], uses: trial/look@1, with: {ip: x}}`
	for name, c := range map[string]struct{ book, steps, failed string }{
		"steps":    {"steps: [" + loop + ", " + beside + "]", "all=cancelled all[0]=succeeded all[1]=succeeded all[2]=never began other=failed", "other"},
		"parallel": {"steps: [{id: p, needs: [], parallel: [" + strings.Replace(loop, " needs: [],", "", 1) + "]}, " + beside + "]", "all=cancelled all[2]=never began p=cancelled other=failed", "other"},
		"call": {"steps: [{id: c, needs: [], call: inner}, " + beside + "]\nrunbooks: {inner: {steps: [" + loop + ", {id: behind, set: 1}]}}",
			"c/all=cancelled c/all[2]=never began c/behind=never began c=cancelled other=failed", "other"},
	} {
		t.Run(name, func(t *testing.T) {
			r := with(t, book(c.book))
			blocks, looks := newGate(), newGate()
			r.actor.on("block", blocks.answer)
			r.actor.on("look", func(ctx context.Context, inv host.Invocation, params map[string]any) host.Outcome {
				looks.answer(ctx, inv, params)
				return failure(abi.Failed, "no")
			})
			run := r.begin("b", nil)
			<-blocks.entered
			<-blocks.entered
			<-looks.entered
			close(looks.open)
			r.until(IncidentOf(run), "the other branch has failed", func(in *incident.Incident) bool {
				x := in.Run(run)
				return x != nil && x.Steps["other"] != nil && x.Steps["other"].Status.Ended()
			})
			close(blocks.open)
			got := r.ended(run)
			r.want(got, incident.Failed, fields(c.steps)...)
			if got.Failed != c.failed {
				t.Errorf("the run failed at %s", got.Failed)
			}
			if n := len(r.actor.called("block")); n != 2 {
				t.Errorf("%d items were begun", n)
			}
		})
	}
}

// Loops whose items need no waiting make one long plan: it is stored in parts.
func TestLoopInOnePlan(t *testing.T) {
	const total = 3_000
	r := with(t, book(`
inputs: {list: {type: array, items: string}}
steps:
  - {id: warm, uses: trial/look@1, cache: 1h, with: {ip: x}}
  - {id: cached, foreach: "${{ inputs.list }}", limit: 20000, uses: trial/look@1, cache: 1h, with: {ip: x}}
  - {id: called, foreach: "${{ inputs.list }}", limit: 20000, call: c, with: {ip: "${{ item }}"}}
  - {id: n, set: "${{ steps.called.map(e, int(e.output.x)).size() }}"}
runbooks:
  c:
    inputs: {ip: {type: string}}
    steps: [{id: s, set: "${{ inputs.ip }}"}, {id: no, set: 1, if: "${{ false }}"}]
    outputs: {x: "${{ steps.s }}"}`))
	r.want(r.run("b", manyItems(1)), incident.Succeeded) // fills the cache
	before := len(r.actor.called("look"))
	run := r.run("b", manyItems(total))
	r.want(run, incident.Succeeded, "cached=succeeded", "called=succeeded", "n=succeeded")
	if n := len(r.actor.called("look")) - before; n != 0 {
		t.Errorf("%d calls in spite of the cache", n)
	}
}

// Many containments: caps, timers and lists must not make each one dearer than the one before.
func TestManyContainments(t *testing.T) {
	text := book(`
inputs: {list: {type: array, items: string}}
guards: {max_contain: {per_run: 20000, per_hour: 50000}}
steps: [{id: all, foreach: "${{ inputs.list }}", limit: 20000, concurrency: 32, uses: trial/block@1, with: {ip: "${{ item }}"}, approval: auto, ttl: 1h}]`)
	r := with(t, text)
	var times []time.Duration
	for _, n := range []int{250, 1_000} {
		began := time.Now()
		r.want(r.run("b", manyItems(n)), incident.Succeeded)
		times = append(times, time.Since(began)/time.Duration(n))
	}
	t.Logf("each of 250: %s, each of 1,000: %s", times[0], times[1])
	r.clock.add(2 * time.Hour)
	// all of them end at once
	r.advance(0)
	began := time.Now()
	for _, id := range []string{"INC-000001", "INC-000002"} {
		r.until(id, "all is released", func(in *incident.Incident) bool {
			return len(in.Containments) >= 250 && in.Containments[len(in.Containments)-1].State == incident.Released && in.Containments[0].State == incident.Released && in.Quiet()
		})
	}
	t.Logf("released in %s", time.Since(began).Round(time.Millisecond))
}

// BenchmarkAlarm is one alarm through match, plan, store and an instant runner, until its run has ended. What is committed at once is shared.
func BenchmarkAlarm(b *testing.B) {
	for _, parallel := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d at once", parallel), func(b *testing.B) {
			r := work(b, content(b, append(alarmRules, lookAtIP, plainRule, plainTemplate)...))
			r.actor.on("look", func(context.Context, host.Invocation, map[string]any) host.Outcome {
				return host.Outcome{Output: []byte(`{"score":1}`)}
			})
			b.ReportAllocs()
			b.ResetTimer()
			turn := make(chan struct{}, parallel)
			for i := range b.N {
				turn <- struct{}{}
				r.Accept(context.Background(), r.alarm(netAlarm(fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255))), func(err error) {
					if err != nil {
						b.Error(err)
					}
					<-turn
				})
			}
			r.idleNow()
		})
	}
}

// BenchmarkFold reads an incident of ten thousand facts.
func BenchmarkFold(b *testing.B) {
	r := with(b, book(`
inputs: {list: {type: array, items: string}}
steps: [{id: all, foreach: "${{ inputs.list }}", limit: 20000, concurrency: 64, uses: trial/look@1, with: {ip: "${{ item }}"}}]`))
	run := r.run("b", manyItems(5_000))
	r.want(run, incident.Succeeded)
	facts, err := r.Facts(run.Incident, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("from disk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Incident(run.Incident); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("from memory", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			in := &incident.Incident{}
			for i := range facts {
				if err := in.Apply(&facts[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.ReportMetric(float64(len(facts)), "facts")
}
