// Package snapshot prepares plugin modules so that each call begins with the same fresh state at little cost.
//
// [Prepare] runs once, when a plugin is installed: it meters the module, joins its data segments, lets it initialise itself under a
// fixed clock and fixed random numbers, and writes the state that it reached back into the module. The result is a function of the
// module and the options: the same bytes each time. An instance of it begins initialised, and [Prepared.Reset] puts a used instance
// back into that state in place, for a fraction of the cost of a new instance.
//
// # What the fixed random numbers mean
//
// Whatever a guest derived from random numbers while it initialised is the same in every call and can be read by who has the module:
// hash seeds of maps, and the state of generators that were seeded then. Flooding such a map costs the caller its own fuel and nothing
// else, since no state survives a call. Anything that must be unpredictable has to be drawn during the call; a kit reseeds its
// generators through a host call at the begin of an action.
package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host/meter"
)

// Options says how to prepare a module. The zero value is ready to use.
type Options struct {
	// Meter is passed to meter.Instrument; ExportGlobals is always set.
	Meter meter.Options
	// Warm names exported functions without parameters that are called once after initialisation, so that what a guest does only
	// once is part of the state. They must get along without the host: if one calls it, or fails, all are left out.
	Warm []string
	// Fuel is what initialisation and each of Warm may spend. 0 means DefaultFuel.
	Fuel int64
	// MemoryPages is the most memory, in pages of 64 KiB, that the guest may have while it initialises. 0 means DefaultMemoryPages.
	MemoryPages uint32
}

// Defaults of Options.
const (
	DefaultFuel        = 2_000_000_000
	DefaultMemoryPages = 1024 // 64 MiB
)

// Prepared is a module ready to be compiled.
type Prepared struct {
	// Module is to be compiled and instantiated. If it is Resettable, instances begin in the state after initialisation.
	Module []byte
	// Resettable tells whether Reset can be used. Otherwise every call needs a new instance, and Why says why.
	Resettable bool
	Why        string

	image *image
}

// ErrGrown is returned by Reset when the memory of the instance is larger than in the image: drop the instance.
var ErrGrown = errors.New("the memory of the instance has grown")

// ErrClosed is returned by Reset for an instance that was closed, as a WASI command is when it exits.
var ErrClosed = errors.New("the instance is closed")

// Prepare meters, merges and initialises a module. An error means that the module cannot be used at all; a module that cannot be
// initialised ahead or reset is still returned, with the reason in Why.
func Prepare(ctx context.Context, module []byte, o Options) (*Prepared, error) {
	if o.Fuel <= 0 {
		o.Fuel = DefaultFuel
	}
	if o.MemoryPages == 0 {
		o.MemoryPages = DefaultMemoryPages
	}
	if o.Meter.Stack <= 0 {
		o.Meter.Stack = meter.DefaultStack
	}
	o.Meter.ExportGlobals = true
	metered, err := meter.Instrument(module, o.Meter)
	if err != nil {
		return nil, fmt.Errorf("meter the module: %w", err)
	}
	merged, err := meter.MergeData(metered)
	if err != nil {
		return nil, fmt.Errorf("merge data segments: %w", err)
	}
	p := &Prepared{Module: merged}
	info, err := meter.Inspect(merged)
	if err != nil {
		return nil, fmt.Errorf("inspect the module: %w", err)
	}
	if p.Why = info.Obstacle; p.Why != "" {
		return p, nil
	}
	state, err := take(ctx, merged, info.Globals, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.Why = err.Error()
		return p, nil
	}
	baked, err := meter.Bake(merged, state)
	if err != nil {
		return nil, fmt.Errorf("write the state back: %w", err)
	}
	p.Module, p.Resettable, p.image = baked, true, newImage(state, o.Meter.Stack)
	return p, nil
}

// Reset puts an instance of Module back into its first state, also after a trap. If it returns an error the instance must be dropped.
// What lies outside the module, such as files, clocks and random numbers that the host gave to the instance, is for the host to reset.
func (p *Prepared) Reset(inst api.Module) error {
	if !p.Resettable {
		return errors.New("the module cannot be reset: " + p.Why)
	}
	return p.image.restore(inst)
}
