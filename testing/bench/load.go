package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// run numbers the alarms of this process.
var run atomic.Int64

func nextID() string { return fmt.Sprintf("b-%09d", run.Add(1)) }

// check proves that a body belongs to an id.
func check(id string) string {
	sum := sha256.Sum256([]byte("riposte bench " + id))
	return hex.EncodeToString(sum[:8])
}

// line is an alarm as LogPoint would send it.
func line(id, name string) string {
	return fmt.Sprintf("<129>Nov 21 12:00:00 bench CEF:0|Bench|Bench|1|%s|%s|8|externalId=%s src=10.1.2.3 dst=203.0.113.7 spt=49152 dpt=443 in=1024 out=4096 cs1Label=check cs1=%s msg=one alarm among many, with a text of usual length",
		"100", name, id, check(id))
}

// sink is the loopback receiver of the posts. It is fasthttp, which takes the least of the processors that it shares with what is measured.
type sink struct {
	ln      net.Listener
	server  fasthttp.Server
	mu      sync.Mutex
	waiting map[string]chan time.Time
	seen    map[string]string // id to the Idempotency-Key that it came with
	doubled []string
	mixed   []string
}

func newSink() (*sink, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{ln: ln, waiting: map[string]chan time.Time{}, seen: map[string]string{}}
	s.server.Handler = s.take
	go func() { _ = s.server.Serve(ln) }()
	return s, nil
}

func (s *sink) url() string { return "http://" + s.ln.Addr().String() + "/in" }
func (s *sink) close()      { _ = s.server.Shutdown() }

// take takes one post, and tells who waits for it.
func (s *sink) take(c *fasthttp.RequestCtx) {
	now := time.Now()
	var got struct{ ID, Check string }
	if json.Unmarshal(c.PostBody(), &got) != nil {
		c.Error("no JSON", fasthttp.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if got.Check != check(got.ID) {
		s.mixed = append(s.mixed, got.ID)
	}
	if _, again := s.seen[got.ID]; again {
		s.doubled = append(s.doubled, got.ID)
		return
	}
	s.seen[got.ID] = string(c.Request.Header.Peek("Idempotency-Key"))
	if ch := s.waiting[got.ID]; ch != nil {
		ch <- now
		delete(s.waiting, got.ID)
	}
}

// expect gives a channel that hears when the id arrives.
func (s *sink) expect(id string) chan time.Time {
	ch := make(chan time.Time, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[id] = ch
	return ch
}

// verdict fails when something came twice or mixed up.
func (s *sink) verdict() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.doubled)+len(s.mixed) > 0 {
		return fmt.Errorf("%d alarms came twice, %d mixed up: %v %v", len(s.doubled), len(s.mixed), first(s.doubled), first(s.mixed))
	}
	return nil
}

func first(list []string) []string { return list[:min(len(list), 5)] }

// wait takes the arrival of an id.
func wait(ctx context.Context, ch chan time.Time) (time.Time, error) {
	late := time.NewTimer(2 * time.Minute)
	defer late.Stop()
	select {
	case at := <-ch:
		return at, nil
	case <-late.C:
		return time.Time{}, errors.New("an alarm did not arrive within two minutes")
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// sender sends one alarm on its way.
type sender func(line string) error

// overTCP sends lines over one connection.
func overTCP(address string) (sender, func(), error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	return func(line string) error {
		_, err := io.WriteString(conn, line+"\n")
		return err
	}, func() { _ = conn.Close() }, nil
}

// overHTTP sends lines to the API; it returns when they are on disk. Its client is that of the sink's library, for the same reason.
func overHTTP(r *riposte) sender {
	client := &fasthttp.Client{}
	return func(line string) error {
		req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(req)
		defer fasthttp.ReleaseResponse(resp)
		req.SetRequestURI(r.api + "/api/v1/alarms")
		req.Header.SetMethod(fasthttp.MethodPost)
		req.Header.Set("Authorization", "Bearer "+r.token)
		req.Header.SetContentType("text/plain")
		req.SetBodyString(line)
		if err := client.Do(req, resp); err != nil {
			return err
		}
		if code := resp.StatusCode(); code >= 300 {
			return fmt.Errorf("%d: %s", code, resp.Body())
		}
		return nil
	}
}

// paced sends alarms at a rate and gives the times until each arrived, sorted.
func paced(ctx context.Context, s settings, send sender, to *sink) ([]time.Duration, error) {
	var took []time.Duration
	tick := time.NewTicker(time.Second / time.Duration(s.rate))
	defer tick.Stop()
	for end := time.Now().Add(s.during); time.Now().Before(end); {
		<-tick.C
		id := nextID()
		ch := to.expect(id)
		began := time.Now()
		if err := send(line(id, "bench action")); err != nil {
			return nil, err
		}
		at, err := wait(ctx, ch)
		if err != nil {
			return nil, err
		}
		took = append(took, at.Sub(began))
	}
	slices.Sort(took)
	return took, nil
}

// closed keeps so many alarms in flight, count in all, and gives how long that took.
func closed(ctx context.Context, flight, count int, connect func() (sender, func(), error), to *sink) (time.Duration, error) {
	var left atomic.Int64
	left.Store(int64(count))
	errs := make(chan error, flight)
	began := time.Now()
	for range flight {
		go func() {
			send, done, err := connect()
			if err != nil {
				errs <- err
				return
			}
			defer done()
			for err == nil && left.Add(-1) >= 0 {
				id := nextID()
				ch := to.expect(id)
				if err = send(line(id, "bench action")); err == nil {
					_, err = wait(ctx, ch)
				}
			}
			errs <- err
		}()
	}
	for range flight {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}
