// Package syslog listens for alarms on UDP, TCP and TLS (RFC 5426, 6587, 5425). It cuts streams into messages, decodes each, and
// hands the alarm to a sink. While the sink has no room, nothing is read: a TCP sender then waits, and the kernel drops datagrams,
// which Linux counts and Counters shows.
package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/intake"
)

// Options say where to listen and within which bounds. An address that is empty is not listened on.
type Options struct {
	UDP, TCP, TLS string // addresses "host:port"
	TLSConfig     *tls.Config

	MaxMessage   int           // bytes of one message, 256 KiB if 0, at most alarm.MaxRaw; what is longer is cut
	MaxConns     int           // connections at a time, 1024 if 0; more are closed and counted
	IdleTimeout  time.Duration // a connection without a message is closed after that, 1 h if 0
	FrameTimeout time.Duration // a message must arrive whole within that, as must a TLS handshake; 30 s if 0

	Sink     intake.Sink
	Now      func() time.Time // time.Now if nil; timeouts of sockets use the system's clock
	Log      *slog.Logger     // slog.Default() if nil
	Counters *Counters        // to share them with others; a new one if nil
}

// Counters count what happened since the start. They only grow, but for Open and Waiting.
type Counters struct {
	Messages atomic.Int64 // decoded and offered to the sink
	Bytes    atomic.Int64 // of these messages
	Unparsed atomic.Int64 // of these, kept as unparsed alarms
	Odd      atomic.Int64 // of these, with warnings
	Cut      atomic.Int64 // of these, cut at MaxMessage
	Resyncs  atomic.Int64 // times that an octet count lied
	Stored   atomic.Int64 // on disk
	Failed   atomic.Int64 // refused by the sink: these alarms are lost to us
	Waiting  atomic.Int64 // offered to the sink and not yet on disk
	Open     atomic.Int64 // connections now
	Refused  atomic.Int64 // connections closed because there were MaxConns
	Timeouts atomic.Int64 // connections closed because a message did not end or none came
	Dropped  atomic.Int64 // datagrams that the kernel dropped because we did not read (Linux only)
}

// Server is a set of running listeners.
type Server struct {
	o        Options
	counters *Counters
	udp      *net.UDPConn
	tcp, tls net.Listener

	ctx     context.Context // ends when Close gives up waiting
	abort   context.CancelFunc
	closing atomic.Bool
	readers sync.WaitGroup // listeners and connections
	stored  sync.WaitGroup // alarms that the sink has not settled

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Listen opens the sockets and starts to read. When one cannot be opened, none is left open.
func Listen(o Options) (*Server, error) {
	if o.Sink == nil {
		return nil, errors.New("syslog: no sink")
	}
	if o.TLS != "" && o.TLSConfig == nil {
		return nil, errors.New("syslog: listening on TLS needs a certificate")
	}
	s := &Server{o: withDefaults(o), conns: map[net.Conn]struct{}{}}
	s.counters = s.o.Counters
	s.ctx, s.abort = context.WithCancel(context.Background())
	if err := s.open(); err != nil {
		s.closeListeners()
		if s.udp != nil {
			_ = s.udp.Close()
		}
		s.abort()
		return nil, fmt.Errorf("syslog: %w", err)
	}
	if s.udp != nil {
		s.readers.Go(s.readPackets)
	}
	if s.tcp != nil {
		s.readers.Go(func() { s.accept(s.tcp, alarm.SyslogTCP) })
	}
	if s.tls != nil {
		s.readers.Go(func() { s.accept(s.tls, alarm.SyslogTLS) })
	}
	return s, nil
}

func withDefaults(o Options) Options {
	if o.MaxMessage <= 0 {
		o.MaxMessage = 256 << 10
	}
	o.MaxMessage = min(o.MaxMessage, alarm.MaxRaw)
	if o.MaxConns <= 0 {
		o.MaxConns = 1024
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = time.Hour
	}
	if o.FrameTimeout <= 0 {
		o.FrameTimeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Counters == nil {
		o.Counters = &Counters{}
	}
	return o
}

func (s *Server) open() error {
	if s.o.UDP != "" {
		conn, err := net.ListenPacket("udp", s.o.UDP)
		if err != nil {
			return err
		}
		s.udp = conn.(*net.UDPConn)
		_ = s.udp.SetReadBuffer(8 << 20) // the system gives what it allows
		countDrops(s.udp)
	}
	if s.o.TCP != "" {
		listener, err := net.Listen("tcp", s.o.TCP)
		if err != nil {
			return err
		}
		s.tcp = listener
	}
	if s.o.TLS != "" {
		listener, err := net.Listen("tcp", s.o.TLS)
		if err != nil {
			return err
		}
		s.tls = listener
	}
	return nil
}

// UDPAddr is where the server listens for datagrams; it is nil if it does not.
func (s *Server) UDPAddr() net.Addr {
	if s.udp == nil {
		return nil
	}
	return s.udp.LocalAddr()
}

// TCPAddr is where the server listens for plain streams; it is nil if it does not.
func (s *Server) TCPAddr() net.Addr { return addr(s.tcp) }

// TLSAddr is where the server listens for TLS; it is nil if it does not.
func (s *Server) TLSAddr() net.Addr { return addr(s.tls) }

func addr(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Counters are the server's counters.
func (s *Server) Counters() *Counters { return s.counters }

// grace is how long Close still reads what the kernel holds already.
const grace = 100 * time.Millisecond

// Close stops listening, hands on what had arrived, and waits until the sink has settled every alarm. When ctx ends first, the wait
// is given up: alarms that still stand before the sink are refused by it or lost, and ctx's error is returned.
func (s *Server) Close(ctx context.Context) error {
	defer s.abort()
	s.closing.Store(true)
	s.closeListeners()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.SetReadDeadline(time.Now().Add(grace))
	}
	s.mu.Unlock()
	settled := make(chan struct{})
	go func() {
		s.readers.Wait()
		s.stored.Wait()
		close(settled)
	}()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("syslog: %d alarms not settled: %w", s.counters.Waiting.Load(), ctx.Err())
	}
}

func (s *Server) closeListeners() {
	if s.udp != nil {
		_ = s.udp.SetReadDeadline(time.Now().Add(grace))
	}
	if s.tcp != nil {
		_ = s.tcp.Close()
	}
	if s.tls != nil {
		_ = s.tls.Close()
	}
}

// take decodes one message and waits until the sink has room for it.
func (s *Server) take(in alarm.Intake, f frame) {
	var a *alarm.Alarm
	if f.note == "" {
		a = intake.Decode(s.o.Now(), in, f.data)
	} else {
		a = intake.Decode(s.o.Now(), in, f.data, f.note)
	}
	c := s.counters
	c.Messages.Add(1)
	c.Bytes.Add(int64(len(f.data)))
	if a.Parse.Format == alarm.Unparsed {
		c.Unparsed.Add(1)
	}
	if len(a.Parse.Warnings) > 0 {
		c.Odd.Add(1)
	}
	c.Waiting.Add(1)
	s.stored.Add(1)
	s.o.Sink.Accept(s.ctx, a, func(err error) {
		c.Waiting.Add(-1)
		if err != nil {
			if n := c.Failed.Add(1); n&(n-1) == 0 { // a full disk must not fill with this
				s.o.Log.Error("alarms were not stored", "failed", n, "peer", in.Peer, "error", err)
			}
		} else {
			c.Stored.Add(1)
		}
		s.stored.Done()
	})
}

// peer is the address of a sender without its port.
func peer(a netip.AddrPort) string { return a.Addr().Unmap().WithZone("").String() }
