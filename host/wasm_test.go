package host_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// assembly is a module written by hand: one memory page, imports, and one exported function () -> i32 for each action.
type assembly struct {
	imports []hostImport
	// code of each action, without locals, by name; the last value on the stack is the result.
	actions []action
	pages   byte
	table   uint64 // elements
	data    string // at address 0
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
	opLoop        = 0x03
	opBr          = 0x0c
	opEnd         = 0x0b
	opCall        = 0x10
	opDrop        = 0x1a
	opI32Const    = 0x41
	opI64Const    = 0x42
)

func (a assembly) module() []byte {
	var types, imports, functions, exports, bodies []byte
	add := func(list *[]byte, items ...[]byte) {
		for _, item := range items {
			*list = append(*list, item...)
		}
	}
	uvar := func(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
	text := func(s string) []byte { return append(uvar(len(s)), s...) }
	for i, im := range a.imports {
		add(&types, []byte{0x60}, text(im.params), text(im.results))
		add(&imports, text(im.module), text(im.name), []byte{0}, uvar(i))
	}
	add(&types, []byte{0x60}, text(""), text(vI32))
	add(&exports, text("memory"), []byte{2, 0})
	for i, act := range a.actions {
		add(&functions, uvar(len(a.imports)))
		add(&exports, text(act.name), []byte{0}, uvar(len(a.imports)+i))
		add(&bodies, text("\x00"+string(act.code)+"\x0b"))
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, count int, body []byte) {
		add(&out, []byte{id}, text(string(uvar(count))+string(body)))
	}
	section(1, len(a.imports)+1, types)
	section(2, len(a.imports), imports)
	section(3, len(a.actions), functions)
	if a.table > 0 {
		section(4, 1, append([]byte{0x70, 0}, binary.AppendUvarint(nil, a.table)...))
	}
	section(5, 1, append([]byte{0}, uvar(int(max(a.pages, 1)))...))
	section(7, len(a.actions)+1, exports)
	section(10, len(a.actions), bodies)
	if a.data != "" {
		section(11, 1, append([]byte{0, opI32Const, 0, opEnd}, text(a.data)...))
	}
	return out
}

// pack gives the module a manifest with its actions.
func (a assembly) pack(t testing.TB, requires ...abi.Requirement) []byte {
	t.Helper()
	m := abi.Manifest{Plugin: "assembled", Version: "1.0.0", Title: "Assembled", Requires: requires, Actions: map[string]abi.Action{}}
	var uses []string
	for _, r := range requires {
		uses = append(uses, r.ID)
	}
	for _, act := range a.actions {
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

// i64const and i32const push a number, call calls a function by index.
func i64const(n int64) []byte { return append([]byte{opI64Const}, sleb(n)...) }
func i32const(n int64) []byte { return append([]byte{opI32Const}, sleb(n)...) }
func call(f byte) []byte      { return []byte{opCall, f} }

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

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

// slowModule has one function of so many branches that the compiler takes minutes for it.
func slowModule() assembly {
	branch := join([]byte{0x02, 0x40}, i32const(1), []byte{0x0d, 0, opEnd}) // block, br_if 0, end
	return assembly{actions: []action{{"act", join(bytes.Repeat(branch, 60_000), i32const(0))}}}
}

// wideModule has one function of so many instructions that the compiler takes hundreds of MiB for it.
func wideModule() assembly {
	add := join(i32const(0), []byte{0x28, 2, 0, 0x6a}) // i32.load, i32.add
	return assembly{actions: []action{{"act", join(i32const(0), bytes.Repeat(add, 400_000))}}}
}
