package hostcall

import (
	"context"
	"encoding/json"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vault is a Resolver of secrets for tests.
type vault map[secret.Ref]string

func (v vault) Resolve(_ context.Context, ref secret.Ref) (secret.Secret, error) {
	value, ok := v[ref]
	if !ok {
		return secret.Secret{}, abi.NewFault(abi.NotFound, "no secret "+string(ref), "")
	}
	return secret.New(value, "1"), nil
}

// loopback allows what the tests listen on.
func loopback() capability.Network {
	return capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

// bench is everything around a session.
type bench struct {
	t        *testing.T
	services ServicesOptions
	manifest abi.Manifest
	settings string
	grant    capability.Grant
	tape     tape.Log
	max      int
	svc      *Services
}

// newBench makes a plugin with one action "act" that may do anything and uses the given requirements, each granted as asked.
func newBench(t *testing.T, requires ...abi.Requirement) *bench {
	b := &bench{t: t, settings: "{}", grant: capability.Grant{}, tape: &tape.Memory{}}
	b.services.Network = loopback()
	action := abi.Action{Kind: abi.Contain, Effect: abi.Unsafe}
	for _, r := range requires {
		b.grant[r.ID] = capability.Narrowing{}
		action.Uses = append(action.Uses, r.ID)
	}
	b.manifest = abi.Manifest{Plugin: "trial", Requires: requires, Actions: map[string]abi.Action{"act": action}}
	return b
}

func (b *bench) session() *Session {
	b.t.Helper()
	s, fault := b.try()
	if fault != nil {
		b.t.Fatalf("no session: %v", fault)
	}
	return s
}

func (b *bench) try() (*Session, *abi.Fault) {
	if b.svc == nil {
		b.svc = NewServices(b.services)
		b.t.Cleanup(b.svc.Close)
	}
	return NewSession(SessionOptions{ID: "inv-1", Key: "key-1", Manifest: &b.manifest, Action: "act", Settings: json.RawMessage(b.settings),
		Grant: b.grant, Services: b.svc, Tape: b.tape, MaxCalls: b.max})
}

// call makes a host call and gives value and fault.
func call[T any](t *testing.T, s *Session, fn string, request any) (T, *abi.Fault) {
	t.Helper()
	return callContext[T](t, t.Context(), s, fn, request)
}

func callContext[T any](t *testing.T, ctx context.Context, s *Session, fn string, request any) (T, *abi.Fault) {
	t.Helper()
	document, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var value T
	var r abi.Reply
	answer := s.Call(ctx, fn, document)
	if err := json.Unmarshal(answer, &r); err != nil {
		t.Fatalf("the reply is no abi.Reply: %v in %s", err, answer)
	}
	if r.Value != nil {
		if err := json.Unmarshal(r.Value, &value); err != nil {
			t.Fatalf("the value is no %T: %s", value, r.Value)
		}
	}
	return value, r.Fault
}
