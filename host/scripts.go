package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
)

// A package of scripts has no code of its own: its code is that of its engine, and its image what the engine leaves when it has evaluated the
// scripts. So the code is compiled once and is in memory once, however many packages use it, and an invocation costs no more than one of a
// compiled plugin that is as large.

// moduleOf gives the module that a package runs as, its own or its engine, if this host has the memory that it begins with.
func (s *moduleStore) moduleOf(b *bundle.Bundle) (module []byte, err error) {
	needs := b.Needs()
	if b.Engine() == "" {
		module, err = b.Module()
	} else if module, err = s.engines.Read(b.Engine()); err == nil {
		needs, err = bundle.EngineNeeds(module)
	}
	if err != nil {
		fault := *abi.AsFault(err)
		fault.Message = b.Name() + " cannot be run: " + fault.Message
		return nil, &fault
	}
	if int64(needs.Pages)<<16 > s.memory {
		return nil, abi.NewFault(abi.Limit, fmt.Sprintf("%s begins with %d MiB of memory, this host gives at most %d", b.Name(), needs.Pages>>4, s.memory>>20), "")
	}
	return module, nil
}

// scriptImage makes the image of a package of scripts. What is wrong with them is a fault with its place.
func (e *engine) scriptImage(ctx context.Context, code wazero.CompiledModule, p meter.Parts, b *bundle.Bundle) (*image, error) {
	if p.Obstacle != "" {
		return nil, abi.NewFault(abi.Invalid, b.Engine()+" is no engine: "+p.Obstacle, "")
	}
	input, err := b.Scripts()
	if err != nil {
		return nil, err
	}
	start := func(ctx context.Context, i *instance) error { return i.start(ctx) }
	load := func(ctx context.Context, i *instance) error { return i.load(ctx) }
	return e.makeImage(ctx, code, p.Globals, b, input, fill(p), start, load)
}

// load has the engine evaluate the scripts, which are the input.
func (i *instance) load(ctx context.Context) error {
	g := i.guest
	f := i.module.ExportedFunction(abi.LoadExport)
	if f == nil || i.module.ExportedFunction(abi.RunExport) == nil {
		return abi.NewFault(abi.Invalid, g.bundle.Engine()+" is no engine: it does not export "+abi.LoadExport+" and "+abi.RunExport, "")
	}
	result, err := f.Call(ctx)
	g.memory = i.memory.stats
	if err != nil {
		fault := g.crash(ctx, err)
		fault.Message = "the scripts of " + g.bundle.Name() + " cannot be loaded: " + fault.Message
		return fault
	}
	raw, fault := g.decode(uint32(result[0]))
	if fault != nil {
		return fault
	}
	var loaded abi.Loaded
	if err := json.Unmarshal(raw, &loaded); err != nil {
		return fmt.Errorf("the engine of %s: %w", g.bundle.Name(), err)
	}
	var missing []error
	for _, name := range slices.Sorted(maps.Keys(g.bundle.Manifest.Actions)) {
		if slices.Contains(loaded.Actions, name) {
			continue
		}
		fault := abi.NewFault(abi.Invalid, "the scripts have no action "+name, "they have "+strings.Join(loaded.Actions, ", "))
		if near := schemas.Nearest(name, loaded.Actions); near != "" {
			fault.Hint = "did you mean " + near + "?"
		}
		fault.Where = "$.actions." + name
		missing = append(missing, fault)
	}
	return errors.Join(missing...)
}

// Check says whether the scripts of a package can be installed; it leaves nothing of them. Packages that are modules were checked when they
// were opened.
func (h *Host) Check(ctx context.Context, b *bundle.Bundle) error {
	if err := h.enter(); err != nil {
		return err
	}
	defer h.active.Done()
	if b.Engine() == "" {
		return nil
	}
	h.installing.Lock()
	defer h.installing.Unlock()
	module, err := h.store.moduleOf(b)
	if err == nil {
		_, err = h.store.make(ctx, b, module)
	}
	return err
}
