// Package hostcall is the one dispatcher of host functions: everything that a plugin can do to the world goes through Session.Call, which
// authorises, records, injects secrets, performs and redacts, in this order and for every function. There is one file for each kind.
package hostcall

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
	"weak"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/strict"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// KV keeps values between invocations, in name spaces that know nothing of each other.
type KV interface {
	// Get gives a value; ok is false if there is none, or its time is over.
	Get(namespace, key string) (value []byte, ok bool, err error)
	// Put keeps a value, for ever if ttl is 0. It gives an error in whose chain is ErrQuota, and changes nothing, if keys and values of the
	// name space would then take more than quota bytes.
	Put(namespace, key string, value []byte, ttl time.Duration, quota int64) error
	// Delete forgets a value; one that is not there is no error.
	Delete(namespace, key string) error
}

// ServicesOptions says what all sessions share.
type ServicesOptions struct {
	Network capability.Network
	Secrets secret.Resolver  // nil: there are no secrets
	KV      KV               // nil: kv is unavailable
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: discarded
	// Resolver looks up the names of destinations; nil is the system's.
	Resolver *net.Resolver
	// ResolvConf is the file that names the servers of dns.resolve where a capability names none; empty is /etc/resolv.conf.
	ResolvConf string
}

// Services are the long-lived parts behind all sessions: connections, pools and what was worked out about connectors. They may be used
// concurrently.
type Services struct {
	o        ServicesOptions
	requests strict.Reader
	pieces   pieces

	mu         sync.Mutex
	plans      map[planKey][]*plan // for each grant that was met
	plansHeld  int                 // in all
	transports map[transportKey]*http.Transport
	pools      map[poolKey]*pool
	closed     bool
}

// maxPlans bounds the cache of plans; when it is full it starts again.
const maxPlans = 4096

// NewServices makes them; Close ends them.
func NewServices(o ServicesOptions) *Services {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	return &Services{o: o, plans: map[planKey][]*plan{}, transports: map[transportKey]*http.Transport{}, pools: map[poolKey]*pool{}}
}

// Close ends idle connections and pools. Sessions must have ended.
func (s *Services) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
	for _, p := range s.pools {
		p.close()
	}
	clear(s.transports)
	clear(s.pools)
	clear(s.plans)
}

// dialer opens connections under the site's policy, which it applies to the address that is really dialled.
func (s *Services) dialer(named bool) *net.Dialer {
	return &net.Dialer{
		KeepAlive: 30 * time.Second,
		Resolver:  s.o.Resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return abi.NewFault(abi.Internal, "the address of a connection cannot be read", "")
			}
			if refusal := s.o.Network.Dial(to, named); refusal != nil {
				return refusal
			}
			return nil
		},
	}
}

// planKey is what a plan depends on, beside the grant. A manifest is taken for immutable: whoever changes one makes a new one. The plan does not keep it, since it is
// a part of its package, of which there is a new one for each build that is tried out.
type planKey struct {
	manifest weak.Pointer[abi.Manifest]
	action   string
	settings string
}

// planFor gives the plan of a connector and an action, worked out once.
func (s *Services) planFor(o SessionOptions) (*plan, *abi.Fault) {
	s.mu.Lock()
	p := s.planned(o)
	s.mu.Unlock()
	if p != nil {
		return p, nil
	}
	o.Grant = o.Grant.Clone() // whoever gave it may change it
	grant, err := json.Marshal(o.Grant)
	if err != nil {
		return nil, abi.NewFault(abi.Invalid, "the grant cannot be read: "+err.Error(), "")
	}
	p, fault := newPlan(o, s.o.Network)
	if fault != nil {
		return nil, fault
	}
	p.grant, p.settingsDigest, p.grantDigest = o.Grant, tape.Digest(o.Settings), tape.Digest(grant)
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.planned(o); other != nil {
		return other, nil
	}
	if s.plansHeld >= maxPlans {
		clear(s.plans)
		s.plansHeld = 0
	}
	key := planKey{weak.Make(o.Manifest), o.Action, string(o.Settings)}
	s.plans[key] = append(s.plans[key], p)
	s.plansHeld++
	return p, nil
}

// planned finds a plan that was worked out, or gives nil.
func (s *Services) planned(o SessionOptions) *plan {
	for _, p := range s.plans[planKey{weak.Make(o.Manifest), o.Action, string(o.Settings)}] {
		if p.grant.Equal(o.Grant) {
			return p
		}
	}
	return nil
}
