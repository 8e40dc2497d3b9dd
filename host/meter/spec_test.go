package meter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host/meter"
)

// command is a step of an official test, as wast2json writes it.
type command struct {
	Type     string `json:"type"`
	Line     int    `json:"line"`
	Name     string `json:"name"`
	Filename string `json:"filename"`
	As       string `json:"as"`
	Action   struct {
		Type   string  `json:"type"`
		Field  string  `json:"field"`
		Module string  `json:"module"`
		Args   []value `json:"args"`
	} `json:"action"`
}

type value struct {
	Type string `json:"type"`
	Lane string `json:"lane_type"`
	Val  any    `json:"value"`
}

func (v value) bits() []uint64 {
	if v.Type == "v128" {
		lanes := v.Val.([]any)
		width := 128 / len(lanes)
		out := make([]uint64, 2)
		for i, l := range lanes {
			n, _ := strconv.ParseUint(l.(string), 10, 64)
			out[i*width/64] |= n << (i * width % 64)
		}
		return out
	}
	s, _ := v.Val.(string)
	n, err := strconv.ParseUint(s, 10, 64)
	if err == nil && v.Type == "externref" {
		n++ // wazero takes 0 for null
	}
	return []uint64{n}
}

// side is one of two runtimes that execute the same steps.
type side struct {
	rt      wazero.Runtime
	rewrite func([]byte) (meter.Parts, error)
	modules map[string]api.Module
	last    api.Module
}

func (s *side) load(bin []byte, name, as string) error {
	parts, err := s.rewrite(bin)
	if err != nil {
		return err
	}
	m, err := joined(s.rt, parts, as)
	if err != nil {
		return err
	}
	s.last = m
	if name != "" {
		s.modules[name] = m
	}
	return nil
}

func (s *side) do(c command) ([]uint64, error) {
	m := s.last
	if c.Action.Module != "" {
		m = s.modules[c.Action.Module]
	}
	if c.Action.Type == "get" {
		return []uint64{m.ExportedGlobal(c.Action.Field).Get()}, nil
	}
	f := m.ExportedFunction(c.Action.Field)
	args := []uint64{}
	for _, a := range c.Action.Args {
		args = append(args, a.bits()...)
	}
	return f.Call(context.Background(), args...)
}

// TestSpecification runs the official tests of WebAssembly 2.0 on the original and on the rewritten modules: both must accept the same
// modules, return the same, trap in the same way and leave the same memory.
func TestSpecification(t *testing.T) {
	dir := filepath.Join(wazeroDir(t), "internal/integration_test/spectest")
	files, _ := filepath.Glob(filepath.Join(dir, "v2/testdata/*.json"))
	if len(files) == 0 {
		t.Skip("NOT TESTED: the module cache has no official tests")
	}
	modules, calls := 0, 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			m, c := runSpecification(t, dir, file)
			modules += m
			calls += c
		})
	}
	t.Logf("%d modules, %d calls", modules, calls)
}

func runSpecification(t *testing.T, dir, file string) (modules, calls int) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Commands []command }
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	spectest, err := os.ReadFile(filepath.Join(dir, "testdata/spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	o := meter.Options{ExportGlobals: true, Limits: meter.Limits{MemoryPages: 65536, TableElements: math.MaxUint32, TableGrown: math.MaxUint32}}
	rewritten := func(bin []byte) (meter.Parts, error) {
		bin, err := meter.Instrument(bin, o)
		if err != nil {
			return meter.Parts{}, err
		}
		return meter.Split(bin)
	}
	original := func(bin []byte) (meter.Parts, error) { return meter.Parts{Code: bin}, nil }
	a := &side{rt: newRuntime(t, plenty()), modules: map[string]api.Module{}, rewrite: original}
	b := &side{rt: newRuntime(t, &supply{left: 1 << 60, slice: 10}), modules: map[string]api.Module{}, rewrite: rewritten}
	for _, s := range []*side{a, b} {
		if _, err := s.rt.InstantiateWithConfig(context.Background(), spectest, wazero.NewModuleConfig()); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range doc.Commands {
		switch c.Type {
		case "module", "assert_invalid", "assert_malformed", "assert_unlinkable", "assert_uninstantiable":
			if !strings.HasSuffix(c.Filename, ".wasm") {
				continue
			}
			bin, err := os.ReadFile(filepath.Join(filepath.Dir(file), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			as := ""
			if i+1 < len(doc.Commands) && doc.Commands[i+1].Type == "register" {
				as = doc.Commands[i+1].As
			}
			errA, errB := a.load(bin, c.Name, as), b.load(bin, c.Name, as)
			if (errA == nil) != (errB == nil) {
				t.Errorf("line %d: %s of %s\noriginal:  %v\nrewritten: %v", c.Line, c.Type, c.Filename, errA, errB)
				return
			}
			modules++
		case "assert_return", "assert_trap", "action":
			if c.Action.Type == "invoke" && a.last == nil {
				continue
			}
			ra, errA := a.do(c)
			rb, errB := b.do(c)
			calls++
			if firstLine(errA) != firstLine(errB) || !same(ra, rb) {
				t.Errorf("line %d: %s %s\noriginal:  %x %s\nrewritten: %x %s", c.Line, c.Type, c.Action.Field, ra, firstLine(errA), rb, firstLine(errB))
			}
		}
	}
	if !bytes.Equal(memory(a.last), memory(b.last)) {
		t.Error("memories differ")
	}
	return modules, calls
}

// same compares results; references are addresses and differ.
func same(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (a[i]>>32 == 0 || a[i]>>40 != b[i]>>40) {
			return false
		}
	}
	return true
}

func memory(m api.Module) []byte {
	if m == nil || reflect.ValueOf(m.Memory()).IsNil() {
		return nil
	}
	b, _ := m.Memory().Read(0, m.Memory().Size())
	return b
}
