package server

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/hostcall"
)

// installer runs actions whose plugins are compiled: an action that comes before its plugin is ready waits for it, and its time begins then.
// Of plugins that are held it runs nothing.
type installer struct {
	host *host.Host
	set  *Plugins // once they are opened
	mu   sync.Mutex
	done map[string]*installation // by digest
}

func (i *installer) isolates(b *bundle.Bundle) bool { return i.set != nil && i.set.Isolated[b.Digest] }

type installation struct {
	ended chan struct{}
	err   error
}

// Run implements engine.Runner.
func (i *installer) Run(ctx context.Context, inv host.Invocation) (host.Outcome, error) {
	if err := i.install(ctx, inv.Bundle); err != nil {
		return host.Outcome{}, err
	}
	return i.host.Run(ctx, inv)
}

// install compiles a plugin once; whoever comes meanwhile waits. One that failed is tried again by the next.
func (i *installer) install(ctx context.Context, b *bundle.Bundle) error {
	if f := i.set.Held[b.Digest]; f != nil {
		return f
	}
	i.mu.Lock()
	one := i.done[b.Digest]
	if one != nil {
		i.mu.Unlock()
		select {
		case <-one.ended:
			return one.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	one = &installation{ended: make(chan struct{})}
	i.done[b.Digest] = one
	i.mu.Unlock()
	if one.err = i.host.Install(ctx, b); one.err != nil {
		i.mu.Lock()
		delete(i.done, b.Digest)
		i.mu.Unlock()
	}
	close(one.ended)
	return one.err
}

// CompilePlugins compiles every plugin that a server with these options would have, into its cache, so that its start is quick.
func CompilePlugins(ctx context.Context, o Options, progress func(plugin string, took time.Duration)) (err error) {
	installed, err := OpenPlugins(o)
	if err != nil {
		return err
	}
	cache, err := cacheDir(o.Config)
	if err != nil {
		return err
	}
	services := hostcall.NewServices(hostcall.ServicesOptions{})
	defer services.Close()
	h, err := host.New(host.Options{CacheDir: cache, Engines: o.Engines(), Services: services, Worker: o.Worker,
		Isolate: func(b *bundle.Bundle) bool { return installed.Isolated[b.Digest] }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	all := installed.Bundles
	for _, name := range slices.Sorted(maps.Keys(all)) {
		began := time.Now()
		if err := h.Install(ctx, all[name]); err != nil {
			return err
		}
		progress(all[name].Name(), time.Since(began))
	}
	return nil
}
