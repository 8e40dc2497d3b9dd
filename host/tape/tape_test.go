package tape

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// sample is a tape with a header, a call, a refusal and a call with large bodies.
func sample() []Entry {
	header := Entry{Kind: HeaderKind, Header: &Header{Invocation: "inv-1", Key: "k", Plugin: "panos", Action: "block-ip", Seed: 7, Start: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}}
	begin := Entry{Kind: BeginKind, Seq: 1, Call: &Call{Function: "http.fetch", Capability: "api", Effect: abi.Idempotent, Digest: Digest([]byte("1")), Key: WriteKey("k", 1), Summary: "POST https://fw.corp.test/api/"}}
	begin.Call.Request = begin.NewBody([]byte(`{"method":"POST","url":"https://fw.corp.test/api/?a=<b>&c"}`))
	end := Entry{Kind: EndKind, Seq: 1, Duration: 12 * time.Millisecond}
	end.Reply = end.NewBody([]byte(`{"value":{"status":200}}`))
	refusal := Entry{Kind: EndKind, Seq: 2, Call: &Call{Function: "dns.resolve", Digest: Digest([]byte("2"))}}
	refusal.Reply = refusal.NewBody([]byte(`{"fault":{"kind":"refused","message":"no"}}`))
	begin3 := Entry{Kind: BeginKind, Seq: 3, Call: &Call{Function: "http.fetch", Digest: Digest([]byte("3")), Effect: abi.Read}}
	begin3.Call.Request = begin3.NewBody([]byte(`{"body":"` + strings.Repeat("r", InlineLimit) + `"}`))
	end3 := Entry{Kind: EndKind, Seq: 3}
	end3.Reply = end3.NewBody([]byte(`{"value":"` + strings.Repeat("x", InlineLimit) + `"}`))
	return []Entry{header, begin, end, refusal, begin3, end3}
}

func lines(t testing.TB, entries []Entry) []byte {
	t.Helper()
	var chain Chain
	var out bytes.Buffer
	for i := range entries {
		line, err := chain.Line(&entries[i])
		if err != nil {
			t.Fatal(err)
		}
		out.Write(line)
	}
	return out.Bytes()
}

func TestFileKeepsAndResumes(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.tape")
	entries := sample()
	write := func(list []Entry, durable bool) *File {
		f, err := OpenFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if err := f.Append(e, durable); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return f
	}
	write(entries[:3], true)
	torn, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(`{"prev":"sha`); err != nil {
		t.Fatal(err)
	}
	if err := torn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(name); !errors.Is(err, ErrTorn) {
		t.Errorf("a torn tape read: %v", err)
	}
	f := write(entries[3:], false)
	if got := f.Recorded(); len(got) != 3 || got[1].Call.Function != "http.fetch" {
		t.Errorf("recorded %+v", got)
	}
	if err := f.Append(entries[1], false); err == nil {
		t.Error("a closed tape took an entry")
	}
	got, err := ReadFile(name)
	if err != nil || len(got) != len(entries) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	if want := lines(t, sample()); !bytes.Equal(lines(t, got), want) {
		t.Errorf("read back\n%s\nwant\n%s", lines(t, got), want)
	}
	if reply := got[5].Document(got[5].Reply); len(reply) <= InlineLimit || !json.Valid(reply) {
		t.Errorf("the blob is %d bytes", len(reply))
	}
	n, head, err := Verify(bytes.NewReader(lines(t, got)))
	if n != len(entries) || head != Head(got) || err != nil {
		t.Errorf("verify: %d %s %v", n, head, err)
	}
	blobs, err := filepath.Glob(filepath.Join(filepath.Dir(name), "blobs", "*"))
	if err != nil || len(blobs) != 2 {
		t.Fatalf("blobs %v %v", blobs, err)
	}
	if err := os.WriteFile(blobs[0], []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(name); err == nil {
		t.Error("a changed blob was not seen")
	}
}

// Every byte of every line counts: what was changed, left out or put in another order is found.
func TestVerifyFindsChanges(t *testing.T) {
	good := lines(t, sample())
	list := bytes.SplitAfter(good, []byte("\n"))
	list = list[:len(list)-1]
	join := func(order ...int) []byte {
		var out []byte
		for _, i := range order {
			out = append(out, list[i]...)
		}
		return out
	}
	for name, bad := range map[string][]byte{
		"left out": join(0, 1, 3, 4, 5), "exchanged": join(0, 2, 1, 3, 4, 5), "twice": join(0, 1, 1), "without header's line": join(1, 2, 3),
		"changed":       bytes.Replace(good, []byte(`"status":200`), []byte(`"status":201`), 1),
		"space":         bytes.Replace(good, []byte(`"status":200`), []byte(`"status": 200`), 1),
		"unknown field": bytes.Replace(good, []byte(`"kind":"begin"`), []byte(`"more":1,"kind":"begin"`), 1),
		"torn":          good[:len(good)-1],
	} {
		if _, _, err := Verify(bytes.NewReader(bad)); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		_, head, err := Verify(bytes.NewReader(bad))
		if err == nil && head == Head(sample()) {
			t.Fatalf("byte %d changed: not found", i)
		}
	}
	// The last line can be changed or cut off unseen by the chain alone: its digest is what tells.
	short := join(0, 1, 2, 3, 4)
	if _, head, err := Verify(bytes.NewReader(short)); err != nil || head == Head(sample()) {
		t.Errorf("a shorter tape: %s %v", head, err)
	}
}

func TestOrder(t *testing.T) {
	s := sample()
	for name, list := range map[string][]Entry{
		"gap": {s[0], s[4]}, "end with a call after begin": {s[0], s[1], {Kind: EndKind, Seq: 1, Call: s[1].Call, Reply: s[2].Reply}},
		"two begins": {s[0], s[1], {Kind: BeginKind, Seq: 2, Call: s[1].Call}}, "late header": {s[1], s[2], s[0]}, "no reply": {s[0], s[1], {Kind: EndKind, Seq: 1}},
		"kind": {{Kind: "other"}},
	} {
		if _, _, err := Verify(bytes.NewReader(lines(t, list))); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestMemoryResumes(t *testing.T) {
	m := Resume(sample()[:3])
	for _, e := range sample()[3:] {
		if err := m.Append(e, true); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.Entries(); Head(got) != Head(fromLines(t, lines(t, sample()))) || len(m.Recorded()) != 3 {
		t.Errorf("entries %d, recorded %d", len(got), len(m.Recorded()))
	}
	var f *abi.Fault
	if err := NewReplay(sample(), Exact).Append(sample()[1], true); !errors.As(err, &f) || f.Kind != abi.Diverged {
		t.Errorf("a strict replay took an entry: %v", err)
	}
}

func fromLines(t testing.TB, data []byte) []Entry {
	t.Helper()
	entries, err := Parse(bytes.NewReader(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestWriteKey(t *testing.T) {
	if a, b := WriteKey("k", 1), WriteKey("k", 2); len(a) != 32 || a == b || a != WriteKey("k", 1) {
		t.Errorf("keys %s %s", a, b)
	}
}

// What Parse takes is written again byte for byte.
func FuzzParse(f *testing.F) {
	f.Add(lines(f, sample()))
	f.Add(lines(f, ended(calls("a", "!b", "c"), Outcome{Fault: abi.NewFault(abi.Failed, "no", "why"), Logs: Digest(nil), Fuel: 7})))
	f.Add([]byte("{\"prev\":\"\",\"kind\":\"header\",\"header\":{}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := Parse(bytes.NewReader(data), nil)
		if err == nil && !bytes.Equal(lines(t, entries), data) {
			t.Fatalf("%q is written as %q", data, lines(t, entries))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	m := &Memory{}
	e := sample()[1]
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Append(e, true); err != nil {
			b.Fatal(err)
		}
	}
}
