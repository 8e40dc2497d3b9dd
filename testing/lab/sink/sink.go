// Package sink is a web server for the lab that takes any request and remembers it: the far end of webhooks and notifications. It
// answers as told (status, body, delay, redirect), can hang up or repeat 429 with Retry-After, and counts cheaply for benchmarks.
package sink

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// Options of a sink.
type Options struct {
	Addr      string           // "" is 127.0.0.1 and any port
	Reply     Reply            // the answer of a good day
	CountOnly bool             // count requests and their bytes, keep none
	Keep      int              // how many requests are kept, the newest; 0 is 1,000
	MaxBody   int              // bytes of a body that are kept; 0 is 64 KiB
	Now       func() time.Time // time.Now if nil; used for the log only
}

// Reply is what the sink answers.
type Reply struct {
	Status   int               `json:"status,omitempty"`   // 0 is 200, or 302 with Location
	Location string            `json:"location,omitempty"` // a redirect
	Header   map[string]string `json:"header,omitempty"`
	Body     string            `json:"body,omitempty"`
	DelayMS  int               `json:"delay_ms,omitempty"`
}

// Request is one request as it arrived.
type Request struct {
	Time   time.Time   `json:"time"`
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Query  string      `json:"query,omitempty"` // raw, without the question mark
	Host   string      `json:"host"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"` // at most Options.MaxBody bytes of it
	Size   int64       `json:"size"` // bytes of the whole body
	// Key is the Idempotency-Key header, and Repeat how many earlier requests had the same one (0 is the first).
	Key    string `json:"idempotency_key,omitempty"`
	Repeat int    `json:"repeat,omitempty"`
	Status int    `json:"status"` // what was answered; 0 if the sink hung up
}

// State is what the control page shows.
type State struct {
	URL      string             `json:"url"`
	Total    int64              `json:"total"`
	Bytes    int64              `json:"bytes"`
	Keys     int                `json:"idempotency_keys"` // different ones
	Requests []Request          `json:"requests"`
	Faults   []rig.Armed[Fault] `json:"faults"`
}

// Server takes requests until it is closed.
type Server struct {
	opts   Options
	http   *rig.HTTP
	log    rig.Log[Request]
	faults rig.Faults[Fault]
	armed  atomic.Bool // spares the counting mode the lock of faults
	total  atomic.Int64
	bytes  atomic.Int64

	mu   sync.Mutex
	keys map[string]int // uses of each idempotency key
}

// maxRequest bounds what is read of one request's body.
const maxRequest = 64 << 20

// maxKeys bounds how many idempotency keys are remembered.
const maxKeys = 1 << 20

// Start serves opts.
func Start(opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.MaxBody = cmp.Or(opts.MaxBody, 64<<10)
	s := &Server{opts: opts, keys: make(map[string]int)}
	s.log.Keep(cmp.Or(opts.Keep, 1000))
	if opts.CountOnly {
		s.log.Keep(1) // its entry stays empty; the log serves Wait
	}
	var err error
	if s.http, err = rig.ListenHTTP(opts.Addr, http.HandlerFunc(s.take)); err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.http.Addr() }

// URL is http://host:port.
func (s *Server) URL() string { return s.http.URL() }

// Close breaks all connections and waits for their goroutines.
func (s *Server) Close() error { return s.http.Close() }

// Requests gives the kept requests, oldest first.
func (s *Server) Requests() []Request {
	if s.opts.CountOnly {
		return nil
	}
	return s.log.All()
}

// Total says how many requests came since the last Reset, those included that a fault befell.
func (s *Server) Total() int64 { return s.total.Load() }

// Wait returns when n requests came since the last Reset, or with ctx's error.
func (s *Server) Wait(ctx context.Context, n int) error { return s.log.Wait(ctx, n) }

// State gives a State.
func (s *Server) State() any {
	s.mu.Lock()
	keys := len(s.keys)
	s.mu.Unlock()
	return State{s.URL(), s.total.Load(), s.bytes.Load(), keys, s.Requests(), s.faults.List()}
}

// Reset forgets all requests and disarms all faults.
func (s *Server) Reset() {
	s.mu.Lock()
	s.keys = make(map[string]int)
	s.mu.Unlock()
	s.total.Store(0)
	s.bytes.Store(0)
	s.log.Reset()
	s.faults.Clear()
}

// Clear disarms all faults.
func (s *Server) Clear() { s.faults.Clear() }

// Control is the server's control page, see rig.Control.
func (s *Server) Control() http.Handler {
	return rig.Control[Fault]{State: s.State, Fail: s.Fail, Armed: &s.faults, Reset: s.Reset, Wait: s.Wait}.Handler()
}

// take reads one request whole, remembers it, and answers.
func (s *Server) take(w http.ResponseWriter, r *http.Request) {
	body := http.MaxBytesReader(w, r.Body, maxRequest)
	kept := make([]byte, 0)
	if !s.opts.CountOnly {
		var err error
		if kept, err = io.ReadAll(io.LimitReader(body, int64(s.opts.MaxBody))); err != nil {
			return
		}
	}
	rest, err := io.Copy(io.Discard, body)
	if err != nil {
		return
	}
	size := int64(len(kept)) + rest
	s.total.Add(1)
	s.bytes.Add(size)

	reply, act := s.opts.Reply, FaultKind("")
	if s.armed.Load() {
		if f, ok := s.faults.Take(func(f Fault) bool { return f.matches(r) }); ok {
			reply, act = f.Reply, f.Kind
		}
	}
	if s.opts.CountOnly {
		s.log.Add(Request{})
	} else {
		s.remember(r, string(kept), size, reply, act)
	}
	s.reply(w, r, reply, act)
}

func (s *Server) remember(r *http.Request, body string, size int64, reply Reply, act FaultKind) {
	q := Request{
		Time: s.opts.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host, Header: r.Header.Clone(),
		Body: body, Size: size, Key: r.Header.Get("Idempotency-Key"), Status: reply.status(),
	}
	if act == Drop {
		q.Status = 0
	}
	if q.Key != "" {
		s.mu.Lock()
		q.Repeat = s.keys[q.Key]
		if q.Repeat > 0 || len(s.keys) < maxKeys {
			s.keys[q.Key]++
		}
		s.mu.Unlock()
	}
	s.log.Add(q)
}

func (s *Server) reply(w http.ResponseWriter, r *http.Request, reply Reply, act FaultKind) {
	if reply.DelayMS > 0 && rig.Sleep(r.Context(), rig.Milliseconds(reply.DelayMS)) != nil {
		return
	}
	if act == Drop {
		panic(http.ErrAbortHandler) // net/http's way to hang up
	}
	for k, v := range reply.Header {
		w.Header().Set(k, v)
	}
	if reply.Location != "" {
		w.Header().Set("Location", reply.Location)
	}
	if act == Cut {
		w.Header().Set("Content-Length", fmt.Sprint(len(reply.Body)+1)) // one byte never comes: net/http hangs up
	}
	w.WriteHeader(reply.status())
	_, _ = io.WriteString(w, reply.Body) // the client may have left
}

func (p Reply) status() int {
	if p.Location != "" {
		return cmp.Or(p.Status, http.StatusFound)
	}
	return cmp.Or(p.Status, http.StatusOK)
}
