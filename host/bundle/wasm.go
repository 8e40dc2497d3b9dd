package bundle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A module as far as a host must know it before it runs one: what it imports, what it exports, how much memory and table it begins with.
// https://webassembly.github.io/spec/core/binary/modules.html defines the bytes.

// Section ids of the binary format.
const (
	sectionCustom   = 0
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionTable    = 4
	sectionMemory   = 5
	sectionExport   = 7
)

// External kinds of imports and exports.
const (
	kindFunction = 0
	kindTable    = 1
	kindMemory   = 2
	kindGlobal   = 3
	kindTag      = 4
)

// maxEntries bounds every vector that is read, so that a forged length costs nothing.
const maxEntries = 1 << 20

// signature is the type of a function, one byte per value type.
type signature struct{ params, results string }

// actionSignature is () -> i32.
var actionSignature = signature{results: "\x7f"}

type importEntry struct {
	module, name string
	kind         byte
	typ          signature // functions only
}

type exportEntry struct {
	kind byte
	typ  signature // functions only
}

// limits are those of a memory (in pages of 64 KiB) or of a table (in elements); max is -1 where there is none.
type limits struct {
	min    uint64
	max    int64
	shared bool
}

type section struct {
	id         byte
	name       string // custom sections only
	start, end int    // the whole section in the module
	body       []byte // contents, after the name of a custom section
}

type module struct {
	types     []signature
	imports   []importEntry
	functions []uint64 // indexes into types, of the functions that are not imported
	exports   map[string]exportEntry
	memories  []limits
	tables    []limits
}

var errTruncated = errors.New("the bytes end in the middle of something")

// reader reads the primitives of the format; after the first error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errTruncated)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errTruncated)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail(errTruncated)
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) name() string {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.fail(errors.New("a name is not UTF-8"))
	}
	return string(b)
}

// count reads the length of a vector, each entry of which takes at least one byte.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) || n > maxEntries {
		r.fail(errTruncated)
		return 0
	}
	return int(n)
}

// sections splits a core module; the format's preamble is checked.
func sections(b []byte) ([]section, error) {
	if len(b) < 8 || string(b[:4]) != "\x00asm" {
		return nil, errors.New("this is not a WebAssembly module")
	}
	if string(b[4:8]) != "\x01\x00\x00\x00" {
		return nil, fmt.Errorf("this is not a core module of version 1 (found % x)", b[4:8])
	}
	var all []section
	r := &reader{b: b[8:]}
	for len(r.b) > 0 {
		s := section{start: len(b) - len(r.b), id: r.byte()}
		s.body = r.bytes()
		s.end = len(b) - len(r.b)
		if s.id == sectionCustom && r.err == nil {
			inner := &reader{b: s.body}
			s.name, s.body = inner.name(), inner.b
			r.err = inner.err
		}
		if r.err != nil {
			return nil, fmt.Errorf("section at byte %d: %w", s.start, r.err)
		}
		all = append(all, s)
	}
	return all, nil
}

// parse reads the declarations of a module out of its sections.
func parse(all []section) (*module, error) {
	m := &module{exports: map[string]exportEntry{}}
	seen := map[byte]bool{}
	for _, s := range all {
		if s.id == sectionCustom {
			continue
		}
		if seen[s.id] {
			return nil, fmt.Errorf("section %d occurs twice", s.id)
		}
		seen[s.id] = true
		r := &reader{b: s.body}
		switch s.id {
		case sectionType:
			m.readTypes(r)
		case sectionImport:
			m.readImports(r)
		case sectionFunction:
			for range r.count() {
				m.functions = append(m.functions, r.uint())
			}
		case sectionTable:
			for range r.count() {
				r.byte() // element type
				m.tables = append(m.tables, r.limits())
			}
		case sectionMemory:
			for range r.count() {
				m.memories = append(m.memories, r.limits())
			}
		case sectionExport:
			m.readExports(r)
		}
		if r.err != nil {
			return nil, fmt.Errorf("section %d at byte %d: %w", s.id, s.start, r.err)
		}
	}
	return m, nil
}

func (m *module) readTypes(r *reader) {
	for range r.count() {
		if form := r.byte(); form != 0x60 && r.err == nil {
			r.fail(fmt.Errorf("type of form %#x, expected a function", form))
		}
		m.types = append(m.types, signature{params: string(r.bytes()), results: string(r.bytes())})
	}
}

func (m *module) readImports(r *reader) {
	for range r.count() {
		e := importEntry{module: r.name(), name: r.name(), kind: r.byte()}
		switch e.kind {
		case kindFunction:
			e.typ = m.typeAt(r, r.uint())
		case kindTable:
			r.byte()
			r.limits()
		case kindMemory:
			r.limits()
		case kindGlobal:
			r.byte()
			r.byte()
		case kindTag:
			r.byte()
			r.uint()
		default:
			r.fail(fmt.Errorf("import of unknown kind %d", e.kind))
		}
		m.imports = append(m.imports, e)
	}
}

func (m *module) readExports(r *reader) {
	var imported []signature
	for _, e := range m.imports {
		if e.kind == kindFunction {
			imported = append(imported, e.typ)
		}
	}
	for range r.count() {
		name, e, index := r.name(), exportEntry{kind: r.byte()}, r.uint()
		if e.kind == kindFunction {
			own := index - uint64(len(imported))
			switch {
			case index < uint64(len(imported)):
				e.typ = imported[index]
			case own < uint64(len(m.functions)):
				e.typ = m.typeAt(r, m.functions[own])
			default:
				r.fail(fmt.Errorf("export %q of a function that is not there", name))
				return
			}
		}
		m.exports[name] = e
	}
}

func (m *module) typeAt(r *reader, index uint64) signature {
	if index >= uint64(len(m.types)) {
		r.fail(fmt.Errorf("function of type %d, which is not there", index))
		return signature{}
	}
	return m.types[index]
}

func (r *reader) limits() limits {
	flags := r.byte()
	l := limits{min: r.uint(), max: -1, shared: flags&2 != 0}
	if flags&1 != 0 {
		l.max = int64(min(r.uint(), 1<<48))
	}
	return l
}

// custom makes a custom section.
func custom(name string, body []byte) []byte {
	inner := binary.AppendUvarint(nil, uint64(len(name)))
	inner = append(append(inner, name...), body...)
	return append(binary.AppendUvarint([]byte{sectionCustom}, uint64(len(inner))), inner...)
}
