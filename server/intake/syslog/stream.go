package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
)

// accept takes connections until the listener closes.
func (s *Server) accept(l net.Listener, source alarm.Source) {
	pause := time.Millisecond
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = time.Millisecond
			s.admit(conn, source)
		case s.closing.Load() || errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, mostly: others will end
			s.o.Log.Warn("cannot accept a syslog connection", "error", err, "again_in", pause)
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-s.ctx.Done():
				return
			}
			pause = min(2*pause, time.Second)
		}
	}
}

// admit begins to serve a connection, or closes it when there are too many.
func (s *Server) admit(conn net.Conn, source alarm.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		_ = conn.Close()
		return
	}
	if len(s.conns) >= s.o.MaxConns {
		_ = conn.Close()
		if n := s.counters.Refused.Add(1); n&(n-1) == 0 { // the log must not grow with the attack
			s.o.Log.Warn("syslog connections refused: too many are open", "open", len(s.conns), "refused", n,
				"peer", conn.RemoteAddr().String())
		}
		return
	}
	s.conns[conn] = struct{}{}
	s.counters.Open.Add(1)
	s.readers.Go(func() {
		defer s.forget(conn)
		s.serve(conn, source)
	})
}

func (s *Server) forget(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
	s.counters.Open.Add(-1)
}

// serve reads one connection to its end.
func (s *Server) serve(conn net.Conn, source alarm.Source) {
	in := alarm.Intake{Source: source, Peer: conn.RemoteAddr().String()}
	if at, err := netip.ParseAddrPort(in.Peer); err == nil {
		in.Peer = peer(at)
	}
	if source == alarm.SyslogTLS {
		secured := tls.Server(conn, s.o.TLSConfig)
		ctx, cancel := context.WithTimeout(s.ctx, s.o.FrameTimeout)
		err := secured.HandshakeContext(ctx)
		cancel()
		if err != nil {
			s.o.Log.Info("syslog TLS handshake failed", "peer", in.Peer, "error", err)
			return
		}
		conn = secured
	}
	f := newFramer(s.o.MaxMessage)
	err := s.read(conn, f, in)
	s.drain(f, in, true)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !s.closing.Load():
		s.counters.Timeouts.Add(1)
		s.o.Log.Info("syslog connection closed: no whole message came in time", "peer", in.Peer)
	case err != nil && !errors.Is(err, io.EOF) && !s.closing.Load():
		s.o.Log.Info("syslog connection ended", "peer", in.Peer, "error", err)
	}
}

// read hands messages on until the connection ends, fails, or is too slow. A message that has begun gets FrameTimeout as a whole, so a
// sender cannot keep a connection by a byte now and then.
func (s *Server) read(conn net.Conn, f *framer, in alarm.Intake) error {
	begun := false
	for {
		switch pending := f.pending(); {
		case !pending:
			s.deadline(conn, s.o.IdleTimeout)
			begun = false
		case !begun:
			s.deadline(conn, s.o.FrameTimeout)
			begun = true
		}
		n, err := f.fill(conn)
		if n > 0 && s.drain(f, in, false) > 0 {
			begun = false
		}
		if err != nil {
			return err
		}
	}
}

// deadline is not set any more once Close has set its own.
func (s *Server) deadline(conn net.Conn, in time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing.Load() {
		_ = conn.SetReadDeadline(time.Now().Add(in))
	}
}

// drain hands on the messages that are whole, at the end of the stream also the rest, and counts them.
func (s *Server) drain(f *framer, in alarm.Intake, end bool) int {
	n := 0
	for {
		message, ok := f.next(end)
		if !ok {
			s.counters.Resyncs.Add(int64(f.resyncs))
			s.counters.Cut.Add(int64(f.cut))
			f.resyncs, f.cut = 0, 0
			return n
		}
		n++
		s.take(in, message)
	}
}
