// Package harness tests plugins. A case is a file beside the plugin: one call of an action, what the world answers, and what must come of it. The
// harness runs the packed plugin as a server does, in the sandbox, with the grant of the case, and reports everything that it saw.
//
//	h, err := harness.Open(harness.Options{CacheDir: dir})
//	cases, err := harness.Load("tests", "", plugin)
//	report, err := h.Run(ctx, plugin, cases, harness.Mode{}, nil)
//	err = harness.WriteTerminal(os.Stdout, report, harness.Style{})
package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Options of a harness.
type Options struct {
	// CacheDir keeps compiled modules.
	CacheDir string
	// Interpret is for a plugin that changes from run to run: it is there soon, but slow; see host.Options.
	Interpret bool
	// Live lets calls go out, to what Network permits, with secrets of the environment and of files.
	Live    bool
	Network capability.Network
	// Secrets are those of live calls; nil: the environment and files.
	Secrets secret.Resolver
}

// Harness runs cases. It may be used concurrently.
type Harness struct {
	host     *host.Host
	services *hostcall.Services
	spaces   *spaces
	live     bool
}

// Open makes a harness; Close frees it.
func Open(o Options) (*Harness, error) {
	h := &Harness{spaces: &spaces{named: map[string]*hostcall.MemoryKV{}}, live: o.Live}
	services := hostcall.ServicesOptions{Network: o.Network, KV: h.spaces}
	if o.Live {
		if services.Secrets = o.Secrets; o.Secrets == nil {
			sources, err := secret.NewSources(secret.SourcesOptions{})
			if err != nil {
				return nil, err
			}
			services.Secrets = sources
		}
	}
	h.services = hostcall.NewServices(services)
	var err error
	if h.host, err = host.New(host.Options{CacheDir: o.CacheDir, Services: h.services, Interpret: o.Interpret, Resident: 1}); err != nil {
		h.services.Close()
		return nil, err
	}
	return h, nil
}

// Close frees what the harness holds.
func (h *Harness) Close() error {
	err := h.host.Close()
	h.services.Close()
	return err
}

// Mode says how cases are run. The zero value answers from stubs and tapes, strictly.
type Mode struct {
	// Replay is tape.Strict (also if empty) or tape.Lenient.
	Replay tape.Mode
	// Record lets every case without stubs go out, and keeps its tape.
	Record bool
	// LiveAfter answers so many calls of a tape, and lets those behind them go out.
	LiveAfter int
	Fault     *Injection
	Crash     *Crash
	// Contract takes each case of an action with probe and inverse through the life of a containment, out in the world.
	Contract bool
	// Settings are for cases without settings that are recorded, and in place of those of every case with LiveAfter and Contract.
	Settings json.RawMessage
	Parallel int // cases at once; default: one for each processor
}

// Words tells the mode in words, "" for the usual one.
func (m Mode) Words() string {
	var words []string
	for _, w := range []struct {
		on   bool
		text string
	}{
		{m.Replay == tape.Lenient, "lenient replay"}, {m.Record, "recording"}, {m.LiveAfter > 0, fmt.Sprintf("live after call %d", m.LiveAfter)}, {m.Contract, "contract"},
	} {
		if w.on {
			words = append(words, w.text)
		}
	}
	if m.Fault != nil {
		words = append(words, "fault "+m.Fault.Kind+atCall(m.Fault.At))
	}
	if m.Crash != nil {
		words = append(words, "crash "+atCall(m.Crash.At)[1:]+", "+string(m.Crash.When))
	}
	return strings.Join(words, ", ")
}

func atCall(n int) string {
	if n == 0 {
		return " at each call"
	}
	return fmt.Sprintf(" at call %d", n)
}

// GoesOut says that calls go out into the world, for which the harness must be live.
func (m Mode) GoesOut() bool { return m.Record || m.LiveAfter > 0 || m.Contract }

// Progress is called after each case, one at a time, with how many are done.
type Progress func(done, total int, r *Result)

// Run runs cases side by side. An error says that nothing could be run.
func (h *Harness) Run(ctx context.Context, b *bundle.Bundle, cases []*Case, m Mode, progress Progress) (*Report, error) {
	if m.GoesOut() && !h.live {
		return nil, errors.New("harness: calls cannot go out of a harness that is not live")
	}
	began := time.Now()
	if err := h.host.Install(ctx, b); err != nil {
		return nil, err
	}
	report := &Report{Plugin: b.Manifest.Plugin, Version: b.Manifest.Version,
		Title: b.Manifest.Title, Digest: b.Digest, Mode: m.Words(), Started: began.UTC().Truncate(time.Second)}
	if !m.GoesOut() && len(cases) > 0 {
		r := &runner{h: h, bundle: b, c: cases[0]}
		r.call(ctx, r.first()) // the module comes into memory, so that the times of the cases are theirs
	}
	report.Setup = time.Since(began)
	all := make([][]*Result, len(cases))
	var mu sync.Mutex
	var wg sync.WaitGroup
	done := 0
	slots := make(chan struct{}, parallel(m))
	for i, c := range cases {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results := h.runCase(ctx, b, c, m)
			mu.Lock()
			defer mu.Unlock()
			all[i] = results
			if done++; progress != nil {
				for _, r := range results {
					progress(done, len(cases), r)
				}
			}
		})
	}
	wg.Wait()
	report.Results = slices.Concat(all...)
	report.Took = time.Since(began)
	if m.Fault == nil && m.Crash == nil && !m.Contract {
		report.cover(b)
	}
	return report, ctx.Err()
}

func parallel(m Mode) int {
	switch {
	case m.Record || m.Contract:
		return 1 // what one leaves in the world another would find
	case m.Parallel > 0:
		return m.Parallel
	}
	return runtime.GOMAXPROCS(0)
}

// runCase runs a case in the mode; some modes make several results of it.
func (h *Harness) runCase(ctx context.Context, b *bundle.Bundle, c *Case, m Mode) []*Result {
	r := &runner{h: h, bundle: b, c: c, mode: m}
	action := b.Manifest.Actions[c.Action]
	switch {
	case m.Contract && (action.Probe == "" || action.Inverse == nil || action.Inverse.Action == ""):
		return nil
	case m.Contract || c.Contract:
		return r.contract(ctx)
	}
	base := r.call(ctx, r.first())
	switch {
	case m.Fault != nil:
		return r.faults(ctx, base)
	case m.Crash != nil:
		return r.crashes(ctx, base)
	}
	return []*Result{base}
}

// Invoke runs one call without a case, out in the world, and gives its outcome and tape.
func (h *Harness) Invoke(ctx context.Context, in host.Invocation) (host.Outcome, []tape.Entry, error) {
	if err := h.host.Install(ctx, in.Bundle); err != nil {
		return host.Outcome{}, nil, err
	}
	log := &tape.Memory{}
	in.Tape = log
	out, err := h.host.Run(ctx, in)
	return out, log.Entries(), err
}

// settingsLike gives the settings of a tape with references in place of the secrets, which are not on it.
func settingsLike(seen, schema json.RawMessage) json.RawMessage {
	var settings map[string]any
	if json.Unmarshal(seen, &settings) != nil || settings == nil {
		settings = map[string]any{}
	}
	addSecrets(settings, schema)
	raw, err := json.Marshal(settings)
	if err != nil {
		return seen
	}
	return raw
}

func addSecrets(settings map[string]any, schema json.RawMessage) {
	var shape struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal(schema, &shape) != nil {
		return
	}
	for name, property := range shape.Properties {
		var p struct {
			Format string `json:"format"`
		}
		if json.Unmarshal(property, &p) != nil {
			continue
		}
		if nested, ok := settings[name].(map[string]any); ok {
			addSecrets(nested, property)
		} else if p.Format == "secret" && settings[name] == nil {
			settings[name] = map[string]any{"secret": "env:" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
		}
	}
}

// callOf gives the input on a tape.
func callOf(entries []tape.Entry) (call abi.Call) {
	_, document := tape.HeaderOf(entries)
	_ = json.Unmarshal(document, &call) // Replayable looked at it
	return call
}
