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
	if replayed := run(tape.NewReplay(recorded)); !bytes.Equal(live, replayed) {
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
	b.tape = tape.NewReplay(recorded)
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
