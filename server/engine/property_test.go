package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

func TestMain(m *testing.M) {
	// A library of the database starts this one for the whole process.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// drawBook makes up a runbook.
func drawBook(t *rapid.T) string {
	var b strings.Builder
	b.WriteString("runbook: b\nversion: 1\ninputs: {ip: {type: string}}\nsteps:\n")
	n := rapid.IntRange(1, 6).Draw(t, "steps")
	ip := func() string { return rapid.SampledFrom([]string{"1", "2", "bad"}).Draw(t, "ip") }
	// Where several things go on at once, a failure that ends the run would make its end a matter of chance.
	branches := rapid.Bool().Draw(t, "branches")
	onError := func() string {
		if branches {
			return "continue"
		}
		return rapid.SampledFrom([]string{"fail", "continue"}).Draw(t, "on_error")
	}
	for i := range n {
		id := fmt.Sprintf("s%d", i)
		needs := ""
		if i > 0 && branches && rapid.Bool().Draw(t, "needs") {
			needs = fmt.Sprintf(", needs: [s%d]", rapid.IntRange(0, i-1).Draw(t, "need"))
		}
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			fmt.Fprintf(&b, "  - {id: %s, uses: trial/look@1, with: {ip: '%s'}, on_error: %s%s}\n", id, ip(), onError(), needs)
		case 1:
			fmt.Fprintf(&b, "  - {id: %s, uses: trial/block@1, with: {ip: '%s'}, approval: auto, ttl: 1h, on_error: %s%s}\n", id, ip(), onError(), needs)
		case 2:
			fmt.Fprintf(&b, "  - {id: %s, foreach: \"${{ ['%s', '%s', '%s'] }}\", concurrency: %d, on_item_error: %s, on_error: %s, uses: trial/look@1, with: {ip: \"${{ item }}\"}%s}\n",
				id, ip(), ip(), ip(), map[bool]int{false: 1, true: 3}[branches], onError(), onError(), needs)
		case 3:
			fmt.Fprintf(&b, "  - {id: %s, set: \"${{ inputs.ip + 'x' }}\", if: \"${{ %t }}\"%s}\n", id, rapid.Bool().Draw(t, "if"), needs)
		case 4:
			fmt.Fprintf(&b, "  - {id: %s, parallel: [{id: %sa, uses: trial/look@1, with: {ip: '%s'}, on_error: %s}, {id: %sb, call: c, on_error: %s}]%s}\n", id, id, ip(), onError(), id, onError(), needs)
		case 5:
			fmt.Fprintf(&b, "  - {id: %s, call: c, on_error: %s%s}\n", id, onError(), needs)
		}
	}
	fmt.Fprintf(&b, "on_failure: [{id: t, uses: trial/tell@1, with: {ip: x}}]\n")
	fmt.Fprintf(&b, "runbooks: {c: {steps: [{id: x, set: 1}, {id: y, uses: trial/look@1, with: {ip: '%s'}}, {id: z, uses: trial/tell@1, with: {ip: z}}]}}\n", ip())
	return b.String()
}

// Whatever the runbook, and wherever the engine is killed, it comes to the same end.
func TestCrashesChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := drawBook(rt)
		crashes := rapid.SliceOfN(rapid.IntRange(1, 12), 0, 3).Draw(rt, "crashes")
		c := content(t, append(alarmRules, text, plainRule, plainTemplate)...)
		want := finish(t, rt, c, nil)
		if got := finish(t, rt, c, crashes); got != want {
			rt.Fatalf("with crashes\n%s\nwithout\n%s\n%s", got, want, text)
		}
	})
}

// finish drives one alarm to its end, killing the engine after so many commits each time, and tells what came of it.
func finish(t *testing.T, rt *rapid.T, c *Content, crashes []int) string {
	store := openStore(t)
	r := &rig{TB: t, clock: newClock(), actor: &actor{answers: map[string]answer{"look": lookOrBad, "block": block}}, store: store, log: &logBook{}}
	begin := func(commits int) (crashed chan struct{}) {
		weak := &weakStore{Store: store}
		crashed = make(chan struct{})
		if commits > 0 {
			weak.set(crashAfter(commits, crashed))
		}
		r.options = Options{Store: weak, Runner: r.actor, Content: c, Now: r.clock.Now}
		r.Engine = New(r.options)
		if err := r.Start(); err != nil {
			rt.Fatal(err)
		}
		return crashed
	}
	next := func() int { // 0 is: to the end
		if len(crashes) == 0 {
			return 0
		}
		n := crashes[0]
		crashes = crashes[1:]
		return n
	}
	n := next()
	crashed := begin(n)
	done := make(chan error, 1)
	r.Accept(context.Background(), r.alarm(netAlarm("10.0.0.1")), func(err error) { done <- err })
	if err := <-done; err != nil {
		rt.Fatal(err)
	}
	for n > 0 {
		select {
		case <-crashed:
		case <-r.over():
		}
		r.Stop()
		r.settled() // the dead write nothing: what was on its way to the disk is there before the next engine reads
		n = next()
		crashed = begin(n)
	}
	r.ended("RUN-000001-1")
	got := r.summary("INC-000001")
	r.Stop()
	r.settled()
	return got
}

// over is closed when the run has ended, on disk.
func (r *rig) over() <-chan struct{} {
	over := make(chan struct{})
	e := r.Engine
	go func() {
		defer close(over)
		_ = e.Follow(context.Background(), "INC-000001", 0, func(f *journal.Fact) error {
			if f.Kind == incident.FactRunFinished {
				return journal.ErrStop
			}
			return nil
		})
	}()
	return over
}

func block(_ context.Context, _ host.Invocation, params map[string]any) host.Outcome {
	if params["ip"] == "bad" {
		return failure(abi.Unauthorized, "no")
	}
	return output(map[string]any{"ip": params["ip"]})
}
