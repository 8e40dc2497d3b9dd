// Package hackertarget simulates the plain-text tools of api.hackertarget.com: reverse DNS, WHOIS, geolocation, host search,
// reverse IP lookup and AS lookup. As with the real service nearly every error is status 200 with a line of text.
//
// Source: hackertarget.com/ip-tools and the pages of the single tools. Without a key the daily quota counts by client address;
// here all clients count as one.
package hackertarget

import (
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// FreePerDay is the quota of the free service, for Options.PerDay.
const FreePerDay = 50

// The lines that the service answers with when it cannot answer.
const (
	errQuota   = "API count exceeded - Increase Quota with Membership"
	errKey     = "error invalid key"
	errQuery   = "error check your api query"        // no q
	errSearch  = "error check your search parameter" // a q that is no address or name
	errWhois   = "error input invalid - enter IP or Hostname"
	errNoA     = "No DNS A records found"
	errNoPTR   = "no records found"
	errTooFast = "error too many requests per second" // with status 429
)

// Options of a simulated Hacker Target; the zero value is a good one.
type Options struct {
	Addr string           // where to listen; "" means 127.0.0.1:0
	Now  func() time.Time // the clock that quotas run by; nil means time.Now
	// Key is a member's key, to which no quota applies; "" means that every key is refused. A call without a key is free.
	Key string
	// PerDay is the quota of a day (UTC) for calls without a key; 0 means none.
	PerDay int
	// PerSecond is the rate limit for calls without a key, answered with status 429; 0 means none. The real one is 2.
	PerSecond int
}

// Server is a running Hacker Target.
type Server struct {
	*httpsim.Server
	world *world.World
	opts  Options

	mu      sync.Mutex
	day     int64 // days since 1970 that today counts
	today   int
	second  int64
	now     int // calls of the second
	lookups map[string]int
	refused int
}

// State is what Server.State gives.
type State struct {
	Lookups map[string]int `json:"lookups"` // by tool and query, such as "geoip 203.0.113.66"
	Today   int            `json:"today"`   // calls that count for the quota
	Refused int            `json:"refused"` // calls beyond quota or rate
}

// Start starts a Hacker Target that knows the world.
func Start(w *world.World, opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{world: w, opts: opts, lookups: map[string]int{}}
	var err error
	s.Server, err = httpsim.Start(httpsim.Config{Addr: opts.Addr, Now: opts.Now, Handler: s.routes(),
		State: func() any { return s.snapshot() }, Reset: s.forget})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// SetPerDay changes the daily quota; 0 means none.
func (s *Server) SetPerDay(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.PerDay = n
}

func (s *Server) snapshot() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Lookups: maps.Clone(s.lookups), Today: s.today, Refused: s.refused}
}

func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.day, s.today, s.second, s.now, s.refused, s.lookups = 0, 0, 0, 0, 0, map[string]int{}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for tool, look := range map[string]func(q string, asJSON bool) string{
		"reversedns": s.reverseDNS, "whois": s.whois, "geoip": s.geoIP, "hostsearch": s.hostSearch,
		"reverseiplookup": s.reverseIP, "aslookup": s.asLookup,
	} {
		mux.HandleFunc("/"+tool+"/{$}", s.tool(tool, look))
	}
	return mux
}

// tool answers one tool: q and apikey may come in the URL or in a form.
func (s *Server) tool(name string, look func(q string, asJSON bool) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			w.Header().Set("Allow", "GET, POST")
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		q, key := r.FormValue("q"), r.FormValue("apikey")
		status, refusal := s.admit(w.Header(), key, name+" "+q)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		switch {
		case refusal != "":
			_, _ = io.WriteString(w, refusal) // the asker may have gone
		case q == "":
			_, _ = io.WriteString(w, errQuery)
		default:
			_, _ = io.WriteString(w, look(q, r.FormValue("output") == "json"))
		}
	}
}

// admit applies key, rate and quota, and sets the headers that tell how much of the quota is used.
func (s *Server) admit(h http.Header, key, lookup string) (status int, refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key != "" {
		if key != s.opts.Key {
			return http.StatusOK, errKey
		}
		s.lookups[lookup]++
		return http.StatusOK, ""
	}
	now := s.opts.Now().Unix()
	if now/86400 != s.day {
		s.day, s.today = now/86400, 0
	}
	if now != s.second {
		s.second, s.now = now, 0
	}
	if s.now++; s.opts.PerSecond > 0 && s.now > s.opts.PerSecond {
		s.refused++
		return http.StatusTooManyRequests, errTooFast
	}
	if s.opts.PerDay > 0 {
		h.Set("X-API-Quota", strconv.Itoa(s.opts.PerDay))
		h.Set("X-API-Count", strconv.Itoa(min(s.today+1, s.opts.PerDay)))
		if s.today >= s.opts.PerDay {
			s.refused++
			return http.StatusOK, errQuota
		}
	}
	s.today++
	s.lookups[lookup]++
	return http.StatusOK, ""
}
