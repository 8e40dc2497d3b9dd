package tape

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// calls is a tape of calls whose requests are the given texts; what begins with "!" was refused, what ends with "…" never ended.
func calls(texts ...string) []Entry {
	list := []Entry{{Kind: HeaderKind, Header: &Header{Plugin: "trial", Module: "sha256:m", Meter: "1"}}}
	for i, text := range texts {
		request, _ := json.Marshal(strings.Trim(text, "!…"))
		call := &Call{Function: "http.fetch", Effect: abi.Read, Digest: Digest(request), Request: &Body{Inline: request}}
		end := Entry{Kind: EndKind, Seq: i + 1, Reply: &Body{Inline: json.RawMessage(`{"value":` + string(request) + `}`)}}
		if strings.HasPrefix(text, "!") {
			end.Call = call
		} else {
			list = append(list, Entry{Kind: BeginKind, Seq: i + 1, Call: call})
		}
		if !strings.HasSuffix(text, "…") {
			list = append(list, end)
		}
	}
	return list
}

func ended(list []Entry, o Outcome) []Entry {
	return append(slices.Clip(list), Entry{Kind: OutcomeKind, Outcome: &o})
}

func asked(text string) *Call {
	request, _ := json.Marshal(strings.Trim(text, "!…"))
	return &Call{Function: "http.fetch", Digest: Digest(request)}
}

func TestMatch(t *testing.T) {
	recorded := calls("a", "b", "a", "!c", "d…")
	type step struct {
		ask  string
		want int // number of the call on the tape; 0 for none
	}
	for mode, steps := range map[Mode][]step{
		Exact:   {{"a", 1}, {"x", 2}, {"a", 3}, {"c", 4}, {"d…", 5}, {"a", 0}},
		Strict:  {{"b", 1}, {"a", 2}},
		Lenient: {{"!c", 4}, {"a", 1}, {"x", 0}, {"a", 3}, {"a", 0}, {"b", 2}, {"b", 0}, {"d…", 0}},
	} {
		r := NewReplay(recorded, mode)
		for i, s := range steps {
			got := 0
			if x := r.Match(i+1, asked(s.ask)); x != nil {
				got = x.Seq
			}
			if got != s.want {
				t.Errorf("%s: %q in place %d gets call %d, want %d", mode, s.ask, i+1, got, s.want)
			}
		}
		if ReplayOf(r) != r || ReplayOf(&Memory{}) != nil || ReplayOf(nil) != nil {
			t.Error("a replay is not known as one")
		}
		var f *abi.Fault
		if err := r.Append(recorded[1], true); !errors.As(err, &f) || f.Kind != abi.Diverged {
			t.Errorf("%s took an entry: %v", mode, err)
		}
	}
}

func TestCompare(t *testing.T) {
	abc := calls("a", "b", "c")
	done := Outcome{Output: "o", Fuel: 7}
	for name, test := range map[string]struct {
		was, is []Entry
		same    bool
		says    []string // parts of the text, in order
	}{
		"equal":          {ended(abc, done), ended(calls("a", "b", "c"), done), true, nil},
		"no outcome":     {abc, ended(abc, done), true, nil},
		"another call":   {abc, calls("a", "x", "c"), false, []string{"call 2: another request, reply", `- > http.fetch "b"`, `+ > http.fetch "x"`, `- < {"value":"b"}`}},
		"left out":       {abc, calls("a", "c"), false, []string{"call 2 is not made any more", `- > http.fetch "b"`}},
		"one more":       {abc, calls("a", "b", "new", "c"), false, []string{"call 3 is not on the tape", `+ > http.fetch "new"`}},
		"another order":  {abc, calls("c", "a", "b"), false, []string{"call 2, which was call 1: another order", `  > http.fetch "a"`, "call 3, which was call 2"}},
		"stops":          {abc, calls("a"), false, []string{"call 2 is not made", "call 3 is not made"}},
		"cut short":      {ended(calls("a"), Outcome{Cut: true}), ended(abc, done), true, nil},
		"refused then":   {calls("!a"), calls("a"), false, []string{"call 1: another effect", `  > http.fetch "a"`}},
		"never answered": {calls("a…"), calls("a"), false, []string{"call 1: another reply", `  > http.fetch "a"`, "- < (the process died before it was answered)"}},
		"outcome": {ended(abc, done), ended(abc, Outcome{Fault: abi.NewFault(abi.Failed, "no", ""), Logs: "l", Fuel: 8}), false,
			[]string{"output\n- o\n+ \n", "fault\n- \n+ failed: no\n", "logs", "fuel\n- 7\n+ 8\n"}},
	} {
		c := Compare(test.was, test.is)
		text := c.String()
		if c.Same() != test.same || (text == "") != (len(test.says) == 0) {
			t.Errorf("%s: same is %t: %s", name, c.Same(), text)
		}
		for _, part := range test.says {
			before, after, ok := strings.Cut(text, part)
			if !ok {
				t.Errorf("%s: %q is not in %s", name, part, c.String())
			}
			_, text = before, after
		}
	}
	other := slices.Clone(ended(abc, Outcome{Output: "o", Fuel: 9}))
	other[0].Header = &Header{Plugin: "trial", Module: "sha256:n", Meter: "1"}
	if c := Compare(ended(abc, done), other); !c.Same() || c.String() != "module\n- sha256:m\n+ sha256:n\n" {
		t.Errorf("another module, which counts otherwise: %s", c)
	}
}

func TestUpto(t *testing.T) {
	whole := ended(calls("a", "!b", "c"), Outcome{Output: "o"})
	for _, test := range []struct {
		call int
		kind Kind
		want int // entries
	}{{0, EndKind, 1}, {1, BeginKind, 2}, {1, EndKind, 3}, {2, BeginKind, 3}, {2, EndKind, 4}, {3, BeginKind, 5}, {3, EndKind, 6}, {4, BeginKind, 7}} {
		got := Upto(whole, test.call, test.kind)
		if len(got) != test.want || cap(got) != len(got) && test.want < len(whole) {
			t.Errorf("%s of call %d: %d entries, want %d", test.kind, test.call, len(got), test.want)
		}
		if _, _, err := Verify(bytes.NewReader(lines(t, got))); err != nil {
			t.Errorf("%s of call %d: %v", test.kind, test.call, err)
		}
	}
	if got := Upto(calls(), 0, EndKind); len(got) != 1 {
		t.Errorf("no call: %d entries", len(got))
	}
	if got := Upto(ended(calls(), Outcome{}), 0, EndKind); len(got) != 1 {
		t.Errorf("no call, but an outcome: %d entries", len(got))
	}
}

// The last of several outcomes counts, and calls may stand between them.
func TestOutcomes(t *testing.T) {
	list := ended(calls("a", "b")[:3], Outcome{Cut: true})
	list = ended(append(list, calls("a", "b")[3:]...), Outcome{Output: "o"})
	if n, _, err := Verify(bytes.NewReader(lines(t, list))); n != 7 || err != nil {
		t.Errorf("%d entries: %v", n, err)
	}
	if o := OutcomeOf(list); o == nil || o.Output != "o" || OutcomeOf(calls("a")) != nil {
		t.Errorf("the outcome is %+v", o)
	}
	for name, bad := range map[string][]Entry{
		"within a call": ended(calls("a…"), Outcome{}),
		"without one":   append(calls(), Entry{Kind: OutcomeKind}),
		"with a call":   append(calls(), Entry{Kind: OutcomeKind, Outcome: &Outcome{}, Call: &Call{}}),
		"in an end":     append(calls("a…"), Entry{Kind: EndKind, Seq: 1, Reply: &Body{}, Outcome: &Outcome{}}),
	} {
		if _, _, err := Verify(bytes.NewReader(lines(t, bad))); err == nil {
			t.Errorf("an outcome %s: taken", name)
		}
	}
}

func TestReplayable(t *testing.T) {
	document := []byte(`{"action":"look"}`)
	with := func(change func(*Entry)) []Entry {
		e := Entry{Kind: HeaderKind, Header: &Header{Module: "sha256:m", Input: Digest(document)}}
		e.Header.Document = e.NewBody(document)
		change(&e)
		return []Entry{e}
	}
	for name, test := range map[string]struct {
		tape   []Entry
		module string
		kind   abi.Kind
		says   string
	}{
		"good":           {with(func(*Entry) {}), "sha256:m", "", ""},
		"any module":     {with(func(*Entry) {}), "", "", ""},
		"another module": {with(func(*Entry) {}), "sha256:n", abi.Conflict, "not of sha256:n"},
		"of old":         {with(func(e *Entry) { e.Header.Document = nil }), "", abi.NotFound, "of a time when"},
		"no blob":        {with(func(e *Entry) { e.Header.Document = &Body{Blob: "sha256:b"} }), "", abi.NotFound, "sha256:b is missing"},
		"changed":        {with(func(e *Entry) { e.Header.Input = "sha256:x" }), "", abi.Conflict, "was changed"},
		"no header":      {calls("a")[1:], "", abi.NotFound, "no header"},
		"empty":          {nil, "", abi.NotFound, "no header"},
	} {
		f := Replayable(test.tape, test.module)
		if (f == nil) != (test.kind == "") || f != nil && (f.Kind != test.kind || !strings.Contains(f.Error(), test.says)) {
			t.Errorf("%s: %v", name, f)
		}
	}
}
