package httpsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
)

// counter is a vendor whose effect can be counted.
type counter struct{ n atomic.Int64 }

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n := c.n.Add(1)
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, "effect %d of %d bytes", n, len(body))
}

func start(t *testing.T) (*httpsim.Server, *counter) {
	t.Helper()
	c := new(counter)
	s, err := httpsim.Start(httpsim.Config{Handler: c, State: func() any { return map[string]int64{"n": c.n.Load()} }, Reset: func() { c.n.Store(0) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, c
}

func fail(t *testing.T, s *httpsim.Server, f httpsim.Fault) {
	t.Helper()
	if err := s.Fail(f); err != nil {
		t.Fatal(err)
	}
}

// get makes one call and reads what it can of the answer.
func get(ctx context.Context, url string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("hello"))
	if err != nil {
		return nil, "", err
	}
	// No connection is shared: net/http would send a request that an old connection dropped a second time.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		fault  httpsim.Fault
		status int    // 0: no answer at all
		body   string // or its beginning, when the body breaks off
		breaks bool
		effect int64
	}{
		{"status", httpsim.Fault{Status: 503, RetryAfter: 7}, 503, "", false, 0},
		{"retry after alone", httpsim.Fault{RetryAfter: 7}, 500, "", false, 0},
		{"body", httpsim.Fault{Status: 429, RetryAfter: 7, Body: "slow down"}, 429, "slow down", false, 0},
		{"answer lost but effect kept", httpsim.Fault{Status: 502, Apply: true}, 502, "", false, 1},
		{"delay", httpsim.Fault{DelayMS: 1}, 202, "effect 1 of 5 bytes", false, 1},
		{"drop", httpsim.Fault{Drop: true}, 0, "", true, 0},
		{"drop after the effect", httpsim.Fault{Drop: true, Apply: true}, 0, "", true, 1},
		{"truncate", httpsim.Fault{Truncate: true}, 202, "effect 1 ", true, 1},
		{"truncate a body", httpsim.Fault{Truncate: true, Status: 200, Body: `{"a":1}`}, 200, `{"a`, true, 0},
		{"huge", httpsim.Fault{Huge: 200_001}, 200, strings.Repeat("A", 200_001), false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, c := start(t)
			fail(t, s, tt.fault)
			resp, body, err := get(t.Context(), s.URL()+"/x")
			if (err != nil) != tt.breaks {
				t.Fatalf("error %v, want one: %v", err, tt.breaks)
			}
			if tt.status == 0 {
				if resp != nil {
					t.Fatalf("got status %d, want no answer", resp.StatusCode)
				}
			} else if resp.StatusCode != tt.status || body != tt.body {
				t.Fatalf("got %d %.40q, want %d %.40q", resp.StatusCode, body, tt.status, tt.body)
			}
			if tt.fault.RetryAfter > 0 && resp.Header.Get("Retry-After") != "7" {
				t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
			}
			if c.n.Load() != tt.effect {
				t.Errorf("the vendor handled %d calls, want %d", c.n.Load(), tt.effect)
			}
			calls := s.Calls()
			if len(calls) != 1 || calls[0].Status != tt.status || calls[0].Fault != tt.fault.Kind() {
				t.Errorf("calls: %+v", calls)
			}
		})
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	s, c := start(t)
	fail(t, s, httpsim.Fault{Hang: true, Apply: true})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, _, err := get(ctx, s.URL()+"/x")
		ended <- err
	}()
	calls, err := s.WaitCalls(t.Context(), func(calls []httpsim.Call) bool { return len(calls) == 1 && calls[0].Fault == "hang" })
	if err != nil || c.n.Load() != 1 {
		t.Fatalf("calls %+v, effect %d, %v", calls, c.n.Load(), err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("client ended with %v", err)
	}
}

func TestCloseEndsAHungCall(t *testing.T) {
	s, _ := start(t)
	fail(t, s, httpsim.Fault{Hang: true})
	ended := make(chan error, 1)
	go func() {
		_, _, err := get(context.Background(), s.URL())
		ended <- err
	}()
	if _, err := s.WaitCalls(t.Context(), func(calls []httpsim.Call) bool { return len(calls) == 1 }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the hung call was answered")
	}
}

func TestFaultMatchesAndRunsOut(t *testing.T) {
	s, _ := start(t)
	fail(t, s, httpsim.Fault{Match: "/api/", Contains: "type=op", Status: 500, Times: 2})
	fail(t, s, httpsim.Fault{Match: "/api/", Contains: "cmd=<show", Status: 503})
	var got []int
	for _, path := range []string{"/api/?type=user-id", "/other?type=op", "/api/?type=op", "/api/?type=op&cmd=%3Cshow%3E",
		"/api/?type=op&cmd=%3Cshow%3E", "/api/?type=op"} {
		resp, _, err := get(t.Context(), s.URL()+path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, resp.StatusCode)
	}
	if want := []int{202, 202, 500, 500, 503, 202}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if set := s.Faults(); len(set) != 1 || set[0].Status != 503 {
		t.Errorf("left over: %+v", set)
	}
	s.Clear()
	if resp, _, err := get(t.Context(), s.URL()+"/api/?type=op&cmd=%3Cshow%3E"); err != nil || resp.StatusCode != 202 {
		t.Errorf("after Clear: %v %v", resp, err)
	}
}

func TestImpossibleFaultsAreRefused(t *testing.T) {
	s, _ := start(t)
	for _, f := range []httpsim.Fault{{}, {Match: "/x"}, {Status: 99}, {Status: 600}, {DelayMS: -1}, {Huge: -1}, {Status: 500, Times: -1}} {
		if err := s.Fail(f); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

func TestCallsHideSecrets(t *testing.T) {
	s, _ := start(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/api?key=hush&type=op",
		strings.NewReader(url.Values{"secret_key": {"hush"}, "password": {"hush"}, "q": {"1.2.3.4"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	req.Header.Set("X-Apikey", "hush")
	req.Header.Set("Idempotency-Key", "run-7")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	seen, err := json.Marshal(s.Calls())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"q":["1.2.3.4"]`, `"type":["op"]`, `"key":["***"]`, `"idempotency_key":"run-7"`, `"status":202`} {
		if !bytes.Contains(seen, []byte(want)) {
			t.Errorf("no %s in %s", want, seen)
		}
	}
	if bytes.Contains(seen, []byte("hush")) {
		t.Errorf("a secret in %s", seen)
	}
}

func TestCallsAreBounded(t *testing.T) {
	s, c := start(t)
	client := s.URL() + "/n"
	for range 4100 {
		resp, err := http.Get(client) //nolint:noctx // many plain calls
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	calls := s.Calls()
	if len(calls) != 4096 || calls[0].N != 5 || calls[4095].N != 4100 || calls[4095].Status != 202 {
		t.Errorf("%d calls, first %+v, last %+v", len(calls), calls[0], calls[len(calls)-1])
	}
	s.Reset()
	if len(s.Calls()) != 0 || c.n.Load() != 0 {
		t.Error("Reset left something")
	}
}

func TestTooLargeRequestIsRefused(t *testing.T) {
	s, c := start(t)
	resp, err := http.Post(s.URL(), "text/plain", bytes.NewReader(make([]byte, 6<<20))) //nolint:noctx // one plain call
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge || c.n.Load() != 0 {
		t.Errorf("status %d, effect %d", resp.StatusCode, c.n.Load())
	}
}

func TestControl(t *testing.T) {
	s, _ := start(t)
	control := httptest.NewServer(http.StripPrefix("/vendor", s.Control()))
	defer control.Close()
	do := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, control.URL+"/vendor"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(out)
	}
	expect := func(method, path, body string, status int, contains string) {
		t.Helper()
		if got, out := do(method, path, body); got != status || !strings.Contains(out, contains) {
			t.Errorf("%s %s: %d %s, want %d with %q", method, path, got, out, status, contains)
		}
	}
	expect("POST", "/faults", `{"match":"/a","status":500,"delay_ms":1,"times":1}`, 204, "")
	expect("GET", "/faults", "", 200, `"delay_ms": 1`)
	expect("POST", "/faults", `{"status":500,"typo":1}`, 400, `typo`)
	expect("POST", "/faults", `{"status":500}{"status":501}`, 400, `one JSON object`)
	expect("POST", "/faults", `{}`, 400, `needs one of`)
	expect("POST", "/faults", `nonsense`, 400, `error`)
	if resp, _, err := get(t.Context(), s.URL()+"/a"); err != nil || resp.StatusCode != 500 {
		t.Fatalf("%v %v", resp, err)
	}
	if resp, _, err := get(t.Context(), s.URL()+"/b?type=op"); err != nil || resp.StatusCode != 202 {
		t.Fatalf("%v %v", resp, err)
	}
	expect("GET", "/state", "", 200, `"n": 1`)
	expect("GET", "/calls?path=/b&contains=type=op&min=1&wait=5s", "", 200, `"path": "/b"`)
	expect("GET", "/calls?min=3", "", 504, `"path": "/a"`)
	expect("GET", "/calls?min=x", "", 400, "count")
	expect("GET", "/calls?wait=2h", "", 400, "at most")
	expect("GET", "/calls?wait=x", "", 400, "duration")
	expect("POST", "/faults", `{"hang":true}`, 204, "")
	expect("DELETE", "/faults", "", 204, "")
	expect("GET", "/faults", "", 200, "[]")
	expect("POST", "/reset", "", 204, "")
	expect("GET", "/state", "", 200, `"n": 0`)
	expect("GET", "/calls", "", 200, "[]")
	expect("PUT", "/state", "", 405, "")
}

func TestControlWaitsForACall(t *testing.T) {
	s, _ := start(t)
	control := httptest.NewServer(s.Control())
	defer control.Close()
	waited := make(chan string, 1)
	go func() {
		_, body, err := func() (*http.Response, string, error) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, control.URL+"/calls?min=1&wait=30s", nil)
			if err != nil {
				return nil, "", err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return nil, "", err
			}
			defer resp.Body.Close()
			out, err := io.ReadAll(resp.Body)
			return resp, string(out), err
		}()
		waited <- fmt.Sprint(body, err)
	}()
	if _, _, err := get(t.Context(), s.URL()+"/late"); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-waited:
		if !strings.Contains(got, "/late") {
			t.Errorf("got %s", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the call was not seen")
	}
}

func TestAddressInUse(t *testing.T) {
	s, _ := start(t)
	if _, err := httpsim.Start(httpsim.Config{Addr: strings.TrimPrefix(s.URL(), "http://")}); err == nil {
		t.Error("a second simulator listens on the same address")
	}
}
