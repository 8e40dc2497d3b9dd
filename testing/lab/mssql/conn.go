package mssql

import (
	"bufio"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// conn is one client after its login.
type conn struct {
	s        *Server
	net      net.Conn
	ctx      context.Context
	packet   int
	session  tsql.Session
	incoming <-chan message // closed when the client is gone
	tran     uint64         // the number of the last transaction
}

// patience bounds how long a client may take to log in.
const patience = 30 * time.Second

// errHangUp ends a connection on purpose.
var errHangUp = errors.New("hung up")

// serve leads one client from PRELOGIN to its end.
func (s *Server) serve(ctx context.Context, c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(patience)) // a socket deadline is on the system's clock
	secured, isTLS, err := s.negotiate(c)
	if err != nil {
		return
	}
	m, err := readMessage(secured)
	if err != nil || m.kind != packLogin7 {
		return
	}
	l, err := parseLogin7(m.body)
	if err != nil {
		return
	}
	session, err := s.login(ctx, secured, l, isTLS)
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})

	ctx, cancel := context.WithCancel(ctx)
	incoming := make(chan message)
	gone := make(chan struct{})
	go func() { // reads on while a query runs, because the client may cancel it
		defer close(gone)
		defer cancel()
		defer close(incoming)
		r := bufio.NewReader(secured)
		for {
			m, err := readMessage(r)
			if err != nil {
				return
			}
			select {
			case incoming <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	k := &conn{s: s, net: secured, ctx: ctx, packet: l.packetSize, session: session, incoming: incoming}
	k.run()
	cancel()
	_ = c.Close()
	<-gone
}

// negotiate answers PRELOGIN and, if both sides want it, starts TLS.
func (s *Server) negotiate(c net.Conn) (net.Conn, bool, error) {
	m, err := readMessage(c)
	if err != nil {
		return nil, false, err
	}
	if m.kind != packPrelogin {
		return nil, false, fmt.Errorf("expected PRELOGIN, found a packet of type %#x", m.kind)
	}
	wants, err := parsePrelogin(m.body)
	if err != nil {
		return nil, false, err
	}
	offer := byte(encryptNotSup)
	if s.tls != nil && wants != encryptNotSup {
		offer = encryptOn
		if wants == encryptOff {
			offer = encryptReq // everything or nothing: TLS for the login alone is not offered
		}
	} else if s.opts.RequireTLS {
		offer = encryptReq
	}
	if _, err := c.Write(packets(packReply, prelogin(offer), defaultPacket)); err != nil {
		return nil, false, err
	}
	if offer == encryptNotSup {
		return c, false, nil
	}
	if wants == encryptNotSup {
		return nil, false, errHangUp
	}
	wrapped := &handshakeConn{Conn: c}
	t := tls.Server(wrapped, s.tls)
	if err := t.Handshake(); err != nil {
		return nil, false, err
	}
	wrapped.done = true
	return t, true, nil
}

// login answers LOGIN7; its error means that the connection is over.
func (s *Server) login(ctx context.Context, c net.Conn, l login, isTLS bool) (tsql.Session, error) {
	seen := SeenLogin{Time: s.opts.Now(), User: l.user, Host: l.host, App: l.app, Database: l.database, TLS: isTLS}
	user, known := s.logins[l.user]
	var fail []*tsql.Error
	refused := &tsql.Error{Number: 18456, Class: 14, State: 1, Line: 65536, Message: "Login failed for user '" + l.user + "'."}
	if !known || l.integrated || subtle.ConstantTimeCompare([]byte(user.Password), []byte(l.password)) != 1 {
		fail = []*tsql.Error{refused}
	} else if l.database != "" && l.database != s.db.Name() {
		fail = []*tsql.Error{{Number: 4060, Class: 11, State: 1, Line: 65536, Message: "Cannot open database \"" + l.database + "\" requested by the login. The login failed."}, refused}
	}
	f, hit := s.fault("login", l.user)
	if hit {
		seen.Fault = f.Kind
		if f.Kind == Raise {
			fail = []*tsql.Error{f.raised()}
		}
	}
	if len(fail) > 0 {
		seen.Error = fail[0].Number
	}
	s.entries.Add(seen)
	if hit {
		_ = c.SetDeadline(time.Time{})
		if err := rig.Sleep(ctx, rig.Milliseconds(f.DelayMS)); err != nil {
			return tsql.Session{}, err
		}
	}
	var r reply
	for _, e := range fail {
		r.err(e)
	}
	if len(fail) > 0 {
		r.done(tokDone, doneError, 0, 0)
	} else {
		r.welcome(s.db.Name(), l.packetSize)
	}
	if err := send(c, r.b, l.packetSize, f, func() { <-ctx.Done() }); err != nil {
		return tsql.Session{}, err
	}
	if len(fail) > 0 {
		return tsql.Session{}, errHangUp
	}
	return tsql.Session{User: l.user, Tables: user.Tables}, nil
}

// welcome is the answer to a good login.
func (r *reply) welcome(database string, packet int) {
	r.changed(envDatabase, database, "master")
	r.info(5701, "Changed database context to '"+database+"'.")
	r.changedBytes(envCollation, collation(), nil)
	r.loginAck()
	r.changed(envPacketSize, strconv.Itoa(packet), strconv.Itoa(defaultPacket))
	r.done(tokDone, 0, 0, 0)
}

// send writes an answer in packets, or spoils it as f says; hang waits as long as a client that gets none may wait.
func send(c net.Conn, body []byte, packet int, f Fault, hang func()) error {
	out := packets(packReply, body, packet)
	switch f.Kind {
	case Drop:
		return errHangUp
	case Hang:
		hang()
		return nil
	case Cut:
		out = out[:len(out)/2]
	case Garbage:
		out = packets(packReply, []byte{0x00, 0xC0, 0xFF, 0xEE, 0x00}, packet)
	}
	if _, err := c.Write(out); err != nil {
		return err
	}
	if f.Kind == Cut {
		return errHangUp
	}
	return nil
}

// run answers requests until the client or the server leaves.
func (k *conn) run() {
	for m := range k.incoming {
		var err error
		switch m.kind {
		case packBatch:
			err = k.batch(m.body)
		case packRPC:
			err = k.call(m.body)
		case packTransMgr:
			err = k.transaction(m.body)
		case packAttention: // the answer was out before the client's cancel came in
			err = k.cancelled()
		default:
			return
		}
		if err != nil {
			return
		}
	}
}
