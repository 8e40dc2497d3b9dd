package meter

import (
	"cmp"
	"strings"
)

// Source lines. Debug sections (DWARF, https://yurydelendik.github.io/webassembly-dwarf) hold offsets into the code section, and those move
// when a module is rewritten. So a rewritten module has no debug sections of its own. In their place stand a few bytes that claim all code for
// one line: enough for a runtime to name the offset at which a trap happened. Places follows that offset back through the rewriting, which is
// done again for it, and looks it up in the original. A module costs nothing more for it until it traps.

// debugPrefix begins the names of the sections that hold DWARF.
const debugPrefix = ".debug_"

// hasLines says that the module can tell source lines.
func (m *module) hasLines() bool { return len(m.debug("info")) > 0 && len(m.debug("line")) > 0 }

// debug gives a section of the module's DWARF.
func (m *module) debug(name string) []byte {
	for _, s := range m.sections {
		if s.id == secCustom && s.name == debugPrefix+name {
			return m.bin[s.start:s.end]
		}
	}
	return nil
}

// markers are the debug sections of a rewritten module, in DWARF 4 with addresses of 4 bytes: one unit from 1 to 0x7ffffff1, and one line.
func markers(out []byte) []byte {
	for _, s := range []struct{ name, content string }{
		{"abbrev", "\x01\x11\x00" + // the first: a compile unit without children
			"\x11\x01" + "\x12\x06" + "\x10\x17" + "\x00\x00\x00"}, // low_pc: addr, high_pc: data4, stmt_list: sec_offset
		{"info", "\x14\x00\x00\x00" + "\x04\x00" + "\x00\x00\x00\x00" + "\x04" + // length, version, abbreviations, size of addresses
			"\x01" + "\x01\x00\x00\x00" + "\xf0\xff\xff\x7f" + "\x00\x00\x00\x00"},
		{"line", "\x2c\x00\x00\x00" + "\x02\x00" + "\x15\x00\x00\x00" + // length, version, length of the header
			"\x01\x01\x00\x01\x0a" + "\x00\x01\x01\x01\x01\x00\x00\x00\x01" + // how instructions are encoded
			"\x00" + "?\x00\x00\x00\x00" + "\x00" + // no directories, one file
			"\x00\x05\x02\x01\x00\x00\x00" + "\x01" + "\x02\xf0\xff\xff\xff\x07" + "\x00\x01\x01"}, // from 1, a line, up to the end
	} {
		out = appendSection(out, secCustom, append(appendName(nil, debugPrefix+s.name), s.content...))
	}
	return out
}

// piece is a run of bytes of a rewritten body that stands for bytes of the original one.
type piece struct{ at, origin, n int }

// tracer follows offsets back while bodies are rewritten.
type tracer struct {
	offsets []uint64 // in the rewritten code section
	origins []int    // in the original module; 0 if unknown
	pieces  []piece  // of the body that is being written
}

// keep notes that n bytes at a place of the rewritten body stand for bytes of the original.
func (t *tracer) keep(at, origin, n int) {
	if t != nil && n > 0 {
		t.pieces = append(t.pieces, piece{at, origin, n})
	}
}

// body is told where the body with the pieces begins and ends, and where the code of the original does. What was injected counts as the last
// byte before it.
func (t *tracer) body(start, end, first int) {
	if t == nil {
		return
	}
	for i, offset := range t.offsets {
		at := int(offset) - start
		if at < 0 || at >= end-start {
			continue
		}
		t.origins[i] = first
		for _, p := range t.pieces {
			if p.at > at {
				break
			}
			t.origins[i] = p.origin + min(at-p.at, p.n-1)
		}
	}
	t.pieces = t.pieces[:0]
}

// Place is where an instruction stands in the source.
type Place struct {
	Function string // in the language of the source, without what it is in; empty if it is not known
	File     string // relative to where it was compiled, if it is below
	Line     int
	Column   int // 0 if it is not known
}

// Places tells where instructions come from. The offsets are those of a rewritten module, from the beginning of the content of its code section;
// the module and the options are what it was made of. The places of an instruction are that in its own function first, then where each
// inlined function was called. There are none for an instruction that the module knows no place of.
func Places(module []byte, o Options, offsets []uint64) ([][]Place, error) {
	o.Limits = o.Limits.withDefaults()
	o.Stack = cmp.Or(o.Stack, DefaultStack)
	m, err := parse(module, o.Limits)
	if err != nil || !m.hasLines() {
		return make([][]Place, len(offsets)), err
	}
	w := newRewriter(m, o)
	w.tracer = &tracer{offsets: offsets, origins: make([]int, len(offsets))}
	if _, err := w.code(); err != nil {
		return nil, err
	}
	code := m.find(secCode).start
	for i, origin := range w.tracer.origins {
		w.tracer.origins[i] = max(origin-code, 0)
	}
	return m.lookUp(w.tracer.origins), nil
}

// isDebug says that a section is one of those that do not survive rewriting.
func isDebug(name string) bool { return strings.HasPrefix(name, debugPrefix) }
