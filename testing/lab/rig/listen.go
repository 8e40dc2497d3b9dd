package rig

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// TCP is a listener that serves each connection in a goroutine of its own.
type TCP struct {
	ln     net.Listener
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// ListenTCP listens on addr ("" is AnyPort) and calls serve for every connection. The connection is closed when serve returns; the
// context ends, and the connection breaks, when the listener is closed.
func ListenTCP(addr string, serve func(context.Context, net.Conn)) (*TCP, error) {
	ln, err := net.Listen("tcp", cmp.Or(addr, AnyPort))
	if err != nil {
		return nil, err
	}
	t := &TCP{ln: ln, conns: make(map[net.Conn]struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(func() { t.accept(serve) })
	return t, nil
}

func (t *TCP) accept(serve func(context.Context, net.Conn)) {
	for {
		c, err := t.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or the peer left the backlog: go on after a breath
			if Sleep(t.ctx, 5*time.Millisecond) != nil {
				return
			}
			continue
		}
		if !t.add(c) {
			_ = c.Close()
			return
		}
		t.wg.Go(func() {
			defer t.remove(c)
			serve(t.ctx, c)
		})
	}
}

func (t *TCP) add(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return false
	}
	t.conns[c] = struct{}{}
	return true
}

func (t *TCP) remove(c net.Conn) {
	t.mu.Lock()
	delete(t.conns, c)
	t.mu.Unlock()
	_ = c.Close() // the peer may have closed it
}

// Addr is host:port.
func (t *TCP) Addr() string { return t.ln.Addr().String() }

// Close stops listening, breaks all connections and waits for their goroutines.
func (t *TCP) Close() error {
	t.mu.Lock()
	t.cancel()
	err := t.ln.Close()
	for c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// HTTP is a web server whose requests' contexts end when it is closed.
type HTTP struct {
	ln     net.Listener
	srv    *http.Server
	cancel context.CancelFunc
	wg     sync.WaitGroup // the accepting goroutine and all connections
}

// ListenHTTP serves h on addr ("" is AnyPort).
func ListenHTTP(addr string, h http.Handler) (*HTTP, error) {
	ln, err := net.Listen("tcp", cmp.Or(addr, AnyPort))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &HTTP{ln: ln, cancel: cancel}
	s.srv = &http.Server{
		Handler:     h,
		BaseContext: func(net.Listener) context.Context { return ctx },
		// A connection is announced as new by the accepting goroutine, and as closed at the end of its own.
		ConnState: func(_ net.Conn, st http.ConnState) {
			switch st {
			case http.StateNew:
				s.wg.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.wg.Done()
			}
		},
		ReadHeaderTimeout: time.Minute,
	}
	s.wg.Go(func() { _ = s.srv.Serve(ln) }) // ends with ErrServerClosed
	return s, nil
}

// Addr is host:port.
func (s *HTTP) Addr() string { return s.ln.Addr().String() }

// URL is http://host:port, with no slash at the end.
func (s *HTTP) URL() string { return "http://" + s.Addr() }

// Close stops listening, breaks all connections and waits for their goroutines.
func (s *HTTP) Close() error {
	err := s.srv.Close()
	s.cancel() // after the connections broke, so that no handler that wakes can still answer
	s.wg.Wait()
	return err
}
