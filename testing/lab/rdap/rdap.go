// Package rdap is a registry's RDAP service for the lab: queries by RFC 9082, answers by RFC 9083 over HTTP by RFC 7480. It knows
// networks and domains, can play the bootstrap server that redirects to the registry in charge, and limits the rate of queries. Other
// faults are those of httpsim.
package rdap

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
)

// Network is what the registry knows of an address range.
type Network struct {
	Prefix    netip.Prefix `json:"prefix"`
	Handle    string       `json:"handle"`
	Name      string       `json:"name"`
	Org       string       `json:"org"`
	Country   string       `json:"country"` // ISO 3166-1 alpha-2
	AbuseMail string       `json:"abuse_mail"`
	Phone     string       `json:"phone"` // of the abuse desk, E.164
	ASN       uint32       `json:"asn"`   // 0: none
	Created   time.Time    `json:"created"`
	Updated   time.Time    `json:"updated"`
}

// Domain is what the registry knows of a domain.
type Domain struct {
	Name        string    `json:"name"` // ASCII
	Handle      string    `json:"handle"`
	Registrar   string    `json:"registrar"`
	AbuseMail   string    `json:"abuse_mail"` // of the registrar
	Nameservers []string  `json:"nameservers"`
	Status      []string  `json:"status"` // RFC 8056; "active" if empty
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Expires     time.Time `json:"expires"`
}

// Redirect sends queries for a prefix to the registry in charge, as a bootstrap server does (RFC 7484, RFC 7480 section 5.2).
type Redirect struct {
	Prefix netip.Prefix `json:"prefix"`
	// Base of the registry's addresses: "http://127.0.0.1:4711", or RegistryPath of this very server.
	Base string `json:"base"`
}

// RegistryPath is where a server that redirects is a registry itself, and redirects no more.
const RegistryPath = "/registry"

// Options of a server.
type Options struct {
	Addr      string // "" is 127.0.0.1 and any port
	Networks  []Network
	Domains   []Domain
	Redirects []Redirect // asked before Networks; the most specific prefix wins
	// NestAbuse puts the abuse contact inside the registrant, as ARIN does, not beside it, as RIPE does.
	NestAbuse bool
	PerMinute int              // queries in a minute of the clock, then 429 with Retry-After; 0 is no limit
	Now       func() time.Time // time.Now if nil
}

// State is what Server.State gives.
type State struct {
	Answered   int `json:"answered"`   // with an object
	NotFound   int `json:"not_found"`  // 404
	Redirected int `json:"redirected"` // 302
	Limited    int `json:"limited"`    // 429
}

// Server answers until it is closed. Its other methods are those of httpsim.Server: URL, Close, State, Reset, Control, Fail, Calls …
type Server struct {
	*httpsim.Server
	opts Options

	mu        sync.Mutex
	state     State
	redirects []Redirect
	perMinute int
	minute    int64 // since 1970, that asked counts
	asked     int
}

// Start serves opts.
func Start(opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{opts: opts, redirects: opts.Redirects, perMinute: opts.PerMinute}
	var err error
	s.Server, err = httpsim.Start(httpsim.Config{Addr: opts.Addr, Now: opts.Now, Handler: s.routes(), Reset: s.forget,
		State: func() any { s.mu.Lock(); defer s.mu.Unlock(); return s.state }})
	if err != nil {
		return nil, fmt.Errorf("rdap: %w", err)
	}
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return strings.TrimPrefix(s.URL(), "http://") }

// SetRedirects replaces Options.Redirects until Reset.
func (s *Server) SetRedirects(r ...Redirect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redirects = r
}

// SetPerMinute changes the limit until Reset; 0 is none.
func (s *Server) SetPerMinute(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.perMinute, s.asked = n, 0
}

func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.redirects, s.perMinute, s.asked = State{}, s.opts.Redirects, s.opts.PerMinute, 0
}

// routes serves every kind of query at the root and below RegistryPath.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, base := range []string{"", RegistryPath} {
		ip := func(w http.ResponseWriter, r *http.Request) { s.ip(w, r, base == "") }
		mux.HandleFunc("GET "+base+"/ip/{addr}", ip)
		mux.HandleFunc("GET "+base+"/ip/{addr}/{bits}", ip)
		mux.HandleFunc("GET "+base+"/domain/{name}", s.domain)
		mux.HandleFunc("GET "+base+"/help", s.help)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotImplemented, "This lab answers GET of /ip/…, /domain/… and /help.")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*") // RFC 7480, section 5.6
		if wait := s.limit(); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(wait))
			fail(w, http.StatusTooManyRequests, "Too many queries; try again later.")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// limit counts a query and gives the seconds to wait if it is one too many.
func (s *Server) limit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now().Unix()
	if now/60 != s.minute {
		s.minute, s.asked = now/60, 0
	}
	if s.asked++; s.perMinute == 0 || s.asked <= s.perMinute {
		return 0
	}
	s.state.Limited++
	return int(60 - now%60)
}

func (s *Server) count(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

func (s *Server) ip(w http.ResponseWriter, r *http.Request, mayRedirect bool) {
	p, err := target(r.PathValue("addr"), r.PathValue("bits"))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	if mayRedirect {
		if base, ok := s.redirect(p); ok {
			s.count(&s.state.Redirected)
			http.Redirect(w, r, strings.TrimSuffix(base, "/")+r.URL.EscapedPath(), http.StatusFound)
			return
		}
	}
	var found *Network
	for i := range s.opts.Networks {
		if n := &s.opts.Networks[i]; holds(n.Prefix, p) && (found == nil || n.Prefix.Bits() > found.Prefix.Bits()) {
			found = n
		}
	}
	if found == nil {
		s.count(&s.state.NotFound)
		fail(w, http.StatusNotFound, "No network holds "+p.String()+".")
		return
	}
	s.count(&s.state.Answered)
	write(w, http.StatusOK, found.object(s.self(r), s.opts.NestAbuse))
}

func (s *Server) redirect(p netip.Prefix) (base string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	best := -1
	for _, r := range s.redirects {
		if holds(r.Prefix, p) && r.Prefix.Bits() > best {
			base, best = r.Base, r.Prefix.Bits()
		}
	}
	return base, best >= 0
}

func (s *Server) domain(w http.ResponseWriter, r *http.Request) {
	name := strings.ToLower(strings.TrimSuffix(r.PathValue("name"), "."))
	if name == "" || len(name) > 253 || strings.ContainsAny(name, " /@:") {
		fail(w, http.StatusBadRequest, "Not a domain name.")
		return
	}
	for _, d := range s.opts.Domains {
		if strings.EqualFold(d.Name, name) {
			s.count(&s.state.Answered)
			write(w, http.StatusOK, d.object(s.self(r)))
			return
		}
	}
	s.count(&s.state.NotFound)
	fail(w, http.StatusNotFound, "No such domain: "+name+".")
}

func (s *Server) help(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, object{"rdapConformance": conformance(), "notices": []object{
		{"title": "Lab RDAP", "description": []string{"The data is fictional.", "Queries: /ip/{address}[/{length}], /domain/{name}."}}}})
}

// self is the address of the answer.
func (s *Server) self(r *http.Request) string { return s.URL() + r.URL.EscapedPath() }

// target reads an address, or the prefix that address and length make.
func target(addr, bits string) (netip.Prefix, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, errors.New("Not an IP address: " + strconv.Quote(addr) + ".")
	}
	a = a.Unmap()
	n := a.BitLen()
	if bits != "" {
		if n, err = strconv.Atoi(bits); err != nil || n < 0 || n > a.BitLen() {
			return netip.Prefix{}, errors.New("Not a prefix length: " + strconv.Quote(bits) + ".")
		}
	}
	return netip.PrefixFrom(a, n), nil
}

func holds(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// fail answers an error by RFC 9083, section 6.
func fail(w http.ResponseWriter, status int, why string) {
	write(w, status, object{"rdapConformance": conformance(), "errorCode": status, "title": http.StatusText(status), "description": []string{why}})
}

func write(w http.ResponseWriter, status int, o object) {
	w.Header().Set("Content-Type", "application/rdap+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(o) // the client may have left
}
