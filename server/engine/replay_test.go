package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/incident"
	"github.com/riposte-soar/riposte/server/journal"
)

func TestVerdictsOfReplays(t *testing.T) {
	ended := func(output string, fault *abi.Fault) *incident.ActionFinished {
		return &incident.ActionFinished{Output: json.RawMessage(output), Fault: fault, Fuel: 100}
	}
	gives := func(output string, fault *abi.Fault, fuel int64) host.Outcome {
		return host.Outcome{Output: json.RawMessage(output), Fault: fault, Stats: host.Stats{Fuel: fuel}}
	}
	refused, failed := abi.NewFault(abi.Refused, "no", ""), abi.NewFault(abi.Failed, "no", "")
	asked := abi.NewFault(abi.Diverged, "call 2 asks http.fetch {…}, but the tape holds dns.resolve {…}", "")
	for name, test := range map[string]struct {
		meter string
		was   *incident.ActionFinished
		is    host.Outcome
		want  Verdict
		says  string
	}{
		"same output":           {"", ended(`{"a":"\u003c"}`, nil), gives(`{ "a": "<" }`, nil, 100), Same, ""},
		"same fault":            {"", ended("", refused), gives("", refused, 100), Same, ""},
		"fault of the engine":   {"", ended(`{"present":false}`, failed), gives(`{"present":false}`, nil, 100), Same, ""},
		"another output":        {"", ended(`{"a":1}`, nil), gives(`{"a":2}`, nil, 100), Diverged, `{"a":2}`},
		"fails now":             {"", ended(`{"a":1}`, nil), gives("", failed, 100), Diverged, "failed"},
		"succeeds now":          {"", ended("", failed), gives(`1`, nil, 100), Diverged, "succeeded"},
		"another fault":         {"", ended("", refused), gives("", failed, 100), Diverged, "refused"},
		"other instructions":    {"", ended(`1`, nil), gives(`1`, nil, 101), Diverged, "101"},
		"asks something else":   {"", ended(`1`, nil), gives("", asked, 100), Diverged, "dns.resolve"},
		"counted otherwise":     {"modules-0", ended(`1`, nil), gives(`1`, nil, 101), Unknown, "modules-0"},
		"was cancelled":         {"", ended("", abi.NewFault(abi.Cancelled, "the run was cancelled", "")), gives(`1`, nil, 100), Unknown, "cut short"},
		"another old module":    {"modules-0", ended(`1`, nil), gives(`2`, nil, 101), Diverged, "output"},
		"its own fault in time": {"", ended("", abi.NewFault(abi.Timeout, "the vendor is slow", "")), gives("", abi.NewFault(abi.Timeout, "the vendor is slow", ""), 100), Same, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if test.meter == "" {
				test.meter = host.EngineVersion()
			}
			var r Replayed
			r.compare([]tape.Entry{{Kind: tape.HeaderKind, Header: &tape.Header{Meter: test.meter}}}, test.was, test.is, &tape.Comparison{}, tape.Exact)
			if r.Verdict != test.want || (r.Fault == nil) != (r.Verdict == Same) || r.Fault != nil && !strings.Contains(r.Fault.Message, test.says) {
				t.Errorf("%s, %v", r.Verdict, r.Fault)
			}
		})
	}
}

// The calls and what was logged count too, but not in a lenient replay: there only the result does.
func TestVerdictsOfCalls(t *testing.T) {
	differs := &tape.Comparison{Calls: []tape.Pair{{Was: &tape.Exchange{Seq: 2}, Differs: []string{"call"}}}, Outcome: []tape.Change{{Name: "logs", Was: "a", Is: "b"}}}
	for mode, want := range map[tape.Mode]Verdict{tape.Exact: Diverged, tape.Lenient: Same} {
		var r Replayed
		r.compare(nil, &incident.ActionFinished{Output: json.RawMessage("1"), Fuel: 7}, host.Outcome{Output: json.RawMessage("1"), Stats: host.Stats{Fuel: 7}}, differs, mode)
		if r.Verdict != want || want == Diverged && !strings.HasSuffix(r.Fault.Message, "call 2 (call); logs") {
			t.Errorf("%s: %s, %v", mode, r.Verdict, r.Fault)
		}
	}
}

func TestReplayOfWhatIsNotThere(t *testing.T) {
	r := work(t, content(t))
	for _, run := range []string{"RUN-000001-1", "", "INC-000001", "RUN-000001-1/x"} {
		var f *abi.Fault
		if _, err := r.Replay(t.Context(), run, ReplayOptions{}); !errors.As(err, &f) || f.Kind != abi.NotFound {
			t.Errorf("%q gave %v", run, err)
		}
	}
	for says, was := range map[string]*incident.ActionFinished{"cache": {Cached: true}, "before the plugin ran": {}, "not installed": {Fuel: 1}, "no tape": {Fuel: 2}} {
		act := &incident.ActionStarted{Plugin: "trial", Module: "sha256:trial", Invocation: "RUN-000001-1:a#1"}
		if was.Fuel == 1 {
			act.Module = "sha256:older"
		}
		if got := r.replay(t.Context(), "a", act, was, ReplayOptions{}); got.Verdict != Unknown || !strings.Contains(got.Fault.Message, says) {
			t.Errorf("%s: %s, %v", says, got.Verdict, got.Fault)
		}
	}
	if n := len(r.actor.calls); n != 0 {
		t.Errorf("%d plugins ran", n)
	}
}

// What a tape holds must come out of the store byte for byte: else a replayed plugin reads another text, and the chain is broken.
// Entries that lie together are found again as they were written, and so is what was only waiting for more.
func TestTapesAreStoredInParts(t *testing.T) {
	r := work(t, content(t))
	const invocation = "RUN-000001-1:a#1"
	var written []tape.Entry
	for attempt := range 2 { // the second goes on with what the first left
		log, err := r.openTape(invocation, submitted(), false)
		if err != nil || len(log.Recorded()) != len(written) {
			t.Fatal(len(log.Recorded()), err)
		}
		add := func(e tape.Entry, durable bool) {
			if err := log.Append(e, durable); err != nil {
				t.Fatal(err)
			}
			written = append(written, e)
		}
		if attempt == 0 {
			add(tape.Entry{Kind: tape.HeaderKind, Header: &tape.Header{Invocation: "i"}}, false)
		}
		for i := range 4 {
			seq := attempt*4 + i + 1
			add(tape.Entry{Kind: tape.BeginKind, Seq: seq, Call: &tape.Call{Function: "http.fetch"}}, i%2 == 0)
			end := tape.Entry{Kind: tape.EndKind, Seq: seq}
			end.Reply = end.NewBody(append(bytes.Repeat([]byte("1"), i*2000), '1'))
			add(end, false)
		}
		log.flush()
		if err := journal.Commit(t.Context(), r.store, nil); err != nil { // what was submitted before is on disk
			t.Fatal(err)
		}
	}
	kept, err := r.Tape(invocation)
	if err != nil || len(kept) != len(written) {
		t.Fatalf("%d entries, want %d: %v", len(kept), len(written), err)
	}
	var chain tape.Chain
	for i := range written {
		want, err := chain.Line(&written[i])
		if err != nil {
			t.Fatal(err)
		}
		if kept[i].Prev != written[i].Prev || kept[i].Seq != written[i].Seq || !bytes.Equal(kept[i].Document(kept[i].Reply), written[i].Document(written[i].Reply)) {
			t.Errorf("entry %d is %+v, want %s", i, kept[i], want)
		}
	}
	keys := 0
	if err := r.store.Scan([]byte(prefixTape), nil, false, func(_, _ []byte) error { keys++; return nil }); err != nil || keys >= len(written) {
		t.Errorf("%d keys for %d entries: %v", keys, len(written), err)
	}
}

// without removes one entry of a tape.
func without(n byte) func(key, value []byte) journal.Op {
	return func(key, _ []byte) journal.Op {
		if key[len(key)-1] == n {
			return journal.Op{Key: key, Delete: true}
		}
		return journal.Op{}
	}
}

func TestTapesAreKeptByteForByte(t *testing.T) {
	r := work(t, content(t))
	log, err := r.openTape("RUN-000001-1:a#1", submitted(), false)
	if err != nil {
		t.Fatal(err)
	}
	answer := []byte(`{"value":{"status":200,"body":{"text":"<a href=\"?x&y\">\u2028é</a>"}}}`)
	large := append(append([]byte(`{"value":"`), bytes.Repeat([]byte("<&>"), 3000)...), `"}`...)
	var chain tape.Chain
	var want bytes.Buffer
	entries := []tape.Entry{{Kind: tape.HeaderKind, Header: &tape.Header{Invocation: "i", Start: time.Unix(1, 5).UTC()}}}
	entries[0].Header.Document = entries[0].NewBody([]byte(`{"parameters":{"q":"a<b"}}`))
	for i, body := range [][]byte{answer, large} {
		begin := tape.Entry{Kind: tape.BeginKind, Seq: i + 1, Call: &tape.Call{Function: "http.fetch", Digest: "d"}}
		end := tape.Entry{Kind: tape.EndKind, Seq: i + 1, Duration: 7}
		end.Reply = end.NewBody(body)
		entries = append(entries, begin, end)
	}
	for _, e := range entries {
		if err := log.Append(e, true); err != nil {
			t.Fatal(err)
		}
		line, err := chain.Line(&e)
		if err != nil {
			t.Fatal(err)
		}
		want.Write(line)
	}
	kept, err := r.Tape("RUN-000001-1:a#1")
	if err != nil {
		t.Fatal(err)
	}
	var again tape.Chain
	var got bytes.Buffer
	for i := range kept {
		line, err := again.Line(&kept[i])
		if err != nil {
			t.Fatal(err)
		}
		got.Write(line)
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("kept\n%s\nwritten\n%s", got.Bytes(), want.Bytes())
	}
	if reply := kept[2].Document(kept[2].Reply); !bytes.Equal(reply, answer) {
		t.Errorf("the answer was %s, is %s", answer, reply)
	}
	if reply := kept[4].Document(kept[4].Reply); !bytes.Equal(reply, large) {
		t.Errorf("the large answer has %d bytes instead of %d", len(reply), len(large))
	}
	// What was changed or lost on the disk is noticed, and not used.
	for what, spoil := range map[string]func(key, value []byte) journal.Op{
		"a reply that was changed": func(key, value []byte) journal.Op {
			return journal.Op{Key: key, Value: bytes.Replace(value, []byte(`"status":200`), []byte(`"status":201`), 1)}
		},
		"a large reply that was changed": func(key, value []byte) journal.Op {
			return journal.Op{Key: key, Value: bytes.Replace(value, []byte(`"blobs":{"sha256:`), []byte(`"blobs":{"sha256:0`), 1)}
		},
		"an entry that is gone":        without(2),
		"the first entry that is gone": without(1),
	} {
		var before, after []journal.Op
		err := r.store.Scan([]byte(prefixTape), nil, false, func(key, value []byte) error {
			key, value = bytes.Clone(key), bytes.Clone(value)
			if op := spoil(key, value); op.Delete || op.Value != nil && !bytes.Equal(op.Value, value) {
				before, after = append(before, journal.Op{Key: key, Value: value}), append(after, op)
			}
			return nil
		})
		if err != nil || len(after) != 1 {
			t.Fatalf("%s: %v, %d entries", what, err, len(after))
		}
		if err := journal.Commit(t.Context(), r.store, after); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Tape("RUN-000001-1:a#1"); err == nil {
			t.Errorf("%s was not noticed", what)
		}
		if err := journal.Commit(t.Context(), r.store, before); err != nil {
			t.Fatal(err)
		}
	}
	if _, document := tape.HeaderOf(kept); string(document) != `{"parameters":{"q":"a<b"}}` {
		t.Errorf("the input is %s", document)
	}
}
