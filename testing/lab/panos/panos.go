// Package panos simulates the part of a Palo Alto Networks firewall that puts addresses on a block list: the XML API with API
// keys, the registration of tags on addresses (with timeouts that do expire), and the operational commands that show them. A
// dynamic address group and a policy rule are thought to stand behind the tag; as on the real firewall no commit is needed.
//
// Sources: Palo Alto Networks' "PAN-OS and Panorama API Guide" (docs.paloaltonetworks.com/ngfw/api), their XML API lab guide
// (api-lab.paloaltonetworks.com/registered-ip.html) and the vendor's own SDK pan-os-python for the shape of answers.
package panos

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// The credentials of the simulated firewall, unless Options say otherwise.
const (
	DefaultUser     = "riposte"
	DefaultPassword = "panos-lab-password"
	DefaultKey      = "LUFRPT1lab0panos0key0riposte=="
)

// Options of a simulated firewall; the zero value is a good one.
type Options struct {
	Addr string           // where to listen; "" means 127.0.0.1:0
	Now  func() time.Time // the clock that timeouts run by; nil means time.Now
	// Key is an API key that works from the start; "" means DefaultKey. More are had by type=keygen.
	Key string
	// User and Password are what keygen asks for; "" means the defaults.
	User, Password string
}

// Server is a running firewall.
type Server struct {
	*httpsim.Server
	opts Options
	now  func() time.Time

	mu    sync.Mutex
	keys  map[string]bool
	tags  map[mapping]*Registered
	count map[string]Count // by address
}

// mapping identifies a tag on an address.
type mapping struct{ vsys, ip, tag string }

// Registered is a tag on an address.
type Registered struct {
	IP         string    `json:"ip"`
	Tag        string    `json:"tag"`
	Vsys       string    `json:"vsys"`
	Persistent bool      `json:"persistent"`
	Timeout    int       `json:"timeout"`    // seconds; 0 means for ever
	Registered time.Time `json:"registered"` // when
	Expires    time.Time `json:"expires"`    // zero means never
}

// Count says how often an address was in register and unregister requests, those that changed nothing included; Changes counts
// the others. So a test can see a block that was sent twice.
type Count struct {
	Register   int `json:"register"`
	Unregister int `json:"unregister"`
	Changes    int `json:"changes"`
}

// State is what Server.State gives.
type State struct {
	Registered []Registered     `json:"registered"`
	Counts     map[string]Count `json:"counts"` // by address
}

// Start starts a firewall. It takes the world as all simulators do, but knows nothing of it: a new firewall blocks nobody.
func Start(_ *world.World, opts Options) (*Server, error) {
	opts.Key = cmp.Or(opts.Key, DefaultKey)
	opts.User = cmp.Or(opts.User, DefaultUser)
	opts.Password = cmp.Or(opts.Password, DefaultPassword)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Server{opts: opts, now: opts.Now}
	s.forget()
	var err error
	s.Server, err = httpsim.Start(httpsim.Config{Addr: opts.Addr, Now: opts.Now, Handler: s.routes(),
		State: func() any { return s.snapshot() }, Reset: s.forget})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = map[string]bool{s.opts.Key: true}
	s.tags = map[mapping]*Registered{}
	s.count = map[string]Count{}
}

// Blocked lists the tags that are in effect now, by address and tag.
func (s *Server) Blocked() []Registered { return s.snapshot().Registered }

// Has says whether an address has a tag now, in any virtual system.
func (s *Server) Has(ip, tag string) bool {
	return slices.ContainsFunc(s.Blocked(), func(r Registered) bool { return r.IP == ip && r.Tag == tag })
}

// Count gives how often requests named an address.
func (s *Server) Count(ip string) Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[ip]
}

func (s *Server) snapshot() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return State{Registered: s.live(), Counts: maps.Clone(s.count)}
}

// live drops what has expired and lists the rest; the caller holds the lock.
func (s *Server) live() []Registered {
	now := s.now()
	out := []Registered{}
	for id, r := range s.tags {
		if !r.Expires.IsZero() && !now.Before(r.Expires) {
			delete(s.tags, id)
			continue
		}
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Registered) int {
		return cmp.Or(cmp.Compare(a.IP, b.IP), cmp.Compare(a.Vsys, b.Vsys), cmp.Compare(a.Tag, b.Tag))
	})
	return out
}

// newKey makes an API key, which like the real one looks like base64.
func (s *Server) newKey() string {
	raw := make([]byte, 40)
	_, _ = rand.Read(raw) // never fails, see crypto/rand
	key := base64.StdEncoding.EncodeToString(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key] = true
	return key
}

func (s *Server) knows(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[key]
}
