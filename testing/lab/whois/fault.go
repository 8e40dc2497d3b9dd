package whois

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// FaultKind is a way to misbehave.
type FaultKind string

// The kinds of faults.
const (
	Delay     FaultKind = "delay"      // answer after DelayMS
	Drip      FaultKind = "drip"       // answer Bytes (1 if 0) at a time, DelayMS between
	Huge      FaultKind = "huge"       // answer, then remarks until Bytes (8 MiB if 0) are sent
	Cut       FaultKind = "cut"        // end the answer after Bytes, its half if 0, as if it were whole
	Abort     FaultKind = "abort"      // the same, but with a reset of the connection
	Close     FaultKind = "close"      // hang up without a word
	Silent    FaultKind = "silent"     // say nothing until the client leaves
	RateLimit FaultKind = "rate_limit" // the registry's text for those who ask too often
	Text      FaultKind = "text"       // answer Text verbatim
)

// Fault is one misbehaviour, armed with Fail or POST /faults.
type Fault struct {
	Kind    FaultKind `json:"kind"`
	Match   string    `json:"match,omitempty"` // part of the target; "" is any query
	Times   int       `json:"times,omitempty"` // 0: until cleared
	DelayMS int       `json:"delay_ms,omitempty"`
	Bytes   int       `json:"bytes,omitempty"`
	Text    string    `json:"text,omitempty"`
}

// Fail checks f and arms it.
func (s *Server) Fail(f Fault) error {
	switch f.Kind {
	case Delay, Drip, Huge, Cut, Abort, Close, Silent, RateLimit, Text:
	default:
		return fmt.Errorf("kind: %q is unknown; expected delay, drip, huge, cut, abort, close, silent, rate_limit or text", f.Kind)
	}
	if f.Bytes < 0 {
		return fmt.Errorf("bytes: %d; expected no negative number", f.Bytes)
	}
	s.faults.Add(f, f.Times)
	return nil
}

// misbehave answers as f says; body is the answer of a good day. Writing errors mean that the client left.
func (s *Server) misbehave(ctx context.Context, c net.Conn, f Fault, body string) {
	if f.Kind != Drip && rig.Sleep(ctx, rig.Milliseconds(f.DelayMS)) != nil {
		return
	}
	switch f.Kind {
	case Delay:
		_, _ = io.WriteString(c, body)
	case Drip:
		for len(body) > 0 && rig.Sleep(ctx, rig.Milliseconds(f.DelayMS)) == nil {
			n := min(max(f.Bytes, 1), len(body))
			if _, err := io.WriteString(c, body[:n]); err != nil {
				return
			}
			body = body[n:]
		}
	case Huge:
		flood(c, body, cmp.Or(f.Bytes, 8<<20))
	case Cut, Abort:
		n := min(cmp.Or(f.Bytes, len(body)/2), len(body))
		_, _ = io.WriteString(c, body[:n])
		if t, ok := c.(*net.TCPConn); ok && f.Kind == Abort {
			_ = t.SetLinger(0) // the close that follows is a reset, as of a server that died
		}
	case Close:
	case Silent:
		_, _ = io.Copy(io.Discard, c)
	case RateLimit:
		_, _ = io.WriteString(c, crlf(s.opts.Style.limited()))
	case Text:
		_, _ = io.WriteString(c, f.Text)
	}
}

// flood writes body and then remarks until total bytes are out, or the client has left.
func flood(w io.Writer, body string, total int) {
	remarks := strings.Repeat("remarks:        this registry has very much to say about this network\r\n", 512)
	for text := body; total > 0; text = remarks {
		n, err := io.WriteString(w, text[:min(total, len(text))])
		if err != nil {
			return
		}
		total -= n
	}
}
