package meter_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host/meter"
)

// FuzzInstrument: no bytes make a rewriter panic, and what it accepts is valid exactly if the original is. The seeds are hand-written
// modules and, where the module cache has them, those of the official tests.
func FuzzInstrument(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.bin)
	}
	for _, shape := range shapes {
		f.Add(shape)
	}
	files, _ := filepath.Glob(filepath.Join(wazeroDir(f), "internal/integration_test/spectest/v2/testdata/*.0.wasm"))
	for _, file := range files {
		if bin, err := os.ReadFile(file); err == nil && len(bin) < 4096 {
			f.Add(bin)
		}
	}
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	valid := func(bin []byte) error {
		c, err := rt.CompileModule(ctx, bin)
		if err == nil {
			c.Close(ctx)
		}
		return err
	}
	f.Fuzz(func(t *testing.T, bin []byte) {
		out, err := meter.Instrument(bin, meter.Options{ExportGlobals: true, Limits: meter.Limits{Locals: 1000, MemoryPages: 100}})
		var e *meter.Error
		if err != nil {
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(bin) {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		// The original passed the rewriter's limits, so it is safe to hand to the runtime.
		original, rewritten := valid(bin), valid(out)
		if original != nil && strings.Contains(original.Error(), "failed to read custom section") {
			return // wazero refuses an empty custom section, but only as the last one
		}
		if (original == nil) != (rewritten == nil) {
			t.Fatalf("original: %v\nrewritten: %v", original, rewritten)
		}
		parts, err := meter.Split(out)
		if err != nil {
			t.Fatalf("split: %v", err)
		}
		if err := valid(parts.Code); (err == nil) != (original == nil) {
			t.Fatalf("original: %v\ncode: %v", original, err)
		}
	})
}

// shapes are modules with every form of section and control instruction.
var shapes = [][]byte{
	nested().module("\x70\x00\x02", "\x00\x01"),
	vectors().module("", "\x00\x01"),
}

// nested has blocks, loops and ifs with parameters and several results, br_table, calls, and returns from within.
func nested() *builder {
	b := &builder{}
	b.add("pair", i32+":"+i32+i32, "\x00", "\x20\x00\x20\x00\x41\x01\x6a")
	// loop with a parameter and a result: counts down, multiplies
	b.add("loop", i32+":"+i32, "\x01\x01"+i32, "\x41\x01\x03\x01\x20\x00\x6c\x20\x00\x41\x01\x6b\x22\x00\x0d\x00\x0b")
	// if with a parameter and two results; a return from within
	b.add("if", i32+":"+i32+i32, "\x00", "\x20\x00\x20\x00\x04\x00\x41\x07\x0f\x05\x41\x09\x0b")
	// br_table out of three blocks, each with a result
	b.add("switch", i32+":"+i32, "\x00",
		"\x02\x7f\x02\x7f\x02\x7f\x41\x0a\x20\x00\x0e\x02\x00\x01\x02\x0b\x41\x01\x6a\x0b\x41\x02\x6a\x0b")
	b.add("calls", i32+":"+i32, "\x00", "\x20\x00\x10\x00\x6a\x10\x03\x10\x01")
	return b
}

// vectors has SIMD with lanes, shuffles, constants, loads and stores.
func vectors() *builder {
	b := &builder{}
	ones := strings.Repeat("\x01", 16)
	b.add("v", i32+":"+i32, "\x01\x01"+v128,
		"\x20\x00\xfd\x11\xfd\x0c"+ones+"\xfd\xae\x01\x22\x01\x20\x01\xfd\x0d"+ones+"\x21\x01"+
			"\x41\x00\x20\x01\xfd\x0b\x04\x00\x41\x00\xfd\x00\x04\x00\xfd\x1b\x02")
	return b
}

// TestShapes: the hand-written modules compute what they did before.
func TestShapes(t *testing.T) {
	for i, shape := range shapes {
		rt := newRuntime(t, &supply{left: 1 << 40, slice: 7})
		a, b := instance(t, rt, shape), instance(t, rt, instrument(t, shape, meter.Options{}))
		for name := range a.ExportedFunctionDefinitions() {
			for arg := uint64(1); arg < 7; arg++ {
				ra, errA := call(a, name, arg)
				rb, errB := call(b, name, arg)
				if errA != nil || errB != nil || !same(ra, rb) {
					t.Errorf("module %d: %s(%d): %v %v, the original gave %v %v", i, name, arg, rb, errB, ra, errA)
				}
			}
		}
	}
}
