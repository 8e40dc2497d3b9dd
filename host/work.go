package host

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"runtime/debug"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/worker"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// WorkerMain does the work of a worker, if a Host started this process as one, and does not return then. Call it before anything else in main of the
// program that Options.Worker names, and in TestMain of tests that give Self().
func WorkerMain() { worker.Main(work) }

// work carries out the order that comes.
func work(p *worker.Pipe) error {
	order, err := p.Receive()
	if err != nil {
		return err
	}
	var head orderHead
	if err := json.Unmarshal(order.Head, &head); err != nil {
		return err
	}
	if head.Package < 0 || head.Package > len(order.Body) {
		return protocol("a package of %d bytes in a body of %d", head.Package, len(order.Body))
	}
	file, engine := order.Body[:head.Package], order.Body[head.Package:]
	o := Options{CacheDir: head.Cache, Memory: head.Memory, Idle: math.MaxInt64}
	switch order.Kind {
	case frameInstall:
		made, err := o.makeHere(file, engine)
		if err != nil {
			return done(p, err, madeModule{})
		}
		return done(p, nil, *made)
	case frameServe:
		m, b, err := o.loadHere(file)
		if err != nil {
			return done(p, err, madeModule{})
		}
		if err := done(p, nil, madeModule{}); err != nil {
			return err
		}
		return m.serve(p, b)
	}
	return protocol("order %d", order.Kind)
}

// done says how an order went.
func done(p *worker.Pipe, err error, m madeModule) error {
	head := doneHead{Code: len(m.code)}
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		for _, one := range several.Unwrap() {
			head.Faults = append(head.Faults, *abi.AsFault(one))
		}
	} else if err != nil {
		head.Faults = []abi.Fault{*abi.AsFault(err)}
	}
	f, err := frame(frameDone, 0, head, append(m.code, m.image...))
	if err != nil {
		return err
	}
	return p.Send(f)
}

// makeHere makes code and image of a package in this process, which loses its rights between the two.
func (o Options) makeHere(file, engine []byte) (*madeModule, error) {
	b, err := bundle.Open(file)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(o)
	if err != nil {
		return nil, err
	}
	module := file
	if b.Engine() != "" {
		module = engine
	}
	return e.make(context.Background(), b, module, worker.Seal)
}

// loadHere gets an installed package ready, and gives up the rights of this process.
func (o Options) loadHere(file []byte) (*loadedModule, *bundle.Bundle, error) {
	b, err := bundle.Open(file)
	if err != nil {
		return nil, nil, err
	}
	e, err := newEngine(o)
	if err != nil {
		return nil, nil, err
	}
	m, err := newModuleStore(o, e).acquire(context.Background(), b)
	debug.FreeOSMemory() // what loading took, three times what stays
	return m, b, errors.Join(err, worker.Seal())
}

// serve runs tasks until there are no more.
func (m *loadedModule) serve(p *worker.Pipe, b *bundle.Bundle) error {
	for {
		f, err := p.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var head taskHead
		if err == nil {
			err = json.Unmarshal(f.Head, &head)
		}
		if err != nil {
			return err
		}
		t := task{bundle: b, action: head.Action, limits: limits{memory: head.Memory, output: head.Output, fuel: head.Fuel}, input: f.Body, settings: head.Settings,
			seed: head.Seed, start: head.Start, replay: head.Replay, calls: &caller{pipe: p, number: f.Number}}
		ctx, cancel := context.WithTimeout(context.Background(), head.Time)
		e := m.run(ctx, t)
		cancel()
		if f, err = e.frame(f.Number); err == nil {
			err = p.Send(f)
		}
		if err != nil {
			return err
		}
	}
}

// caller is the dispatcher of a guest in a worker: it asks the process that has the session.
type caller struct {
	pipe    *worker.Pipe
	number  uint64
	elapsed time.Duration
}

// Call implements dispatcher. Without an answer there is nobody left to work for.
func (c *caller) Call(_ context.Context, fn string, request []byte) []byte {
	if no := hostcall.Oversized(fn, request); no != nil {
		return no
	}
	err := c.pipe.Send(worker.Frame{Kind: frameCall, Number: c.number, Head: []byte(fn), Body: request})
	var f worker.Frame
	if err == nil {
		f, err = c.pipe.Receive()
	}
	if err != nil || len(f.Head) != 8 {
		os.Exit(1)
	}
	c.elapsed = time.Duration(binary.LittleEndian.Uint64(f.Head))
	return f.Body
}

// Elapsed implements dispatcher.
func (c *caller) Elapsed() time.Duration { return c.elapsed }
