// Package dnssim is a DNS resolver for the lab, over UDP and TCP on one port: it knows the records it was given, says NXDOMAIN to the
// rest, truncates what does not fit (RFC 1035, RFC 6891), and on demand fails, lies about its ID, or keeps silent.
package dnssim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/riposte-soar/riposte/testing/lab/rig"
)

// Record is one resource record. Value is in the presentation format of RFC 1035, as in a zone file: an address, a name, "10 mail.corp.test."
// for MX; for TXT the plain text, without quotes. Names need no dot at their end, those in Value neither.
type Record struct {
	Name  string `json:"name"`
	Type  string `json:"type"` // A, AAAA, PTR, MX, TXT, CNAME, NS …
	Value string `json:"value"`
	TTL   uint32 `json:"ttl,omitempty"` // seconds; 0 is 300
}

// Reverse gives the PTR record of an address: Reverse("203.0.113.66", "c2.bad.example").
func Reverse(addr netip.Addr, name string) Record {
	arpa, _ := dns.ReverseAddr(addr.String()) // an address is always reversible
	return Record{Name: arpa, Type: "PTR", Value: name}
}

// Options of a server.
type Options struct {
	Addr    string // "" is 127.0.0.1 and any port, the same for UDP and TCP
	Records []Record
	Now     func() time.Time // time.Now if nil; used for the log only
	Keep    int              // how many queries the log keeps; 0 is rig.DefaultKeep
}

// Seen is one query.
type Seen struct {
	Time    time.Time `json:"time"`
	Net     string    `json:"net"`  // udp or tcp
	Name    string    `json:"name"` // lower case, no dot at its end
	Type    string    `json:"type"`
	Rcode   string    `json:"rcode,omitempty"` // NOERROR, NXDOMAIN …; "" if nothing was answered
	Answers int       `json:"answers"`
	TC      bool      `json:"truncated,omitempty"`
	Fault   FaultKind `json:"fault,omitempty"`
}

// State is what the control page shows.
type State struct {
	Addr    string             `json:"addr"`
	Total   int                `json:"total"`
	Queries []Seen             `json:"queries"`
	Faults  []rig.Armed[Fault] `json:"faults"`
}

// Server answers until it is closed.
type Server struct {
	opts    Options
	addr    string
	records map[string][]dns.RR // by lower-case FQDN; an empty list for names that only have names below them
	log     rig.Log[Seen]
	faults  rig.Faults[Fault]

	ctx     context.Context
	cancel  context.CancelFunc
	servers []*dns.Server
	wg      sync.WaitGroup
	closing sync.Once
	err     error // of closing
}

// Start serves opts; a record that is not understood is an error that names it.
func Start(opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{opts: opts, records: make(map[string][]dns.RR)}
	s.log.Keep(opts.Keep)
	for i, r := range opts.Records {
		if err := s.add(r); err != nil {
			return nil, fmt.Errorf("dns: record %d (%s %s %q): %w", i, r.Name, r.Type, r.Value, err)
		}
	}
	ln, pc, err := listen(cmp.Or(opts.Addr, rig.AnyPort))
	if err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	s.addr = ln.Addr().String()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.run(&dns.Server{Listener: ln})
	s.run(&dns.Server{PacketConn: pc})
	return s, nil
}

// listen takes one port for both protocols; with port 0 it tries until a port is free in both.
func listen(addr string) (net.Listener, net.PacketConn, error) {
	var last error
	for range 20 {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		pc, err := net.ListenPacket("udp", ln.Addr().String())
		if err == nil {
			return ln, pc, nil
		}
		_ = ln.Close()
		last = err
	}
	return nil, nil, last
}

// run starts srv and returns when it accepts queries.
func (s *Server) run(srv *dns.Server) {
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	srv.Handler = dns.HandlerFunc(s.handle)
	s.servers = append(s.servers, srv)
	s.wg.Go(func() { _ = srv.ActivateAndServe() }) // ends when the server is shut down
	<-started
}

// Addr is host:port, for UDP and TCP.
func (s *Server) Addr() string { return s.addr }

// Close stops both listeners and waits for all that is under way.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.cancel()
		for _, srv := range s.servers {
			s.err = errors.Join(s.err, srv.Shutdown())
		}
		s.wg.Wait()
	})
	return s.err
}

// Queries gives what was asked, oldest first.
func (s *Server) Queries() []Seen { return s.log.All() }

// Wait returns when n queries were asked since the last Reset, or with ctx's error.
func (s *Server) Wait(ctx context.Context, n int) error { return s.log.Wait(ctx, n) }

// State gives a State.
func (s *Server) State() any { return State{s.addr, s.log.Total(), s.log.All(), s.faults.List()} }

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

// add parses r and makes its name, and all names above it, exist.
func (s *Server) add(r Record) error {
	name := dns.CanonicalName(r.Name)
	typ, ok := dns.StringToType[strings.ToUpper(r.Type)]
	if !ok {
		return fmt.Errorf("type: unknown; expected A, AAAA, PTR, MX, TXT, CNAME or another of RFC 1035")
	}
	var rr dns.RR
	if typ == dns.TypeTXT {
		rr = &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET}, Txt: chunks(r.Value)}
	} else {
		var err error
		// "$ORIGIN ." lets names go without the dot at their end.
		rr, err = dns.NewRR(fmt.Sprintf("$ORIGIN .\n%s IN %s %s", name, strings.ToUpper(r.Type), r.Value))
		if err != nil {
			return err
		}
		if rr == nil {
			return errors.New("value: empty")
		}
	}
	rr.Header().Ttl = cmp.Or(r.TTL, 300)
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if _, ok := s.records[name[off:]]; !ok {
			s.records[name[off:]] = nil
		}
	}
	s.records[name] = append(s.records[name], rr)
	return nil
}

// chunks cuts text into the strings of at most 255 bytes that a TXT record is made of.
func chunks(text string) []string {
	out := []string{}
	for len(text) > 255 {
		out = append(out, text[:255])
		text = text[255:]
	}
	return append(out, text)
}
