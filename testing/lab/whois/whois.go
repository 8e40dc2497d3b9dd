// Package whois is a WHOIS server for the lab: RFC 3912 on TCP, answering as ARIN, as a RIPE-like registry, or as IANA's root that
// refers to a registry. On demand it limits the rate, drips, talks too much, falls silent or hangs up half way.
package whois

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// Style is the manner in which a server words its answers.
type Style string

// The styles.
const (
	ARIN Style = "arin" // NetRange, OrgName, OrgAbuseEmail; refers by "ReferralServer:  whois://host"
	RIPE Style = "ripe" // inetnum, netname, abuse-mailbox (RPSL, RFC 2622)
	IANA Style = "iana" // a root: knows no network, refers by "refer: host"
)

// Network is what a registry knows of an address range.
type Network struct {
	Prefix    netip.Prefix `json:"prefix"`
	Name      string       `json:"name"`   // BAD-HOSTING
	Handle    string       `json:"handle"` // NET-203-0-113-0-1; made from the prefix if empty
	Org       string       `json:"org"`
	OrgID     string       `json:"org_id"` // made from Org if empty
	Country   string       `json:"country"`
	City      string       `json:"city"`
	AbuseMail string       `json:"abuse_mail"`
	Phone     string       `json:"phone"`
	ASN       uint32       `json:"asn"` // 0: none
	Created   time.Time    `json:"created"`
	Updated   time.Time    `json:"updated"`
}

// Referral says which server knows more of a prefix.
type Referral struct {
	Prefix netip.Prefix `json:"prefix"`
	Server string       `json:"server"` // host or host:port
}

// Options of a server.
type Options struct {
	Addr      string // "" is 127.0.0.1 and any port
	Style     Style  // "" is ARIN
	Networks  []Network
	Referrals []Referral        // the most specific of networks and referrals answers; a network wins a tie
	Texts     map[string]string // verbatim answers to other targets (domains, AS numbers), by target in lower case
	Now       func() time.Time  // time.Now if nil; used for the log only
	Keep      int               // how many queries the log keeps; 0 is rig.DefaultKeep
}

// Seen is one query that was answered, or should have been.
type Seen struct {
	Time   time.Time `json:"time"`
	From   string    `json:"from"`
	Query  Query     `json:"query"`
	Answer string    `json:"answer"`          // network, referral, text, nomatch, or invalid
	Fault  FaultKind `json:"fault,omitempty"` // the fault that befell it
}

// State is what the control page shows.
type State struct {
	Addr    string             `json:"addr"`
	Style   Style              `json:"style"`
	Total   int                `json:"total"`
	Queries []Seen             `json:"queries"`
	Faults  []rig.Armed[Fault] `json:"faults"`
}

// Server answers until it is closed.
type Server struct {
	opts   Options
	tcp    *rig.TCP
	log    rig.Log[Seen]
	faults rig.Faults[Fault]
}

// patience bounds how long a client may take to send its line.
const patience = 30 * time.Second

// Start serves opts.
func Start(opts Options) (*Server, error) {
	switch opts.Style {
	case "":
		opts.Style = ARIN
	case ARIN, RIPE, IANA:
	default:
		return nil, fmt.Errorf("whois: style %q: expected arin, ripe or iana", opts.Style)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{opts: opts}
	s.log.Keep(opts.Keep)
	var err error
	if s.tcp, err = rig.ListenTCP(opts.Addr, s.serve); err != nil {
		return nil, fmt.Errorf("whois: %w", err)
	}
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.tcp.Addr() }

// Close ends all connections and waits for their goroutines.
func (s *Server) Close() error { return s.tcp.Close() }

// Queries gives what was asked, oldest first.
func (s *Server) Queries() []Seen { return s.log.All() }

// Wait returns when n queries were asked since the last Reset, or with ctx's error.
func (s *Server) Wait(ctx context.Context, n int) error { return s.log.Wait(ctx, n) }

// State gives a State.
func (s *Server) State() any {
	return State{s.Addr(), s.opts.Style, s.log.Total(), s.log.All(), s.faults.List()}
}

// Reset forgets all queries and disarms all faults.
func (s *Server) Reset() {
	s.log.Reset()
	s.faults.Clear()
}

// Clear disarms all faults.
func (s *Server) Clear() { s.faults.Clear() }

// Control is the server's control page, see rig.Control.
func (s *Server) Control() http.Handler {
	return rig.Control[Fault]{State: s.State, Fail: s.Fail, Armed: &s.faults, Reset: s.Reset, Wait: s.Wait}.Handler()
}

func (s *Server) serve(ctx context.Context, c net.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(patience)) // a socket deadline is on the system's clock
	line, err := bufio.NewReader(io.LimitReader(c, MaxQuery+2)).ReadSlice('\n')
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		return
	}
	q, err := ParseQuery(string(line))
	seen := Seen{Time: s.opts.Now(), From: c.RemoteAddr().String(), Query: q, Answer: "invalid"}
	body := "%ERROR:108: bad character in input\r\n"
	if err == nil {
		seen.Answer, body = s.answer(q)
	}
	f, hit := s.faults.Take(func(f Fault) bool {
		return strings.Contains(strings.ToLower(q.Target), strings.ToLower(f.Match))
	})
	if hit {
		seen.Fault = f.Kind
	}
	s.log.Add(seen)
	if hit {
		s.misbehave(ctx, c, f, body)
		return
	}
	_, _ = io.WriteString(c, body) // the client may have left
}

// answer finds the text for q and says which sort it is.
func (s *Server) answer(q Query) (sort, body string) {
	if text, ok := s.opts.Texts[strings.ToLower(q.Target)]; ok {
		return "text", crlf(text)
	}
	var b bytes.Buffer
	n, r := s.lookup(q.Target)
	switch {
	case n != nil:
		s.opts.Style.network(&b, *n)
		sort = "network"
	case r != nil:
		s.opts.Style.referral(&b, *r)
		sort = "referral"
	default:
		s.opts.Style.noMatch(&b, q.Target)
		sort = "nomatch"
	}
	return sort, crlf(b.String())
}

// lookup finds the most specific network, or referral, that holds the whole of target.
func (s *Server) lookup(target string) (*Network, *Referral) {
	p, err := netip.ParsePrefix(target)
	if err != nil {
		a, err := netip.ParseAddr(target)
		if err != nil {
			return nil, nil
		}
		p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
	}
	holds := func(outer netip.Prefix) bool { return outer.Bits() <= p.Bits() && outer.Contains(p.Addr()) }
	var n *Network
	best := -1
	for i := range s.opts.Networks {
		if c := &s.opts.Networks[i]; holds(c.Prefix) && c.Prefix.Bits() > best {
			n, best = c, c.Prefix.Bits()
		}
	}
	var r *Referral
	for i := range s.opts.Referrals {
		if c := &s.opts.Referrals[i]; holds(c.Prefix) && c.Prefix.Bits() > best {
			n, r, best = nil, c, c.Prefix.Bits()
		}
	}
	return n, r
}

// crlf gives text the line ends that RFC 3912 asks for.
func crlf(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return strings.ReplaceAll(text, "\n", "\r\n")
}
