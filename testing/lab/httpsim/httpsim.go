// Package httpsim is what the simulators of vendors over HTTP have in common: a listener on a real socket, a bounded record of
// the calls seen, faults on demand, and the control handler through which another process steers and inspects a simulator.
//
// A simulator embeds *Server and so has its methods.
package httpsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	maxBody = 5 << 20 // PAN-OS takes requests up to 5 MB, the largest of those that are simulated
	keep    = 4096    // calls remembered
)

// Config says what a simulator is made of.
type Config struct {
	Addr    string           // where to listen; "" means 127.0.0.1:0
	Now     func() time.Time // the clock; nil means time.Now
	Handler http.Handler     // the vendor's API; it gets the body buffered, so it may read it at leisure
	State   func() any       // a JSON-able snapshot of the vendor's state
	Reset   func()           // puts the vendor's state back to its beginning
}

// Server is a running simulator. Its methods are safe for concurrent use.
type Server struct {
	cfg  Config
	ln   net.Listener
	http *http.Server
	done chan struct{}

	mu      sync.Mutex
	calls   []Call // the last `keep` calls, oldest first
	total   int    // number of the newest call
	changed chan struct{}
	faults  []*Fault
	left    map[*Fault]int // how often a fault with Times still strikes
}

// Start listens and serves until Close.
func Start(cfg Config) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	ln, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	s := &Server{cfg: cfg, ln: ln, done: make(chan struct{}), changed: make(chan struct{}), left: map[*Fault]int{}}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_ = s.http.Serve(ln) // always ends with ErrServerClosed after Close
		close(s.done)
	}()
	return s, nil
}

// URL is the base address without a trailing slash, such as http://127.0.0.1:40123.
func (s *Server) URL() string { return "http://" + s.ln.Addr().String() }

// Now is the simulator's clock.
func (s *Server) Now() time.Time { return s.cfg.Now() }

// Close stops listening and cuts every open connection, hung ones too.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}

// State is a JSON-able snapshot of everything that the simulated vendor holds.
func (s *Server) State() any { return s.cfg.State() }

// Reset forgets the calls, clears the faults and puts the vendor's state back to its beginning.
func (s *Server) Reset() {
	s.Clear()
	s.mu.Lock()
	s.calls, s.total = nil, 0
	s.mu.Unlock()
	s.cfg.Reset()
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		s.record(r, nil)(status, "")
		http.Error(w, http.StatusText(status), status)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	params := visible(r, body)
	end := s.record(r, params)
	fault := s.strike(r.URL.Path, params)
	if fault == nil {
		out := &statusWriter{ResponseWriter: w, end: end}
		s.cfg.Handler.ServeHTTP(out, r)
		out.note(http.StatusOK)
		return
	}
	fault.serve(w, r, s.cfg.Handler, end)
}

// statusWriter notes the status just before it is sent, so that a client that has its answer finds its call complete.
type statusWriter struct {
	http.ResponseWriter
	end   func(status int, fault string)
	noted bool
}

func (w *statusWriter) note(status int) {
	if !w.noted {
		w.noted = true
		w.end(status, "")
	}
}

func (w *statusWriter) WriteHeader(status int) {
	w.note(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.note(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Call is one request that a simulator got. Secrets are masked: parameters that carry one read "***", and headers are left out
// but for the idempotency key.
type Call struct {
	N              int        `json:"n"` // 1 for the first call since the start or Reset
	Time           time.Time  `json:"time"`
	Method         string     `json:"method"`
	Path           string     `json:"path"`
	Query          url.Values `json:"query,omitempty"` // of the URL and, for form posts, of the body
	IdempotencyKey string     `json:"idempotency_key,omitempty"`
	Status         int        `json:"status"`          // 0 while unanswered, or never answered
	Fault          string     `json:"fault,omitempty"` // what a fault did to this call: hang, drop, truncate, huge, status, delay
}

// record notes a call as begun and returns the function that notes how it ended.
func (s *Server) record(r *http.Request, params url.Values) func(status int, fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	n := s.total
	if len(s.calls) == keep {
		s.calls = s.calls[1:] // append moves the rest to a new array now and then, which frees the old
	}
	s.calls = append(s.calls, Call{N: n, Time: s.cfg.Now(), Method: r.Method, Path: r.URL.Path, Query: params,
		IdempotencyKey: r.Header.Get("Idempotency-Key")})
	s.wake()
	return func(status int, fault string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		// Calls keep their order, so the place follows from the number; it is gone after Reset or when the ring moved on.
		if i := n - s.total + len(s.calls) - 1; i >= 0 && i < len(s.calls) && s.calls[i].N == n {
			s.calls[i].Status, s.calls[i].Fault = status, fault
			s.wake()
		}
	}
}

// wake tells every waiter that the calls changed; the caller holds the lock.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Calls gives the last calls, oldest first; at most 4,096 are kept.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// WaitCalls waits until enough says yes to the calls seen so far, or until ctx ends; then it gives the calls and ctx's error.
func (s *Server) WaitCalls(ctx context.Context, enough func([]Call) bool) ([]Call, error) {
	for {
		s.mu.Lock()
		calls, changed := append([]Call(nil), s.calls...), s.changed
		s.mu.Unlock()
		if enough(calls) {
			return calls, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return calls, ctx.Err()
		}
	}
}

// visible gives the parameters of URL and form body with the secrets masked.
func visible(r *http.Request, body []byte) url.Values {
	params := r.URL.Query()
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media == "application/x-www-form-urlencoded" {
		form, _ := url.ParseQuery(string(body)) // what can be read of a broken form is shown, the vendor's handler judges it
		for k, v := range form {
			params[k] = append(params[k], v...)
		}
	}
	for k := range params {
		switch strings.ToLower(k) {
		case "key", "apikey", "api_key", "x-pan-key", "secret_key", "secret", "password", "passwd", "token", "access_token":
			params[k] = []string{"***"}
		}
	}
	return params
}
