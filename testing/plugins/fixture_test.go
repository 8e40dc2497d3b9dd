package plugins_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/testing/lab/httpsim"
)

// bench is the one host of all tests: what takes time, compiling plugins, is done once for each.
type bench struct {
	folder   string
	services *hostcall.Services
	host     *host.Host
	second   *host.Host // runs every plugin in a process of its own, where all must be the same

	mu      sync.Mutex
	bundles map[string]*bundle.Bundle
}

var shared *bench

func TestMain(m *testing.M) {
	host.WorkerMain()
	code, err := runAll(m)
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "plugins-test-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	shared = &bench{folder: folder, bundles: map[string]*bundle.Bundle{}}
	shared.services = hostcall.NewServices(hostcall.ServicesOptions{
		Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Secrets: vault{},
	})
	defer shared.services.Close()
	o := host.Options{CacheDir: filepath.Join(folder, "cache"), Services: shared.services, Timeout: 2 * time.Minute, Worker: host.Self()}
	if shared.host, err = host.New(o); err != nil {
		return 0, err
	}
	o.Isolate = func(*bundle.Bundle) bool { return true }
	if shared.second, err = host.New(o); err != nil {
		return 0, err
	}
	code = m.Run()
	return code, errors.Join(shared.host.Close(), shared.second.Close())
}

// vault gives for "env:X" the secret that X is in hexadecimal digits.
type vault struct{}

func (vault) Resolve(_ context.Context, ref secret.Ref) (secret.Secret, error) {
	value, err := hex.DecodeString(strings.TrimPrefix(string(ref), "env:"))
	return secret.New(string(value), "1"), err
}

// secretSetting is a setting that refers to a secret of this value.
func secretSetting(value string) map[string]string {
	return map[string]string{"secret": "env:" + hex.EncodeToString([]byte(value))}
}

// plugin builds and installs a plugin of the repository.
func (b *bench) plugin(t *testing.T, name string) *bundle.Bundle {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	key := languageOf(t) + "/" + name
	if found, ok := b.bundles[key]; ok {
		return found
	}
	made := inOtherLanguage(t, name)
	if made == nil {
		made = b.shipped(t, name)
	}
	for _, h := range []*host.Host{b.host, b.second} {
		if err := h.Install(t.Context(), made); err != nil {
			t.Fatal(err)
		}
	}
	b.bundles[key] = made
	return made
}

// shipped builds a plugin that we ship.
func (b *bench) shipped(t *testing.T, name string) *bundle.Bundle {
	t.Helper()
	c := exec.Command("go", "run", "./plugins/build", "-o", filepath.Join(b.folder, "dist"), name)
	c.Dir = "../.."
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	made, err := bundle.OpenFile(filepath.Join(b.folder, "dist", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// connector is a plugin with settings; everything that it asks for is granted, in the way of grant where that names it.
type connector struct {
	t        *testing.T
	bundle   *bundle.Bundle
	settings map[string]any
	grant    capability.Grant
	timeout  time.Duration
}

func connect(t *testing.T, plugin string, settings map[string]any) *connector {
	c := &connector{t: t, bundle: shared.plugin(t, plugin), settings: settings, grant: capability.Grant{}}
	for _, r := range c.bundle.Manifest.Requires {
		c.grant[r.ID] = capability.Narrowing{}
	}
	if fault := c.bundle.CheckSettings(c.json(settings)); fault != nil {
		t.Fatal(fault)
	}
	return c
}

func (c *connector) json(v any) json.RawMessage {
	c.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}

// now is the time of all invocations.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// run calls an action. Whatever comes of it must not hold a secret, must keep the action's schema, and must come out the same from the tape.
func (c *connector) run(action string, parameters any) host.Outcome {
	c.t.Helper()
	log := &tape.Memory{}
	in := host.Invocation{ID: "inv-1", Key: "key-" + c.t.Name(), Bundle: c.bundle, Action: action, Parameters: c.json(parameters),
		Settings: c.json(c.settings), Grant: c.grant, Timeout: c.timeout, Now: now(), Tape: log}
	out, err := shared.host.Run(c.t.Context(), in)
	if err != nil {
		c.t.Fatal(err)
	}
	c.checkSecrets(out, log)
	if out.Fault == nil {
		if fault := c.bundle.CheckResult(action, out.Output); fault != nil {
			c.t.Errorf("%s gave %s: %v", action, out.Output, fault)
		}
	}
	c.replays(log.Entries(), out)
	return out
}

// replays executes an invocation again from its tape: calls, result or fault, logs, emissions and fuel must be the same. Nothing can be compared
// where the guest never ran, or was stopped from outside.
func (c *connector) replays(entries []tape.Entry, was host.Outcome) {
	c.t.Helper()
	o := tape.OutcomeOf(entries)
	if o == nil && was.Stats.Fuel == 0 || o != nil && o.Cut {
		return
	}
	replay := tape.NewReplay(entries, tape.Exact)
	again, err := shared.second.Run(c.t.Context(), host.Invocation{Bundle: c.bundle, Tape: replay})
	if err != nil {
		c.t.Fatal(err)
	}
	if is := tape.OutcomeOf(replay.Played()); !reflect.DeepEqual(o, is) || string(again.Output) != string(was.Output) {
		c.t.Errorf("the replay gave %s and %+v, not %s and %+v", again.Output, is, was.Output, o)
	}
	if found := replay.Compare(); !found.Same() {
		c.t.Errorf("the replay differs:\n%s", found)
	}
}

func (c *connector) checkSecrets(out host.Outcome, log *tape.Memory) {
	c.t.Helper()
	text := string(c.json(out)) + string(c.json(log.Entries()))
	for name, v := range c.settings {
		ref, ok := v.(map[string]string)
		if !ok {
			continue
		}
		value, err := vault{}.Resolve(c.t.Context(), secret.Ref(ref["secret"]))
		if err != nil {
			c.t.Fatal(err)
		}
		if at := strings.Index(text, value.Reveal()); at >= 0 {
			c.t.Errorf("the secret %s is in the outcome or on the tape, behind %s", name, text[max(at-200, 0):at])
		}
	}
}

// must calls an action that succeeds, and decodes its output.
func must[R any](c *connector, action string, parameters any) R {
	c.t.Helper()
	var r R
	out := c.run(action, parameters)
	if out.Fault != nil {
		c.t.Fatalf("%s: %v %v %v", action, out.Fault, out.Logs, out.Stack)
	}
	if err := json.Unmarshal(out.Output, &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// fails calls an action that ends with a fault of this kind.
func fails(c *connector, action string, parameters any, kind abi.Kind) *abi.Fault {
	c.t.Helper()
	out := c.run(action, parameters)
	if out.Fault == nil || out.Fault.Kind != kind {
		c.t.Fatalf("%s: got %s %v, want a fault of kind %s", action, out.Output, out.Fault, kind)
	}
	return out.Fault
}

// simulator is a vendor over HTTP.
type simulator interface {
	Fail(httpsim.Fault) error
	Clear()
	Close() error
}

// closing closes a server at the end of the test.
func closing(t *testing.T, s interface{ Close() error }) {
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// httpFaults goes through what a vendor can do wrong; match is a prefix of the path.
func httpFaults(t *testing.T, s simulator, match string, call func(timeout time.Duration) *abi.Fault) {
	for _, test := range []struct {
		name  string
		fault httpsim.Fault
		kind  abi.Kind
		after int64
	}{
		{"401", httpsim.Fault{Status: 401, Body: "go away"}, abi.Unauthorized, 0},
		{"429", httpsim.Fault{Status: 429, RetryAfter: 7}, abi.RateLimited, 7000},
		{"500", httpsim.Fault{Status: 500, Body: "<html>oops</html>"}, abi.Unavailable, 0},
		{"503 with Retry-After", httpsim.Fault{Status: 503, RetryAfter: 3}, abi.Unavailable, 3000},
		{"hang", httpsim.Fault{Hang: true}, abi.Timeout, 0},
		{"drop", httpsim.Fault{Drop: true}, abi.Unavailable, 0},
		{"half a body", httpsim.Fault{Truncate: true}, abi.Unavailable, 0},
		{"garbage", httpsim.Fault{Status: 200, Body: "<!DOCTYPE html><html>\x00\xff"}, abi.Unavailable, 0},
		{"nothing", httpsim.Fault{Status: 204}, "", 0},
		{"too much", httpsim.Fault{Huge: 16 << 20}, abi.TooLarge, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.fault.Match = match
			if err := s.Fail(test.fault); err != nil {
				t.Fatal(err)
			}
			defer s.Clear()
			timeout := time.Minute
			if test.fault.Hang {
				timeout = 300 * time.Millisecond
			}
			fault := call(timeout)
			if test.kind == "" { // any fault, but no crash
				if fault != nil && (fault.Kind == abi.Trap || fault.Kind == abi.Internal) {
					t.Errorf("got %v", fault)
				}
				return
			}
			if fault == nil || fault.Kind != test.kind || fault.RetryAfter != test.after {
				t.Errorf("got %+v, want kind %s, retry after %d ms", fault, test.kind, test.after)
			}
		})
	}
}
