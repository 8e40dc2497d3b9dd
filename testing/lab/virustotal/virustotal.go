// Package virustotal simulates the part of the VirusTotal API v3 that looks things up: reports on addresses, domains and files,
// with the API key in a header, JSON errors and, on demand, the public API's quota of four lookups a minute.
//
// Sources: docs.virustotal.com/reference (overview, authentication, errors, ip-info, domain-info, file-info, and the objects
// ip-object, domains-object, files). The verdicts come from the world; private addresses get the report that VirusTotal has for
// them, tagged "private"; whatever else the world does not know is not found.
package virustotal

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// DefaultKey is the API key, unless Options say otherwise: 64 hexadecimal digits, as the real ones.
const DefaultKey = "7b1f0c62d95e48a3b6c4d1e87f2a90355c8e6d4b1a7f3902e6d8c5b4a3f21e07"

// PublicPerMinute is the quota of the public API, for Options.PerMinute.
const PublicPerMinute = 4

// Options of a simulated VirusTotal; the zero value is a good one.
type Options struct {
	Addr string           // where to listen; "" means 127.0.0.1:0
	Now  func() time.Time // the clock that quotas run by; nil means time.Now
	Key  string           // the API key; "" means DefaultKey
	// PerMinute is how many lookups the key may make in a minute of the clock; 0 means no quota.
	PerMinute int
}

// Server is a running VirusTotal.
type Server struct {
	*httpsim.Server
	world *world.World
	opts  Options

	mu      sync.Mutex
	minute  int64 // the minute since 1970 that used counts
	used    int
	lookups map[string]int
	refused int
}

// State is what Server.State gives.
type State struct {
	Lookups map[string]int `json:"lookups"` // by what was asked for, found or not
	Refused int            `json:"refused"` // lookups beyond the quota
}

// Start starts a VirusTotal that knows the world.
func Start(w *world.World, opts Options) (*Server, error) {
	opts.Key = cmp.Or(opts.Key, DefaultKey)
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

// SetPerMinute changes the quota; 0 means none.
func (s *Server) SetPerMinute(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.PerMinute = n
}

// Lookups says how often something was asked for.
func (s *Server) Lookups(of string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lookups[of]
}

func (s *Server) snapshot() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Lookups: maps.Clone(s.lookups), Refused: s.refused}
}

func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.minute, s.used, s.refused, s.lookups = 0, 0, 0, map[string]int{}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v3/ip_addresses/{id}", s.lookup(s.address))
	mux.HandleFunc("GET /api/v3/domains/{id}", s.lookup(s.domain))
	mux.HandleFunc("GET /api/v3/files/{id}", s.lookup(s.file))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &apiError{http.StatusNotFound, "NotFoundError", "Resource not found."})
	})
	return mux
}

// apiError is an error as VirusTotal answers it.
type apiError struct {
	status        int
	code, message string
}

// lookup authenticates, counts, and answers with the object that find gives.
func (s *Server) lookup(find func(id string) (*object, *apiError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		fault := s.admit(r)
		if fault != nil {
			writeError(w, fault)
			return
		}
		found, fault := find(r.PathValue("id"))
		if fault != nil {
			writeError(w, fault)
			return
		}
		found.Links = map[string]string{"self": s.URL() + "/api/v3/" + found.collection + "/" + found.ID}
		write(w, http.StatusOK, map[string]any{"data": found})
	}
}

func (s *Server) admit(r *http.Request) *apiError {
	switch r.Header.Get("x-apikey") {
	case "":
		return &apiError{http.StatusUnauthorized, "AuthenticationRequiredError", "X-Apikey header is missing"}
	case s.opts.Key:
	default:
		return &apiError{http.StatusUnauthorized, "WrongCredentialsError", "Wrong API key"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if minute := s.opts.Now().Unix() / 60; minute != s.minute {
		s.minute, s.used = minute, 0
	}
	if s.opts.PerMinute > 0 && s.used >= s.opts.PerMinute {
		s.refused++
		return &apiError{http.StatusTooManyRequests, "QuotaExceededError", "Quota exceeded"}
	}
	s.used++
	s.lookups[r.PathValue("id")]++
	return nil
}

func writeError(w http.ResponseWriter, e *apiError) {
	write(w, e.status, map[string]any{"error": map[string]string{"code": e.code, "message": e.message}})
}

func write(w http.ResponseWriter, status int, v any) {
	data, err := json.MarshalIndent(v, "", "    ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the asker may have gone
}
