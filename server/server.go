// Package server wires the parts of Riposte together: store, secrets, sandbox, content, engine, API and listeners. It decides nothing itself.
package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/intake/syslog"
	"github.com/riposte-soar/riposte/server/store/badgerstore"
)

// Options say what a server needs beside its configuration.
type Options struct {
	Config
	Content    string // folder of rules, templates, runbooks, connectors and lists
	Token      string // of the API; empty: made at the first start and kept in the data folder
	Worker     string // program that runs isolated plugins, and compiles; see host.Options
	AcceptLoss bool   // start although acknowledged data is missing from the store
	Ballast    int64  // bytes kept in reserve on the disk; 0 is the default, negative none
	Log        *slog.Logger
	Now        func() time.Time
	// Progress, if set, is told about long work at the start: plugins that are compiled for the first time.
	Progress func(plugin string, took time.Duration)
}

// Server is Riposte at work.
type Server struct {
	o       Options
	store   *badgerstore.Store
	host    *host.Host
	engine  *engine.Engine
	content *engine.Content
	api     *api.Server
	syslog  *syslog.Server
	token   string
	cleanup []func() error // in the order of making; run in reverse
	stop    context.CancelFunc
	warmed  chan struct{}

	installed *installer
}

// New opens what the server stands on and checks the content. Nothing listens or runs before Start.
func New(o Options) (_ *Server, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, warmed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if s.store, err = badgerstore.Open(filepath.Join(o.Data, "store"), badgerstore.Options{Log: o.Log, AcceptLoss: o.AcceptLoss, Ballast: o.Ballast}); err != nil {
		return nil, err
	}
	s.cleanup = append(s.cleanup, s.store.Close)
	if err := s.openHost(); err != nil {
		return nil, err
	}
	installed, err := OpenPlugins(o)
	if err != nil {
		return nil, err
	}
	for _, held := range installed.Held {
		o.Log.Warn("a plugin is held: " + held.Error())
	}
	s.installed.set = installed
	if s.content, err = LoadContent(o.Content, installed.Bundles); err != nil {
		return nil, err
	}
	if s.token, err = apiToken(o); err != nil {
		return nil, err
	}
	s.engine = engine.New(engine.Options{Store: s.store, Runner: s.installed, Content: s.content, Log: o.Log, Now: o.Now,
		MaxActions: o.Limits.Actions, MaxRuns: o.Limits.Runs})
	s.api = api.New(api.Options{Engine: s.engine, Content: s.content, Token: s.token, Log: o.Log, Now: o.Now, Ready: s.ready, Isolated: installed.Isolated})
	return s, nil
}

// maxAction is the longest that any action may take; manifests and steps ask for less.
const maxAction = 5 * time.Minute

// openHost makes the sandbox, with the site's network policy and the sources of secrets.
func (s *Server) openHost() error {
	policy, err := s.o.Network.policy()
	if err != nil {
		return err
	}
	for _, address := range []string{s.o.Listen, s.o.Syslog.TCP, s.o.Syslog.TLS} {
		if own, err := netip.ParseAddrPort(address); err == nil && own.Port() != 0 {
			policy.Own = append(policy.Own, own)
		}
	}
	vault, err := secret.OpenStore(filepath.Join(s.o.Data, "secrets"), filepath.Join(s.o.Data, "secrets.key"), s.o.Now)
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	sources, err := secret.NewSources(secret.SourcesOptions{Store: vault, Log: s.o.Log})
	if err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	services := hostcall.NewServices(hostcall.ServicesOptions{Network: policy, Secrets: sources, KV: &kv{store: s.store, now: s.o.Now}, Now: s.o.Now, Log: s.o.Log})
	s.cleanup = append(s.cleanup, func() error { services.Close(); return nil })
	cache, err := cacheDir(s.o.Config)
	if err != nil {
		return err
	}
	s.installed = &installer{done: map[string]*installation{}}
	s.host, err = host.New(host.Options{CacheDir: cache, Engines: s.o.Engines(), Services: services, Timeout: maxAction,
		Worker: s.o.Worker, Workers: s.o.Limits.Workers, Isolate: s.installed.isolates})
	if err != nil {
		return err
	}
	s.cleanup = append(s.cleanup, s.host.Close)
	s.installed.host = s.host
	return nil
}

// cacheDir is where compiled modules lie: they depend on the modules only, so servers of one user share them.
func cacheDir(c Config) (string, error) {
	if c.Cache != "" {
		return c.Cache, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(c.Data, "cache"), nil
	}
	return filepath.Join(user, "riposte", "modules"), os.MkdirAll(filepath.Join(user, "riposte"), 0o700)
}

// apiToken is the given token, or the one in the data folder, made at the first start.
func apiToken(o Options) (string, error) {
	if o.Token != "" {
		return o.Token, nil
	}
	file := filepath.Join(o.Data, "token")
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte("rip_" + rand.Text())
		err = os.WriteFile(file, append(text, '\n'), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("API token: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Start begins to listen and to work. It returns once alarms are taken; plugins that were never compiled are compiled meanwhile.
func (s *Server) Start() error {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	if err := s.engine.Start(); err != nil {
		return err
	}
	go s.warm(ctx)
	s.cleanup = append(s.cleanup, func() error { s.engine.Stop(); return nil }, func() error { stop(); <-s.warmed; return nil })
	if err := s.api.Listen(s.o.Listen); err != nil {
		return err
	}
	s.cleanup = append(s.cleanup, s.api.Close)
	return s.listenSyslog()
}

func (s *Server) listenSyslog() error {
	c := s.o.Syslog
	if c.UDP == "" && c.TCP == "" && c.TLS == "" {
		return nil
	}
	o := syslog.Options{UDP: c.UDP, TCP: c.TCP, TLS: c.TLS, Sink: &gate{s}, Now: s.o.Now, Log: s.o.Log, Counters: s.api.Syslog()}
	if c.TLS != "" {
		cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return fmt.Errorf("syslog.tls: %w", err)
		}
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	listener, err := syslog.Listen(o)
	if err != nil {
		return err
	}
	s.syslog = listener
	s.cleanup = append(s.cleanup, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return listener.Close(ctx)
	})
	return nil
}

// warm compiles the plugins that have a connector, so that no alarm waits for it, and loads those that come first.
func (s *Server) warm(ctx context.Context) {
	defer s.loadAhead(ctx)
	defer close(s.warmed)
	done := map[string]bool{}
	for _, c := range s.content.Connectors {
		b := s.content.Plugins[c.Plugin]
		if done[c.Plugin] || b == nil || s.installed.set.Held[b.Digest] != nil || ctx.Err() != nil {
			continue
		}
		done[c.Plugin] = true
		began := s.o.Now()
		if err := s.installed.install(ctx, b); err != nil && ctx.Err() == nil {
			s.o.Log.Error("plugin cannot be compiled", "plugin", b.Name(), "err", err)
			continue
		}
		if s.o.Progress != nil {
			s.o.Progress(b.Name(), s.o.Now().Sub(began))
		}
	}
}

// gate lets alarms of listeners through to the engine, and holds them back – so that the socket is not read – while the disk is nearly full.
type gate struct{ s *Server }

// Accept implements intake.Sink.
func (g *gate) Accept(ctx context.Context, a *alarm.Alarm, done func(error)) {
	for g.s.ready() != nil {
		select {
		case <-ctx.Done():
			done(abi.NewFault(abi.Unavailable, "the disk is nearly full", "make room; riposte takes alarms again by itself"))
			return
		case <-time.After(time.Second):
		}
	}
	g.s.engine.Accept(ctx, a, done)
}

// ready says why the server cannot do its work now, or nil.
func (s *Server) ready() error {
	free, state := s.store.Space()
	if state != badgerstore.Normal {
		return fmt.Errorf("the disk is nearly full: %d MiB are left", free>>20)
	}
	return nil
}

// Warmed is closed when every plugin that has a connector is compiled.
func (s *Server) Warmed() <-chan struct{} { return s.warmed }

// Token is that of the API.
func (s *Server) Token() string { return s.token }

// Engine is the engine at work.
func (s *Server) Engine() *engine.Engine { return s.engine }

// Addr is the address of the API.
func (s *Server) Addr() net.Addr { return s.api.Addr() }

// SyslogAddrs are the addresses on which alarms arrive by syslog, empty where none is listened on.
func (s *Server) SyslogAddrs() (udp, tcp string) {
	if s.syslog == nil {
		return "", ""
	}
	return addrText(s.syslog.UDPAddr()), addrText(s.syslog.TCPAddr())
}

func addrText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// Stop ends listening first, then work, then closes the store. What was in flight goes on at the next start.
func (s *Server) Stop() error { return s.close() }

func (s *Server) close() error {
	var errs []error
	for len(s.cleanup) > 0 {
		last := len(s.cleanup) - 1
		errs = append(errs, s.cleanup[last]())
		s.cleanup = s.cleanup[:last]
	}
	return errors.Join(errs...)
}
