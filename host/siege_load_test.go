package host_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// raw is a core module of the given sections, each an id and its content.
func raw(sections ...[]byte) []byte {
	return join([]byte("\x00asm\x01\x00\x00\x00"), join(sections...))
}

func section(id byte, content ...[]byte) []byte {
	return join([]byte{id}, vec(string(join(content...))))
}

// refusedShapes are packages that must not get in, by name; each is refused before anything of it is compiled, so refusing is cheap.
func refusedShapes() map[string][]byte {
	act := []action{{"act", i32const(0)}}
	packed := map[string][]byte{}
	for name, a := range map[string]assembly{
		"a table of 268 million elements":    {actions: act, table: 1 << 28},
		"a table of 2,147 million elements":  {actions: act, table: 1 << 31},
		"10,001 locals":                      {actions: act, locals: "\x01" + string(uvar(10_001)) + vI32},
		"4,294,967,295 locals":               {actions: act, locals: "\x01\xff\xff\xff\xff\x0f" + vI64},
		"4 million groups of locals":         {actions: act, locals: string(uvar(4<<20)) + strings.Repeat("\x01"+vI32, 1<<20)},
		"200,001 functions":                  {actions: append(act[:1:1], make([]action, 200_000)...)},
		"a function of 5 MiB":                {actions: []action{{"act", join(repeat([]byte{0x01}, 5<<20), i32const(0))}}},
		"an import for an action":            {imports: []hostImport{fromExtism("alloc", vI64, vI64)}, passed: "act"},
		"an import that is not there":        {imports: []hostImport{{abi.ModuleMem, "poke", vI64, vI64}}, actions: act},
		"an import that it does not require": {imports: []hostImport{{"riposte:http/v1", "fetch", vI64, vI64}}, actions: act},
		"an import of another type":          {imports: []hostImport{{abi.ModuleMem, "read", vI32, vI32}}, actions: act},
		"imports of the meter":               {imports: []hostImport{{meter.ImportModule, meter.ImportRefill, vI64, vI64}}, actions: act},
		"exports of the meter":               {actions: append(act[:1:1], action{meter.GlobalFuel, i32const(0)})},
		"1,001 imports":                      {imports: make([]hostImport, 1001), actions: act},
		"code that is not valid":             {actions: []action{{"act", drop}}},
		"a start function that is not there": {actions: act, start: 100},
		"sections out of order":              {actions: act, tail: section(1, []byte{0})},
		"a section cut short":                {actions: act, tail: []byte{0, 0xff, 0xff, 0xff, 0x0f, 'x'}},
		"a section of unknown kind":          {actions: act, tail: section(77, []byte("x"))},
		"exceptions":                         {actions: act, tail: section(13, []byte{1, 0, 0})},
		"two manifests":                      {actions: act, tail: custom(abi.ManifestSection, []byte("{}"))},
		"two bills of materials":             {actions: act, tail: join(custom("riposte.sbom", []byte("{}")), custom("riposte.sbom", []byte("{}")))},
		"100,000 nested blocks":              {actions: []action{{"act", nested(opBlock, 100_000)}}},
		"5,000 nested loops":                 {actions: []action{{"act", nested(opLoop, 5000)}}},
		"tail calls":                         {actions: []action{{"act", []byte{0x12, 0}}}},
		"an atomic instruction":              {actions: []action{{"act", join(i32const(0), []byte{0xfe, 0x10, 2, 0})}}},
	} {
		packed[name] = manifested(a.module(), plainManifest)
	}
	packed["nothing"] = nil
	packed["no module"] = []byte("#!/bin/sh\n")
	packed["a component"] = []byte("\x00asm\x0d\x00\x01\x00")
	packed["a module of version 2"] = []byte("\x00asm\x02\x00\x00\x00")
	packed["65 MiB"] = join(raw(), make([]byte, 65<<20))
	packed["four thousand million types"] = raw(section(1, []byte("\xff\xff\xff\xff\x0f")))
	packed["a name of 4 GiB"] = raw(section(0, []byte("\xff\xff\xff\xff\x0f")))
	packed["a name that is not UTF-8"] = raw(section(0, vec("\xff\xfe")))
	for name, memory := range map[string]string{"shared memory": "\x01\x03\x01\x01", "64-bit memory": "\x01\x04\x01", "two memories": "\x02\x00\x01\x00\x01", "4 GiB of memory": "\x01\x00\x80\x80\x04"} {
		packed[name] = manifested(raw(section(1, []byte("\x01\x60\x00\x01"+vI32)), section(3, []byte{1, 0}), section(5, []byte(memory)),
			section(7, []byte("\x01"), vec("act"), []byte{0, 0}), section(10, []byte{1}, vec("\x00\x41\x00\x0b"))), plainManifest)
	}
	for name, manifest := range hostileManifests() {
		packed["manifest: "+name] = manifested(assembly{actions: act}.module(), manifest)
	}
	return packed
}

// nested is a function of n blocks in each other.
func nested(op byte, n int) []byte {
	return join(repeat([]byte{op, 0x40}, n), repeat([]byte{opEnd}, n), i32const(0))
}

// manifested puts a manifest into a module as it is.
func manifested(module []byte, manifest string) []byte {
	return join(module, custom(abi.ManifestSection, []byte(manifest)))
}

// plainManifest is that of a plugin with the action "act".
const plainManifest = `{"plugin":"assembled","version":"1.0.0","title":"Assembled","actions":{"act":{"kind":"enrich","title":"Act","effect":"read"}}}`

// hostileManifests are manifests that are meant to tie up who reads them.
func hostileManifests() map[string]string {
	with := func(result string) string {
		return `{"plugin":"p","version":"1.0.0","title":"P","actions":{"act":{"kind":"enrich","title":"Act","effect":"read","result":` + result + `}}}`
	}
	var doubling strings.Builder // each definition refers twice to the next
	for n := range 60 {
		fmt.Fprintf(&doubling, `"d%d":{"allOf":[{"$ref":"#/definitions/d%d"},{"$ref":"#/definitions/d%d"}]},`, n, n+1, n+1)
	}
	return map[string]string{
		"not JSON":                       "\x00\xff",
		"a list":                         "[]",
		"257 KiB":                        `{"plugin":"` + strings.Repeat("p", 257<<10) + `"}`,
		"100,000 brackets":               strings.Repeat("[", 100_000),
		"a schema 5,000 deep":            with(strings.Repeat(`{"items":`, 5000) + "{}" + strings.Repeat("}", 5000)),
		"a schema that doubles":          with(`{"definitions":{` + doubling.String() + `"d60":{}},"$ref":"#/definitions/d0"}`),
		"a schema that refers to itself": with(`{"definitions":{"a":{"$ref":"#/definitions/a"}},"$ref":"#/definitions/a"}`),
		"a schema from a file":           with(`{"$ref":"file:///etc/passwd"}`),
		"a schema from the network":      with(`{"$ref":"http://192.0.2.1/schema"}`),
		"a pattern of 100,000 repeats":   with(`{"type":"string","pattern":"(((a{1,1000}){1,1000}){1,1000})"}`),
	}
}

// TestSiegeOfTheLoader lets packages in that are meant to break who loads them. Each must be refused, by faults that say why, 100 times over
// without leaving anything behind; and what takes long to compile is installed once and must then run like anything else.
func TestSiegeOfTheLoader(t *testing.T) {
	h := newHost(t, host.Options{Memory: siegeMemory, CacheDir: t.TempDir()})
	w := newWork(t, h)
	refused := refusedShapes()
	w.once(t, 0)
	runtime.GC()
	before, most := resident(), int64(0)
	for name, file := range refused {
		var longest time.Duration
		for n := range *siegeTimes {
			began := time.Now()
			b, err := bundle.Open(file)
			if err == nil {
				err = h.Install(t.Context(), b)
			}
			longest = max(longest, time.Since(began))
			most = max(most, resident()-before)
			if err == nil {
				t.Errorf("%s was taken", name)
				break
			}
			if why := unclear(err); why != "" && n == 0 {
				t.Errorf("%s: %s: %v", name, why, err)
			}
			if n == 0 {
				t.Logf("%s: %.200v", name, err)
			}
		}
		if longest > siegeTooLate {
			t.Errorf("%s: refused after %v", name, longest)
		}
	}
	w.once(t, 1)
	t.Logf("%d shapes refused %d times each; memory grew by %d MiB at most", len(refused), *siegeTimes, most>>20)
}

// heavyShapes are packages that are in order, and hard to load or to begin.
func heavyShapes() map[string]assembly {
	act := action{"act", i32const(0)}
	loop := []byte{opLoop, 0x40, opBr, 0, opEnd}
	exports := make([]action, 15_000)
	for n := range exports {
		exports[n] = action{fmt.Sprint("_", n), i32const(0)}
	}
	elements := join(uvar(150_000), repeat(join([]byte{0, opI32Const, 0, opEnd}, uvar(1), []byte{0}), 150_000))
	branch := join([]byte{opBlock, 0x40}, i32const(12345), []byte{opBrTable}, uvar(1_000_000), repeat([]byte{0}, 1_000_001), []byte{opEnd}, i32const(0))
	return map[string]assembly{
		"an initialisation without end": {actions: []action{act, {"_initialize", join(loop, i32const(0))}}},
		"a start function without end":  {actions: []action{act, {"", loop}}, plain: true, start: 2},
		"a start function that traps":   {actions: []action{act, {"", []byte{opUnreachable}}}, plain: true, start: 2},
		"a start function that grows":   {actions: []action{act, {"", join(i32const(200), []byte{0x40, 0}, drop)}}, plain: true, start: 2},
		"199,000 functions":             {actions: append([]action{act}, slices.Repeat([]action{{"", i32const(0)}}, 198_999)...)},
		"15,000 exports":                {actions: append([]action{act}, exports...)},
		"15 MiB of data":                {actions: []action{act}, pages: 250, data: strings.Repeat("x", 15<<20)},
		"150,000 data segments":         {actions: []action{act}, tail: section(11, uvar(150_000), repeat([]byte{0, opI32Const, 0, opEnd, 1, 'x'}, 150_000))},
		"data beyond the memory":        {actions: []action{act}, data: strings.Repeat("x", 1<<20)},
		"150,000 element segments":      {actions: []action{act}, table: 10, segments: elements},
		"a custom section of 40 MiB":    {actions: []action{act}, tail: custom("x", make([]byte, 40<<20))},
		"br_table of a million targets": {actions: []action{{"act", branch}}},
		"8,000 nested blocks":           {actions: []action{{"act", nested(opBlock, 8000)}}},
		"1,500 nested loops":            {actions: []action{{"act", nested(opLoop, 1500)}}},
	}
}

// TestSiegeByHeavyPackages installs packages that take long to compile or to begin, in workers as a server does. Each is installed in the time that
// there is for it, and then runs and is stopped like any other, or is refused; this process takes no memory for it either way.
func TestSiegeByHeavyPackages(t *testing.T) {
	const patience = 2 * time.Second
	h := newHost(t, host.Options{Memory: siegeMemory, CacheDir: t.TempDir(), Worker: host.Self(), WorkerMemory: 512 << 20, InstallTimeout: patience})
	stop := newWork(t, newHost(t, host.Options{})).beside(t)
	defer stop()
	heavy := heavyShapes()
	for _, name := range slices.Sorted(maps.Keys(heavy)) {
		b, err := bundle.Open(manifested(heavy[name].module(), plainManifest))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		began := time.Now()
		err = h.Install(t.Context(), b)
		took := time.Since(began)
		if took > patience+siegeTooLate {
			t.Errorf("%s: installed after %v", name, took)
		}
		if err != nil {
			if kind := abi.AsFault(err).Kind; kind != abi.Limit {
				t.Errorf("%s: %v", name, err)
			}
			t.Logf("%-30s refused after %v: %.150v", name, took, err)
			continue
		}
		var longest time.Duration
		for n := range *siegeTimes {
			s := shape{name: name, in: host.Invocation{Bundle: b, Action: "act", Timeout: *siegeDeadline}, ends: []abi.Kind{"", abi.Trap, abi.Limit}}
			longest = max(longest, s.turn(t, h, n))
		}
		t.Logf("%-30s installed after %v, ended at the latest after %v", name, took, longest)
	}
}
