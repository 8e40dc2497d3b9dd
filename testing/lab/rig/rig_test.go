package rig_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/rig"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fault struct {
	Kind string `json:"kind"`
}

func TestFaultsAreTakenInOrderAndSpent(t *testing.T) {
	var p rig.Faults[fault]
	p.Add(fault{"a"}, 2)
	p.Add(fault{"b"}, 0)
	any := func(fault) bool { return true }
	var got string
	for range 4 {
		f, ok := p.Take(any)
		if !ok {
			t.Fatal("nothing armed")
		}
		got += f.Kind
	}
	if got != "aabb" {
		t.Errorf("took %q, want aabb", got)
	}
	if l := p.List(); l[0].Left != 0 || l[0].Hits != 2 || l[1].Left != -1 || l[1].Hits != 2 {
		t.Errorf("list %+v", l)
	}
	p.Clear()
	if _, ok := p.Take(any); ok {
		t.Error("a fault survived Clear")
	}
}

func TestLogForgetsTheOldestAndWakesWaiters(t *testing.T) {
	var l rig.Log[int]
	l.Keep(3)
	go func() {
		for i := range 5 {
			l.Add(i)
		}
	}()
	if err := l.Wait(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if got := l.All(); len(got) != 3 || got[0] != 2 || got[2] != 4 || l.Total() != 5 {
		t.Errorf("kept %v of %d, want [2 3 4] of 5", got, l.Total())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx, 6); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait gave %v, want canceled", err)
	}
}

func TestControlPage(t *testing.T) {
	var p rig.Faults[fault]
	resets := 0
	h := rig.Control[fault]{
		State: func() any { return map[string]int{"seen": 3} },
		Armed: &p,
		Reset: func() { resets++ },
		Wait: func(ctx context.Context, n int) error {
			if n > 3 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		},
		Fail: func(f fault) error {
			if f.Kind == "" {
				return errors.New("kind: expected one of a, b")
			}
			p.Add(f, 1)
			return nil
		},
	}.Handler()
	for _, c := range []struct {
		method, path, body string
		status             int
		has                string
	}{
		{"GET", "/state", "", 200, `"seen": 3`},
		{"GET", "/state?min=3&wait=10s", "", 200, `"seen": 3`},
		{"GET", "/state?min=4&wait=1ms", "", 504, `"seen": 3`},
		{"GET", "/state?min=x", "", 400, "expected a number"},
		{"GET", "/state?wait=x", "", 400, "expected a duration such as 10s"},
		{"POST", "/faults", `{"kind":"a"}`, 201, `"kind": "a"`},
		{"GET", "/faults", "", 200, `"kind": "a"`},
		{"POST", "/faults", `{"kind":""}`, 400, "expected one of"},
		{"POST", "/faults", `{"kin":"a"}`, 400, "unknown field"},
		{"POST", "/faults", `{"kind":"a"}{}`, 400, "one JSON object"},
		{"DELETE", "/faults", "", 204, ""},
		{"GET", "/faults", "", 200, `[]`},
		{"POST", "/reset", "", 204, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%s %s %s: %d %s, want %d with %q", c.method, c.path, c.body, w.Code, w.Body, c.status, c.has)
		}
	}
	if resets != 1 {
		t.Errorf("%d resets, want 1", resets)
	}
}

func TestClosingTCPBreaksWaitingConnections(t *testing.T) {
	served := make(chan struct{})
	s, err := rig.ListenTCP("", func(ctx context.Context, c net.Conn) {
		close(served)
		_, _ = io.Copy(io.Discard, c)
		if rig.Sleep(ctx, time.Hour) == nil {
			t.Error("slept an hour")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-served
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestClosingHTTPEndsHandlers(t *testing.T) {
	in := make(chan struct{})
	s, err := rig.ListenHTTP("", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(in)
		<-r.Context().Done()
	}))
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		resp, err := http.Get(s.URL())
		if err == nil {
			resp.Body.Close()
		}
		result <- err
	}()
	<-in
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err == nil {
		t.Error("the request was answered after Close")
	}
}
