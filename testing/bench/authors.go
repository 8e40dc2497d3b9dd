package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/testing/harness"
)

// What all plugins and programs of this measurement do: they ask a service for an address, and say what it knows.
const (
	serviceToken = "token-of-the-bench"
	address      = "203.0.113.66"
	reason       = "scans ports"
)

// newService is the service, on this machine.
func newService() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+serviceToken || r.URL.Path != "/v1/addresses/"+address {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"listed": true, "reason": "`+reason+`"}`)
	}))
}

// oneToken is the secret of every connector.
type oneToken struct{}

// Resolve implements secret.Resolver.
func (oneToken) Resolve(context.Context, secret.Ref) (secret.Secret, error) {
	return secret.New(serviceToken, "1"), nil
}

// wantedCalls is what a call with a fresh state and one host call may take, by language, where that is laid down.
func wantedCalls() map[string]time.Duration {
	return map[string]time.Duration{"rust": 200 * time.Microsecond, "c": 200 * time.Microsecond, "js": 2 * time.Millisecond, "python": 5 * time.Millisecond}
}

// workshop is where the plugins of this measurement are made and called.
type workshop struct {
	binary  string
	dir     string // of this run
	service *httptest.Server
	harness *harness.Harness
	here    *host.Host // runs plugins in this process
	apart   *host.Host // runs each plugin in a worker
}

func openWorkshop(binary, dir string) (w *workshop, err error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(user, "riposte", "trials")
	// Every new plugin in Rust needs the same crates: cargo compiles them once, as for the tests.
	if err := os.Setenv("CARGO_TARGET_DIR", filepath.Join(user, "riposte", "testing", "cargo")); err != nil {
		return nil, err
	}
	w = &workshop{binary: binary, dir: dir, service: newService()}
	services := hostcall.NewServices(hostcall.ServicesOptions{Secrets: oneToken{}, Network: capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	w.harness, err = harness.Open(harness.Options{CacheDir: cache})
	if err == nil {
		w.here, err = host.New(host.Options{CacheDir: cache, Services: services})
	}
	if err == nil {
		w.apart, err = host.New(host.Options{CacheDir: cache, Services: services, Worker: host.Self(), Isolate: func(*bundle.Bundle) bool { return true }})
	}
	return w, err
}

func (w *workshop) close() error {
	w.service.Close()
	return errors.Join(w.apart.Close(), w.here.Close(), w.harness.Close())
}

// authors measures what matters to those who write plugins: calls in each language against programs that are started for each call, suites of
// cases, and the time from a save to its report.
func authors(ctx context.Context, binary, dir string) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	w, err := openWorkshop(binary, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var dearest time.Duration
	for _, l := range author.Languages() {
		if err := l.Missing(); err != nil {
			row(l.Title+" plugins", "NOT MEASURED", err.Error())
			continue
		}
		took, err := w.calls(ctx, l)
		if err != nil {
			return fmt.Errorf("calls in %s: %w", l.Title, err)
		}
		dearest = max(dearest, took)
	}
	if err := w.shell(ctx, dearest); err != nil {
		return err
	}
	for _, s := range []struct {
		lang        string
		suite, save time.Duration
	}{{"rust", 3 * time.Second, time.Second}, {"c", 0, time.Second}, {"go", 6 * time.Second, 3 * time.Second}} {
		l, err := author.Find(s.lang)
		if err != nil {
			return err
		}
		if l.Missing() != nil {
			continue // which is said above
		}
		if s.suite > 0 {
			if err := w.suite(ctx, l, s.suite); err != nil {
				return fmt.Errorf("a suite of cases in %s: %w", l.Title, err)
			}
		}
		if err := w.saves(ctx, l, s.save); err != nil {
			return fmt.Errorf("plugin test --watch in %s: %w", l.Title, err)
		}
	}
	return nil
}

// project makes the folder of a new plugin, as `riposte plugin new` does.
func (w *workshop) project(l author.Language, name string) (dir string, err error) {
	dir = filepath.Join(w.dir, l.Name+"-"+name)
	_, err = author.New(dir, name, l)
	return dir, err
}

// calls measures the calls of a plugin in a language, and gives the median of one over HTTP.
func (w *workshop) calls(ctx context.Context, l author.Language) (time.Duration, error) {
	dir, err := w.project(l, "calls")
	if err != nil {
		return 0, err
	}
	p, err := author.Build(ctx, dir, author.Options{Bare: true})
	if err != nil {
		return 0, err
	}
	cases, err := harness.Load(filepath.Join(dir, harness.CasesFolder), "look-up", p.Bundle)
	if err != nil || len(cases) != 1 {
		return 0, fmt.Errorf("%d cases: %w", len(cases), err)
	}
	list, failed, err := w.harness.Bench(ctx, p.Bundle, cases, 500, nil)
	if err != nil || len(failed) > 0 {
		return 0, fmt.Errorf("%d cases failed: %w", len(failed), err)
	}
	note := fmt.Sprintf("%s CPU", ms(list[0].CPU))
	if wanted := wantedCalls()[l.Name]; wanted > 0 {
		note += "; wanted: under " + ms(wanted)
	}
	row(l.Title+": a call with a fresh state and one host call", ms(list[0].Wall), note)
	return w.overHTTP(ctx, l, p.Bundle)
}

// overHTTP compares the call, over HTTP, with a program that is started for it.
func (w *workshop) overHTTP(ctx context.Context, l author.Language, b *bundle.Bundle) (time.Duration, error) {
	what := l.Title + ": the same over HTTP to this machine"
	here, err := w.caller(ctx, w.here, b)
	if err != nil {
		return 0, err
	}
	apart, err := w.caller(ctx, w.apart, b)
	if err != nil {
		return 0, fmt.Errorf("in a worker: %w", err)
	}
	command, missing, err := w.native(ctx, l.Name)
	if err != nil {
		return 0, err
	}
	if missing != "" {
		took, err := medians(20, here, apart)
		if err != nil {
			return 0, err
		}
		row(what, ms(took[0]), fmt.Sprintf("in a worker %s; against a native program NOT MEASURED: %s", ms(took[1]), missing))
		return took[1], nil
	}
	took, err := medians(20, here, apart, w.fork(ctx, command))
	if err != nil {
		return 0, err
	}
	row(what, ms(took[0]), fmt.Sprintf("in a worker %s; to start %s: %s, %.1f × and %.1f × that; wanted: more than 1", ms(took[1]), command.name, ms(took[2]),
		float64(took[2])/float64(took[0]), float64(took[2])/float64(took[1])))
	return took[1], nil
}

// caller gives a call of the plugin that goes out, which has been made once.
func (w *workshop) caller(ctx context.Context, h *host.Host, b *bundle.Bundle) (func() error, error) {
	if err := h.Install(ctx, b); err != nil {
		return nil, err
	}
	in := host.Invocation{ID: "bench", Key: "bench", Bundle: b, Action: "look-up", Grant: capability.Grant{"service": {}}, Now: time.Now(),
		Parameters: json.RawMessage(`{"ip": "` + address + `"}`), Settings: json.RawMessage(`{"url": "` + w.service.URL + `", "token": {"secret": "env:TOKEN"}}`)}
	call := func() error {
		in.Tape = &tape.Memory{}
		out, err := h.Run(ctx, in)
		switch {
		case err != nil:
			return err
		case out.Fault != nil:
			return out.Fault
		}
		return told(out.Output)
	}
	return call, call()
}

// told says whether an answer is the right one.
func told(answer []byte) error {
	if !strings.Contains(string(answer), reason) {
		return fmt.Errorf("an answer does not tell %q: %q", reason, answer)
	}
	return nil
}

// medians gives the median time of each act. They take turns, so that what disturbs one disturbs the others.
func medians(times int, acts ...func() error) ([]time.Duration, error) {
	took := make([][]time.Duration, len(acts))
	for range times {
		for i, act := range acts {
			began := time.Now()
			if err := act(); err != nil {
				return nil, err
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	middle := make([]time.Duration, len(acts))
	for i := range took {
		slices.Sort(took[i])
		middle[i] = took[i][times/2]
	}
	return middle, nil
}
