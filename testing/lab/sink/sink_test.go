package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/sink"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t testing.TB, o sink.Options) (*sink.Server, *http.Client) {
	t.Helper()
	s, err := sink.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

func post(t testing.TB, c *http.Client, url, key, body string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // no silent repetition by net/http
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func TestRequestsAreKeptAndRepeatsSeen(t *testing.T) {
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	s, c := start(t, sink.Options{MaxBody: 4, Now: func() time.Time { return at }, Reply: sink.Reply{Status: 202, Body: "ok", Header: map[string]string{"X-Lab": "1"}}})
	for _, key := range []string{"k1", "k2", "k1"} {
		resp, body, err := post(t, c, s.URL()+"/hook?a=b", key, "0123456789")
		if err != nil || resp.StatusCode != 202 || body != "ok" || resp.Header.Get("X-Lab") != "1" {
			t.Fatalf("%v %q %v", resp, body, err)
		}
	}
	got := s.Requests()
	if len(got) != 3 || s.Total() != 3 {
		t.Fatalf("kept %d of %d", len(got), s.Total())
	}
	r := got[2]
	if r.Method != "POST" || r.Path != "/hook" || r.Query != "a=b" || r.Body != "0123" || r.Size != 10 || r.Key != "k1" || r.Repeat != 1 ||
		!r.Time.Equal(at) || r.Status != 202 || got[1].Repeat != 0 {
		t.Errorf("%+v", r)
	}
}

func TestFaults(t *testing.T) {
	s, c := start(t, sink.Options{})
	arm := func(f sink.Fault) {
		t.Helper()
		f.Times, f.Path = 1, "/hook"
		if err := s.Fail(f); err != nil {
			t.Fatal(err)
		}
	}
	arm(sink.Fault{Kind: sink.Answer, Reply: sink.Reply{Status: 429, DelayMS: 1, Header: map[string]string{"Retry-After": "2"}}})
	if resp, _, err := post(t, c, s.URL()+"/else", "", ""); err != nil || resp.StatusCode != 200 {
		t.Errorf("the fault befell another path: %v %v", resp, err)
	}
	if resp, _, err := post(t, c, s.URL()+"/hook", "", ""); err != nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "2" {
		t.Errorf("429: %v %v", resp, err)
	}
	arm(sink.Fault{Kind: sink.Answer, Reply: sink.Reply{Location: "http://127.0.0.1:1/x"}})
	if resp, _, err := post(t, c, s.URL()+"/hook", "", ""); err != nil || resp.StatusCode != 302 || resp.Header.Get("Location") != "http://127.0.0.1:1/x" {
		t.Errorf("redirect: %v %v", resp, err)
	}
	arm(sink.Fault{Kind: sink.Cut, Reply: sink.Reply{Body: "whole"}})
	if _, body, err := post(t, c, s.URL()+"/hook", "", ""); !errors.Is(err, io.ErrUnexpectedEOF) || body != "whole" {
		t.Errorf("cut: %q %v", body, err)
	}
	arm(sink.Fault{Kind: sink.Drop})
	before := s.Total()
	if _, _, err := post(t, c, s.URL()+"/hook", "k", "taken"); err == nil {
		t.Error("drop: answered")
	}
	last := s.Requests()[len(s.Requests())-1]
	if s.Total() != before+1 || last.Body != "taken" || last.Status != 0 {
		t.Errorf("drop: remembered %+v", last)
	}
	if err := s.Fail(sink.Fault{Kind: "sulk"}); err == nil {
		t.Error("an unknown kind was armed")
	}
	if err := s.Fail(sink.Fault{Kind: sink.Answer, Reply: sink.Reply{Status: 99}}); err == nil {
		t.Error("status 99 was armed")
	}
}

func TestCloseEndsADelayedAnswer(t *testing.T) {
	s, c := start(t, sink.Options{Reply: sink.Reply{DelayMS: 3_600_000}})
	result := make(chan error, 1)
	go func() {
		_, _, err := post(t, c, s.URL(), "", "x")
		result <- err
	}()
	if err := s.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err == nil {
		t.Error("answered after Close")
	}
}

func TestCountOnlyKeepsNothing(t *testing.T) {
	s, c := start(t, sink.Options{CountOnly: true})
	for range 10 {
		if _, _, err := post(t, c, s.URL(), "k", "12345"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Wait(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	st := s.State().(sink.State)
	if st.Total != 10 || st.Bytes != 50 || len(st.Requests) != 0 || st.Keys != 0 {
		t.Errorf("%+v", st)
	}
}

func TestControlPage(t *testing.T) {
	s, c := start(t, sink.Options{})
	h := s.Control()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/faults", strings.NewReader(`{"kind":"answer","times":1,"reply":{"status":503}}`)))
	if w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if resp, _, err := post(t, c, s.URL()+"/hook", "k", "b"); err != nil || resp.StatusCode != 503 {
		t.Fatalf("%v %v", resp, err)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/state", nil))
	var st sink.State
	if err := json.NewDecoder(w.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	if st.Total != 1 || st.Keys != 1 || st.Requests[0].Status != 503 || st.Faults[0].Hits != 1 {
		t.Errorf("%+v", st)
	}
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/reset", nil))
	if st := s.State().(sink.State); st.Total != 0 || st.Keys != 0 || len(st.Requests) != 0 || len(st.Faults) != 0 {
		t.Errorf("after reset %+v", st)
	}
}

func BenchmarkCountOnly(b *testing.B) {
	s, c := start(b, sink.Options{CountOnly: true})
	body := bytes.Repeat([]byte("x"), 512)
	for b.Loop() {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.URL(), bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}
