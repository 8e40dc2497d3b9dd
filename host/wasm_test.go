package host_test

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// assembly is a module written by hand: one memory, imports, and one function () -> i32 for each action.
type assembly struct {
	imports []hostImport
	// code of each action, by name; the last value on the stack is the result. One without a name is not exported.
	actions  []action
	locals   string // of each action, as the format has them; none if empty
	pages    byte   // of memory to begin with; 1 if 0
	bare     bool   // there is no memory
	table    uint64 // elements
	elements []byte // functions that the table begins with
	segments []byte // or the whole content of the element section
	start    int    // start function, counted from 1
	plain    bool   // the last action has the type () -> ()
	passed   string // an export that is the first import
	data     string // at address 0
	passive  string // a data segment that code puts somewhere
	tail     []byte // after everything else
}

type hostImport struct {
	module, name    string
	params, results string // bytes of value types
}

type action struct {
	name string
	code []byte
}

// Opcodes and value types.
const (
	vI32, vI64    = "\x7f", "\x7e"
	opUnreachable = 0x00
	opBlock       = 0x02
	opLoop        = 0x03
	opBr          = 0x0c
	opBrTable     = 0x0e
	opEnd         = 0x0b
	opCall        = 0x10
	opIndirect    = 0x11
	opDrop        = 0x1a
	opLocalGet    = 0x20
	opLocalSet    = 0x21
	opLocalTee    = 0x22
	opI32Const    = 0x41
	opI64Const    = 0x42
)

func (a assembly) module() []byte {
	var types, imports, functions, exports, bodies, data []byte
	add := func(list *[]byte, items ...[]byte) {
		for _, item := range items {
			*list = append(*list, item...)
		}
	}
	for i, im := range a.imports {
		add(&types, []byte{0x60}, vec(im.params), vec(im.results))
		add(&imports, vec(im.module), vec(im.name), []byte{0}, uvar(i))
	}
	add(&types, []byte{0x60}, vec(""), vec(vI32), []byte{0x60}, vec(""), vec(""))
	exported := 0
	if a.passed != "" {
		exported++
		add(&exports, vec(a.passed), []byte{0, 0})
	}
	if !a.bare {
		exported++
		add(&exports, vec("memory"), []byte{2, 0})
	}
	for i, act := range a.actions {
		kind := len(a.imports)
		if a.plain && i == len(a.actions)-1 {
			kind++
		}
		add(&functions, uvar(kind))
		if act.name != "" {
			exported++
			add(&exports, vec(act.name), []byte{0}, uvar(len(a.imports)+i))
		}
		add(&bodies, vec(cmp.Or(a.locals, "\x00")+string(act.code)+"\x0b"))
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, count int, body []byte) {
		if count > 0 {
			add(&out, []byte{id}, vec(string(uvar(count))+string(body)))
		}
	}
	section(1, len(a.imports)+2, types)
	section(2, len(a.imports), imports)
	section(3, len(a.actions), functions)
	if a.table > 0 {
		section(4, 1, append([]byte{0x70, 0}, binary.AppendUvarint(nil, a.table)...))
	}
	if !a.bare {
		section(5, 1, append([]byte{0}, uvar(int(max(a.pages, 1)))...))
	}
	section(7, exported, exports)
	if a.start > 0 {
		add(&out, []byte{8}, vec(string(uvar(a.start-1))))
	}
	if len(a.elements) > 0 {
		section(9, 1, join([]byte{0, opI32Const, 0, opEnd}, vec(string(a.elements))))
	}
	if a.segments != nil {
		add(&out, []byte{9}, vec(string(a.segments)))
	}
	segments := 0
	if a.data != "" {
		segments++
		add(&data, []byte{0, opI32Const, 0, opEnd}, vec(a.data))
	}
	if a.passive != "" {
		segments++
		add(&data, []byte{1}, vec(a.passive))
		add(&out, []byte{12}, vec(string(uvar(segments))))
	}
	section(10, len(a.actions), bodies)
	section(11, segments, data)
	return append(out, a.tail...)
}

// custom is a custom section.
func custom(name string, body []byte) []byte {
	return join([]byte{0}, vec(string(vec(name))+string(body)))
}

// uvar is an unsigned number of the format, vec a string with its length before it.
func uvar(n int) []byte   { return binary.AppendUvarint(nil, uint64(n)) }
func vec(s string) []byte { return append(uvar(len(s)), s...) }

// pack gives the module a manifest with its actions.
func (a assembly) pack(t testing.TB, requires ...abi.Requirement) []byte {
	t.Helper()
	m := abi.Manifest{Plugin: "assembled", Version: "1.0.0", Title: "Assembled", Requires: requires, Actions: map[string]abi.Action{}}
	if len(requires) > 0 {
		m.Settings = json.RawMessage(`{"type":"object","properties":{"url":{"type":"string"}}}`)
	}
	var uses []string
	for _, r := range requires {
		uses = append(uses, r.ID)
	}
	for _, act := range append(a.actions, action{name: a.passed}) {
		if act.name == "" || strings.HasPrefix(act.name, "_") {
			continue
		}
		m.Actions[act.name] = abi.Action{Kind: abi.Enrich, Title: act.name, Effect: abi.Read, Uses: uses}
	}
	return pack(t, a.module(), m)
}

func pack(t testing.TB, module []byte, m abi.Manifest) []byte {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := bundle.Pack(module, raw)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// i64const and i32const push a number, call calls a function by index, get and set are of locals.
func i64const(n int64) []byte { return append([]byte{opI64Const}, sleb(n)...) }
func i32const(n int64) []byte { return append([]byte{opI32Const}, sleb(n)...) }
func call(f byte) []byte      { return []byte{opCall, f} }
func get(local byte) []byte   { return []byte{opLocalGet, local} }
func set(local byte) []byte   { return []byte{opLocalSet, local} }

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func repeat(b []byte, n int) []byte { return []byte(strings.Repeat(string(b), n)) }

func sleb(n int64) []byte {
	var out []byte
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if (n == 0 && b&0x40 == 0) || (n == -1 && b&0x40 != 0) {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// slowModule has functions of so many branches as are allowed, for which the compiler takes many seconds.
func slowModule() assembly {
	branch := join([]byte{0x02, 0x40}, i32const(1), []byte{0x0d, 0, opEnd}) // block, br_if 0, end
	slow := action{"", join(repeat(branch, 4000), i32const(0))}
	return assembly{actions: append([]action{{"act", i32const(0)}}, slices.Repeat([]action{slow}, 14)...)}
}

// wideModule has one function of so many instructions that the compiler takes hundreds of MiB for it.
func wideModule() assembly {
	add := join(i32const(0), []byte{0x28, 2, 0, 0x6a}) // i32.load, i32.add
	return assembly{actions: []action{{"act", join(i32const(0), repeat(add, 400_000))}}}
}
