package smtpsink

import (
	"cmp"
	"errors"
	"net"
	"sync"

	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// listener remembers its connections, so that Close can break those that are busy; the SMTP library only stops idle ones.
type listener struct {
	net.Listener
	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{}
}

type conn struct {
	net.Conn
	of *listener
}

func listen(addr string) (*listener, error) {
	ln, err := net.Listen("tcp", cmp.Or(addr, rig.AnyPort))
	if err != nil {
		return nil, err
	}
	return &listener{Listener: ln, conns: make(map[*conn]struct{})}, nil
}

// Accept gives the next connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	kept := &conn{c, l}
	l.conns[kept] = struct{}{}
	return kept, nil
}

// Close stops listening and breaks all connections.
func (l *listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		_ = c.Conn.Close()
	}
	if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Close forgets and closes the connection.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
