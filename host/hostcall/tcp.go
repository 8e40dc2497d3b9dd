package hostcall

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// defaultExchange is how many bytes tcp.exchange takes where nothing says more, up to maxResponse.
const defaultExchange = 1 << 20

// exchange is tcp.exchange.
type exchange struct {
	abi.TCPRequest
	address capability.Address
	named   bool
	send    []byte
}

func (x *exchange) capability() (kind, id string) { return "tcp", x.Capability }

func (x *exchange) summary() string { return x.Address }

// authorise gives no effect: what bytes do to the other side only the action knows, so the dispatcher takes the action's.
func (x *exchange) authorise(r *capability.Right) (abi.Effect, *abi.Fault) {
	address, refusal := capability.ParseAddress(x.Address, 0)
	if refusal != nil {
		return "", refusal.Fault()
	}
	x.address = address
	if x.named, refusal = r.TCP.Allow(address); refusal != nil {
		return "", refusal.Fault()
	}
	var fault *abi.Fault
	x.send, fault = content(&x.Send)
	return "", fault
}

func (x *exchange) perform(ctx context.Context, s *Session, g granted, _ string) (any, *abi.Fault) {
	ctx, cancel := within(ctx, x.Timeout)
	defer cancel()
	where := x.address.String()
	conn, fault := s.o.Services.connect(ctx, x.address, x.named, g.tls, g.right.TCP.Encrypted)
	if fault != nil {
		return nil, fault
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	limit := int64(defaultExchange)
	if g.right.TCP.MaxBytes > 0 {
		limit = min(g.right.TCP.MaxBytes, maxResponse)
	}
	if x.MaxBytes > 0 {
		limit = min(limit, int64(x.MaxBytes))
	}
	received, err := converse(conn, x.send, limit+1)
	if err != nil {
		fault := netFault(ctx, err, where)
		if s.plan.action.Effect == abi.Unsafe {
			fault = inDoubt(fault)
		}
		return nil, fault
	}
	value := abi.TCPResponse{Truncated: int64(len(received)) > limit}
	value.Received = payload(s.redactor.Bytes(received[:min(int64(len(received)), limit)]))
	return value, nil
}

// converse sends, and reads until the other side closes or limit bytes are there.
func converse(conn net.Conn, send []byte, limit int64) ([]byte, error) {
	if _, err := conn.Write(send); err != nil {
		return nil, err
	}
	var received bytes.Buffer
	_, err := io.Copy(&received, io.LimitReader(conn, limit))
	return received.Bytes(), err
}

// connect opens a connection under the site's policy, encrypted if asked.
func (s *Services) connect(ctx context.Context, to capability.Address, named bool, terms *clientTLS, encrypted bool) (net.Conn, *abi.Fault) {
	conn, err := s.dialer(named).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, netFault(ctx, err, to.String())
	}
	if !encrypted {
		return conn, nil
	}
	secure := tls.Client(conn, terms.forHost(to.Host))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, netFault(ctx, err, to.String())
	}
	return secure, nil
}

// forHost gives a configuration that checks the certificate against the host, unless the terms name another.
func (c *clientTLS) forHost(host capability.Host) *tls.Config {
	config := c.config.Clone()
	if config.ServerName == "" {
		config.ServerName = host.String()
	}
	return config
}

// within bounds a call by the milliseconds that its request gives; 0 is no bound.
func within(ctx context.Context, milliseconds int64) (context.Context, context.CancelFunc) {
	if milliseconds <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(min(milliseconds, int64(24*time.Hour/time.Millisecond)))*time.Millisecond)
}

// inDoubt turns the fault of a call that may have been carried out.
func inDoubt(fault *abi.Fault) *abi.Fault {
	return &abi.Fault{Kind: abi.InDoubt, Message: fault.Message + "; the request may have been carried out", Hint: "look at the target whether it happened"}
}
