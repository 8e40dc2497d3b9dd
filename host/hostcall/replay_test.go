package hostcall

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// counter is a vendor that counts the requests that reach it, by idempotency key.
type counter struct {
	all  atomic.Int32
	keys []string
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.keys = append(c.keys, r.Header.Get("Idempotency-Key"))
	_, _ = fmt.Fprintf(w, `{"n":%d,"pad":"%s"}`, c.all.Add(1), strings.Repeat("x", 5000))
}

func put(url string) abi.HTTPRequest {
	return abi.HTTPRequest{Capability: "api", Method: "PUT", URL: url, Body: &abi.Payload{Text: "b"}}
}

// Live and replayed, from a file, an invocation gets the same bytes, and the replay reaches nobody.
func TestReplayGivesTheSameBytes(t *testing.T) {
	var vendorSaw counter
	b, url := vendor(t, vendorSaw.ServeHTTP)
	name := filepath.Join(t.TempDir(), "a.tape")
	file, err := tape.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	run := func(log tape.Log) []byte {
		b.tape = log
		s := b.session()
		var out bytes.Buffer
		for _, request := range []abi.HTTPRequest{get(url + "/api/a?x=<1>&y"), put(url + "/api/b"), get(url + "/elsewhere")} {
			document, err := json.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(s.Call(t.Context(), "http.fetch", document))
		}
		fmt.Fprint(&out, s.Elapsed(), s.Calls(), s.Fault())
		return out.Bytes()
	}
	live := run(file)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	recorded, err := tape.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if replayed := run(tape.NewReplay(recorded, tape.Exact)); !bytes.Equal(live, replayed) {
		t.Errorf("live\n%.300s\nreplayed\n%.300s", live, replayed)
	}
	if n := vendorSaw.all.Load(); n != 2 {
		t.Errorf("the vendor saw %d requests", n)
	}
}

func TestReplayDiverges(t *testing.T) {
	var vendorSaw counter
	b, url := vendor(t, vendorSaw.ServeHTTP)
	s := b.session()
	for _, path := range []string{"/api/a", "/api/b"} {
		if _, fault := call[abi.HTTPResponse](t, s, "http.fetch", get(url+path)); fault != nil {
			t.Fatal(fault)
		}
	}
	recorded := b.tape.(*tape.Memory).Entries()
	b.tape = tape.NewReplay(recorded, tape.Exact)
	s = b.session()
	_, fault := call[abi.HTTPResponse](t, s, "http.fetch", get(url+"/api/b"))
	if fault == nil || fault.Kind != abi.Diverged || !strings.Contains(fault.Message, "/api/a") || !strings.Contains(fault.Message, "/api/b") {
		t.Errorf("another request: %v", fault)
	}
	if _, again := call[abi.HTTPResponse](t, s, "http.fetch", get(url+"/api/a")); again == nil || again.Kind != abi.Diverged || s.Fault() == nil {
		t.Errorf("it went on: %v", again)
	}
	s = b.session()
	for _, path := range []string{"/api/a", "/api/b"} {
		if _, fault := call[abi.HTTPResponse](t, s, "http.fetch", get(url+path)); fault != nil {
			t.Fatal(fault)
		}
	}
	if _, fault := call[abi.HTTPResponse](t, s, "http.fetch", get(url+"/api/c")); fault == nil || fault.Kind != abi.Diverged {
		t.Errorf("one request more: %v", fault)
	}
	if n := vendorSaw.all.Load(); n != 2 {
		t.Errorf("the vendor saw %d requests", n)
	}
}

// Whatever is asked beyond the tape, or where it was cut short, nothing is performed: every host function is held against both.
func TestAReplayPerformsNothing(t *testing.T) {
	var vendorSaw counter
	b, _ := vendor(t, vendorSaw.ServeHTTP)
	for module, names := range abi.Functions() {
		for _, name := range names {
			kind, _, _ := strings.Cut(strings.TrimPrefix(module, "riposte:"), "/")
			if kind == "log" || kind == "emit" {
				continue // they stay within the invocation
			}
			fn, request := kind+"."+name, []byte(`{}`)
			live := &tape.Memory{}
			b.tape = live
			b.session().Call(t.Context(), fn, request) // a refusal, which tells the digest
			cut := live.Entries()
			for i := range cut {
				cut[i].Kind, cut[i].Reply = tape.BeginKind, nil
				cut[i].Call.Effect = abi.Read
			}
			for _, recorded := range [][]tape.Entry{nil, cut} {
				b.tape = tape.NewReplay(recorded, tape.Exact)
				s := b.session()
				s.Call(t.Context(), fn, request)
				if f := s.Fault(); f == nil || f.Kind != abi.Diverged {
					t.Errorf("%s after %d entries: %v", fn, len(recorded), f)
				}
			}
			if len(cut) != 1 {
				t.Errorf("%s left %d entries", fn, len(cut))
			}
		}
	}
	if n := vendorSaw.all.Load(); n != 0 {
		t.Errorf("the vendor saw %d requests", n)
	}
}

// A crash between begin and end: what may be repeated is, with the same key; what may not is in doubt, and so is the invocation.
func TestCrashBetweenBeginAndEnd(t *testing.T) {
	for _, c := range []struct {
		method string
		again  bool
	}{{"GET", true}, {"POST", true}, {"PUT", true}, {"DELETE", false}} {
		var vendorSaw counter
		b, url := vendor(t, vendorSaw.ServeHTTP)
		request := get(url + "/api/a")
		request.Method = c.method
		s := b.session()
		if _, fault := call[abi.HTTPResponse](t, s, "http.fetch", request); fault != nil {
			t.Fatal(fault)
		}
		entries := b.tape.(*tape.Memory).Entries()
		b.tape = tape.NewReplay(entries[:1], tape.Exact)
		s = b.session()
		if _, fault := call[abi.HTTPResponse](t, s, "http.fetch", request); fault == nil || fault.Kind != abi.Diverged || s.Fault() == nil || vendorSaw.all.Load() != 1 {
			t.Errorf("%s in a replay: %v, %d requests", c.method, fault, vendorSaw.all.Load())
		}
		resumed := tape.Resume(entries[:1])
		b.tape = resumed
		s = b.session()
		got, fault := call[abi.HTTPResponse](t, s, "http.fetch", request)
		if c.again {
			if fault != nil || got.Status != 200 || vendorSaw.all.Load() != 2 || vendorSaw.keys[0] != vendorSaw.keys[1] || (vendorSaw.keys[0] != "") != (c.method == "PUT") {
				t.Errorf("%s: %v, %d requests with keys %q", c.method, fault, vendorSaw.all.Load(), vendorSaw.keys)
			}
		} else if fault == nil || fault.Kind != abi.InDoubt || vendorSaw.all.Load() != 1 || s.Fault() == nil {
			t.Errorf("%s: %v, %d requests", c.method, fault, vendorSaw.all.Load())
		}
		var out bytes.Buffer
		var chain tape.Chain
		for _, e := range resumed.Entries() {
			line, err := chain.Line(&e)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(line)
		}
		if n, _, err := tape.Verify(&out); err != nil || n != 2 {
			t.Errorf("%s: the tape has %d entries: %v", c.method, n, err)
		}
	}
}

// Replay, then live: what is recorded is not done again, what is not is done.
func TestResume(t *testing.T) {
	var vendorSaw counter
	b, url := vendor(t, vendorSaw.ServeHTTP)
	s := b.session()
	first, _ := call[abi.HTTPResponse](t, s, "http.fetch", put(url+"/api/1"))
	b.tape = tape.Resume(b.tape.(*tape.Memory).Entries())
	s = b.session()
	again, _ := call[abi.HTTPResponse](t, s, "http.fetch", put(url+"/api/1"))
	second, _ := call[abi.HTTPResponse](t, s, "http.fetch", put(url+"/api/2"))
	if first.Body.Text != again.Body.Text || !strings.HasPrefix(second.Body.Text, `{"n":2,`) || vendorSaw.keys[0] == vendorSaw.keys[1] {
		t.Errorf("got %.20s, %.20s, %.20s", first.Body.Text, again.Body.Text, second.Body.Text)
	}
}

// A lenient replay answers in any order, each answer once; what the tape lacks is refused, and the plugin goes on.
func TestLenient(t *testing.T) {
	var vendorSaw counter
	b, url := vendor(t, vendorSaw.ServeHTTP)
	s := b.session()
	for _, path := range []string{"/api/a", "/api/b", "/elsewhere"} {
		call[abi.HTTPResponse](t, s, "http.fetch", get(url+path))
	}
	replay := tape.NewReplay(b.tape.(*tape.Memory).Entries(), tape.Lenient)
	b.tape = replay
	s = b.session()
	for i, path := range []string{"/elsewhere", "/api/b", "/api/c", "/api/a", "/api/a"} {
		got, fault := call[abi.HTTPResponse](t, s, "http.fetch", get(url+path))
		switch want := []string{"", `{"n":2,`, "", `{"n":1,`, ""}[i]; {
		case want != "" && (fault != nil || !strings.HasPrefix(got.Body.Text, want)):
			t.Errorf("%s gives %.20s, %v", path, got.Body.Text, fault)
		case want == "" && (fault == nil || fault.Kind != abi.Refused || (fault.Where == "replay") != (i > 0)):
			t.Errorf("%s gives %v", path, fault)
		}
	}
	if s.Fault() != nil || vendorSaw.all.Load() != 2 {
		t.Errorf("%v, %d requests", s.Fault(), vendorSaw.all.Load())
	}
	differs := fmt.Sprint(replay.Compare())
	for _, says := range []string{"call 4, which was call 1: another order", "call 3 is not on the tape", "call 5 is not on the tape"} {
		if !strings.Contains(differs, says) {
			t.Errorf("%q is not in %s", says, differs)
		}
	}
}

// A crash that left a write in doubt ends each later attempt, and a replay, in the same way.
func TestInDoubtStays(t *testing.T) {
	var vendorSaw counter
	b, url := vendor(t, vendorSaw.ServeHTTP)
	request := get(url + "/api/a")
	request.Method = "DELETE"
	call[abi.HTTPResponse](t, b.session(), "http.fetch", request)
	resumed := tape.Resume(tape.Upto(b.tape.(*tape.Memory).Entries(), 1, tape.BeginKind))
	b.tape = resumed
	call[any](t, b.session(), "http.fetch", request)
	for _, log := range []tape.Log{tape.Resume(resumed.Entries()), tape.NewReplay(resumed.Entries(), tape.Exact)} {
		b.tape = log
		s := b.session()
		_, fault := call[any](t, s, "http.fetch", request)
		if fault == nil || fault.Kind != abi.InDoubt || s.Fault() == nil || s.Fault().Message != fault.Message {
			t.Errorf("%T: %v, the invocation ends with %v", log, fault, s.Fault())
		}
	}
	if vendorSaw.all.Load() != 1 {
		t.Errorf("%d requests", vendorSaw.all.Load())
	}
}
