package incident

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

var update = flag.Bool("update", false, "write the golden files")

var t0 = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// story is a whole incident, as it is read from the journal.
func story(t testing.TB) []journal.Fact {
	t.Helper()
	list := told(t)
	for i := range list {
		list[i].Value = nil
	}
	return list
}

// told is story with the values that the data was made of: each kind of fact, and each of its forms, occurs.
func told(t testing.TB) []journal.Fact {
	t.Helper()
	var list []journal.Fact
	tell := func(kind journal.Kind, run, step, by string, data any) {
		f := journal.Fact{Seq: uint64(len(list) + 1), Time: t0.Add(time.Duration(len(list)) * time.Second), Kind: kind, Incident: "INC-000001", Run: run, Step: step, By: by, Value: data}
		if data != nil {
			raw, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			f.Data = raw
		}
		list = append(list, f)
	}
	const run = "RUN-000001-1"
	at := func(d time.Duration) *time.Time { x := t0.Add(d); return &x }
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	fault := &abi.Fault{Kind: abi.Unavailable, Message: "no answer", Hint: "is it on?", Where: "l"}
	act := ActionStarted{Invocation: run + ":l#1", Key: run + ":l", Attempt: 1, Plugin: "trial", Action: "look", Kind: abi.Enrich, Effect: abi.Read, Connector: "trial", Module: "sha256:x", Parameters: raw(`{"ip":"1"}`), At: t0}
	again, block, probe := act, act, act
	again.Attempt, again.Invocation = 2, run+":l#2"
	block.Action, block.Kind, block.Effect, block.Targets, block.TTL, block.Invocation = "block", abi.Contain, abi.Idempotent, []string{"192.0.2.1"}, time.Hour, run+":block#1"
	probe.Action, probe.Verify, probe.Invocation = "blocked", true, run+":block~probe#1"

	tell(FactOpened, "", "", "", Opened{Template: "net", Rule: "net", Type: "network", Title: "10.0.0.1 is odd", Severity: "high", Attack: []string{"T1071"}})
	tell(FactAlarm, "", "", "", AlarmJoined{UID: "al-1"})
	tell(FactArtifact, "", "", "", Artifact{Kind: "ip", Name: "src_ip", Value: "10.0.0.1", Source: "alarm"})
	tell(FactRunStarted, run, "", "mia", RunStarted{Runbook: "b", Version: 3, Digest: "d", Title: "Do it", Alarm: "al-1", Inputs: map[string]json.RawMessage{"ip": raw(`"1"`)}})
	tell(FactStepStarted, run, "p", "", StepStarted{Kind: "parallel"})
	tell(FactStepStarted, run, "c", "", StepStarted{Kind: "call", Input: map[string]json.RawMessage{"x": raw("1")}})
	tell(FactStepStarted, run, "plain_call", "", StepStarted{Kind: "call"})
	tell(FactStepStarted, run, "w", "", StepStarted{Kind: "wait", Until: at(time.Hour)})
	tell(FactStepDone, run, "w", "", StepFinished{Status: Succeeded})
	tell(FactActStarted, run, "l", "", act)
	tell(FactActFinished, run, "l", "", ActionFinished{Invocation: act.Invocation, Status: Failed, Fault: fault, Retry: at(time.Minute), Wall: 12_340_000})
	tell(FactActStarted, run, "l", "", again)
	tell(FactActFinished, run, "l", "", ActionFinished{Invocation: again.Invocation, Status: Succeeded, Output: raw(`{"score":9}`), HostCalls: 2, Wall: 1_000_000})
	tell(FactActFinished, run, "wipe", "", ActionFinished{Status: InDoubt, Unknown: true, Fault: &abi.Fault{Kind: abi.InDoubt, Message: "a crash came in between"}})
	tell(FactSettled, run, "wipe", "mia", Settled{Answer: Happened, Note: "I looked"})
	tell(FactArtifact, "", "", "", Artifact{Kind: "ip", Value: "10.0.0.1", Verdict: "malicious", Note: "seen before", Source: run + "/l"})
	tell(FactFinding, "", "", "", Finding{Text: "it is bad", Verdict: "malicious", Source: run + "/l"})
	tell(FactEvidence, "", "", "", Evidence{Name: "a.pcap", Size: 17, Digest: "e", Key: "e/x", Source: run + "/l"})
	tell(FactStepStarted, run, "all", "", StepStarted{Kind: "foreach", Items: []json.RawMessage{raw(`"1"`), raw(`"2"`), raw(`"3"`)}})
	tell(FactActStarted, run, "all[0]", "", act)
	tell(FactActStarted, run, "all[1]", "", act)
	tell(FactActFinished, run, "all[0]", "", ActionFinished{Status: Succeeded, Cached: true, Output: raw(`{}`)})
	tell(FactActFinished, run, "all[1]", "", ActionFinished{Status: TimedOut, Fault: &abi.Fault{Kind: abi.Timeout, Message: "slow"}})
	tell(FactStepDone, run, "choice", "", StepFinished{Status: Succeeded, Chosen: "block", Note: "it is bad"})
	tell(FactStepDone, run, "other", "", StepFinished{Status: Skipped, NotTaken: true})
	tell(FactStepDone, run, "s", "", StepFinished{Status: Succeeded, Output: raw(`"` + strings.Repeat("ö", 300) + `"`)})
	tell(FactStepStarted, run, "block", "", StepStarted{Kind: "approve"})
	tell(FactAsked, run, "block", "", Approval{ID: "APR-000001-1", Run: run, Step: "block", Title: "Block?", Need: []Need{{"soc", 2}}, Subject: raw(`{}`), Digest: "s", State: "pending", Asked: t0})
	tell(FactVoted, "", "", "noa", Vote{Approval: "APR-000001-1", Grant: true, Note: "go"})
	tell(FactVoted, "", "", "ole", Vote{Approval: "APR-000001-1"})
	tell(FactDecided, run, "block", "", Decided{Approval: "APR-000001-1", State: "granted"})
	tell(FactActStarted, run, "block", "", block)
	tell(FactPlaced, "", "", "", Containment{ID: "CON-000001-1", Incident: "INC-000001", Run: run, Step: "block", Plugin: "trial", Action: "block", Connector: "trial", Targets: []string{"192.0.2.1"}, Placed: t0, Expires: at(time.Hour), State: Active, Inverse: &Invocation{Plugin: "trial", Action: "unblock", Parameters: raw(`{}`)}})
	tell(FactActFinished, run, "block", "", ActionFinished{Status: Succeeded, Verifying: true})
	tell(FactActStarted, run, "block", "", probe)
	tell(FactContained, "", "", "", ContainmentChanged{ID: "CON-000001-1", State: Verified})
	tell(FactActFinished, run, "block", "", ActionFinished{Status: Succeeded, Verify: true, Output: raw(`{"present":true}`)})
	tell(FactRunCancel, run, "", "mia", nil)
	tell(FactRunFinished, run, "", "", RunFinished{Status: Failed, Fault: fault, Failed: "l"})
	tell(FactComment, "", "", "mia", Comment{Text: "done"})
	tell(FactChanged, "", "", "mia", Changed{Status: "closed", Severity: "low", Queue: "q", Owner: "noa", Note: "n"})
	tell(FactContained, "", "", "", ContainmentChanged{ID: "CON-000001-1", State: ReleaseFailed, Run: "RUN-000001-2", Fault: fault})
	return list
}

func fold(t testing.TB, facts []journal.Fact) *Incident {
	t.Helper()
	in := &Incident{}
	for i := range facts {
		if err := in.Apply(&facts[i]); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// The timeline in sentences, and the state that it comes to.
func TestTimeline(t *testing.T) {
	facts := story(t)
	var b strings.Builder
	for i := range facts {
		fmt.Fprintf(&b, "%2d %s\n", facts[i].Seq, Sentence(&facts[i]))
	}
	in := fold(t, facts)
	for _, v := range []any{in, in.Head(), in.Runs[0].Steps} {
		state, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("-----\n" + string(state) + "\n")
	}
	const golden = "testdata/timeline.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s", b.String())
	}
}

// kinds are the constants of type journal.Kind in this package.
func kinds(t *testing.T) map[journal.Kind]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "facts.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[journal.Kind]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if sel, ok := spec.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Kind" {
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok {
					out[journal.Kind(strings.Trim(lit.Value, `"`))] = true
				}
			}
		}
		return true
	})
	return out
}

// Every kind of fact is told in words, and folded.
func TestEveryKind(t *testing.T) {
	all := kinds(t)
	if len(all) < 19 {
		t.Fatalf("%d kinds were found", len(all))
	}
	for _, f := range story(t) {
		if text := Sentence(&f); text == string(f.Kind) || text == "" {
			t.Errorf("%s is not told", f.Kind)
		}
		delete(all, f.Kind)
	}
	for kind := range all {
		t.Errorf("the story has no %s", kind)
	}
	if got := Sentence(&journal.Fact{Kind: "new.kind"}); got != "new.kind" {
		t.Errorf("an unknown kind is told as %q", got)
	}
	if got := Sentence(&journal.Fact{Kind: FactOpened, Data: json.RawMessage("{")}); got != string(FactOpened) {
		t.Errorf("damaged data is told as %q", got)
	}
}

// An incident is in memory, before its facts are stored, as it is when they are read.
func TestValuesAreWhatIsRead(t *testing.T) {
	now, read := &Incident{}, &Incident{}
	facts, stored := told(t), story(t)
	for i := range facts {
		if err := errors.Join(now.Apply(&facts[i]), read.Apply(&stored[i])); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(now, read) {
			t.Fatalf("after %s\n%s\nread\n%s", Sentence(&stored[i]), spew(now), spew(read))
		}
	}
	if err := now.Apply(&journal.Fact{Seq: now.Seq + 1, Kind: FactAlarm, Incident: "INC-000001", Value: Comment{}}); err == nil {
		t.Error("a value of another type was folded")
	}
}

func spew(in *Incident) string {
	text, err := json.Marshal([]any{in, in.Runs})
	return fmt.Sprintf("%s %v", text, err)
}

// A journal that cannot be right is refused, not guessed at.
func TestDamagedJournal(t *testing.T) {
	opened := story(t)[0]
	for name, bad := range map[string]journal.Fact{
		"a gap":                {Seq: 3, Kind: FactComment, Incident: "INC-000001"},
		"twice":                {Seq: 1, Kind: FactComment, Incident: "INC-000001"},
		"of another incident":  {Seq: 2, Kind: FactComment, Incident: "INC-000002"},
		"an unknown kind":      {Seq: 2, Kind: "new.kind", Incident: "INC-000001"},
		"an unknown run":       {Seq: 2, Kind: FactStepDone, Incident: "INC-000001", Run: "RUN-000001-1", Step: "x", Data: json.RawMessage("{}")},
		"data that is no JSON": {Seq: 2, Kind: FactAlarm, Incident: "INC-000001", Data: json.RawMessage("{")},
		"no data":              {Seq: 2, Kind: FactChanged, Incident: "INC-000001"},
	} {
		in := fold(t, []journal.Fact{opened})
		if err := in.Apply(&bad); err == nil || in.Seq != 1 {
			t.Errorf("%s: %v, the state is at %d", name, err, in.Seq)
		}
	}
}

func TestLoopPath(t *testing.T) {
	for path, want := range map[string]string{"a[3]": "a 3 true", "c/a[3]": "c/a 3 true", "a[0]/b[12]": "a[0]/b 12 true", "a": " 0 false", "a[0]/b": " 0 false", "]": " 0 false", "a[x]": "a 0 false"} {
		loop, item, ok := Loop(path)
		if got := fmt.Sprint(loop, " ", item, " ", ok); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestQuiet(t *testing.T) {
	soon := t0
	for _, c := range []struct {
		in    Incident
		quiet bool
	}{
		{Incident{}, true},
		{Incident{Runs: []*Run{{Status: Succeeded}, {Status: Waiting}}}, false},
		{Incident{Containments: []*Containment{{State: Verified, Expires: &soon, Inverse: &Invocation{}}}}, false},
		{Incident{Containments: []*Containment{{State: Verified, Expires: &soon}}}, true}, // nothing can undo it
		{Incident{Containments: []*Containment{{State: Verified, Inverse: &Invocation{}}}}, true},
		{Incident{Containments: []*Containment{{State: ReleaseFailed, Expires: &soon, Inverse: &Invocation{}}}}, true},
		{Incident{Containments: []*Containment{{State: Released, Expires: &soon, Inverse: &Invocation{}}}}, true},
	} {
		if got := c.in.Quiet(); got != c.quiet {
			t.Errorf("%+v is quiet: %t", c.in.Containments, got)
		}
	}
}

// FuzzApply folds facts that nobody could have written, and tells them.
func FuzzApply(f *testing.F) {
	for _, fact := range story(f) {
		f.Add(string(fact.Kind), fact.Run, fact.Step, []byte(fact.Data))
	}
	f.Fuzz(func(t *testing.T, kind, run, step string, data []byte) {
		in := fold(t, story(t))
		_ = in.Apply(&journal.Fact{Seq: in.Seq + 1, Kind: journal.Kind(kind), Incident: "INC-000001", Run: run, Step: step, Data: data})
		_ = Sentence(&journal.Fact{Kind: journal.Kind(kind), Run: run, Step: step, Data: data})
		_, _ = in.Head(), in.Quiet()
	})
}
