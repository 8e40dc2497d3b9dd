package meter

import (
	"fmt"
	"strings"
)

// Parts is a module taken apart: what runs, and what its memory begins with. An instance of Code whose memory got the Segments, and whose
// Start was called then, is an instance of the module.
type Parts struct {
	// Code is the module without data, without a start function, and of the custom sections with what traces need only: modules that differ in
	// nothing else have the same code. Its exported memory and globals begin as declared.
	Code []byte
	// Segments are to be written into the memory, in their order. They are part of the module's bytes.
	Segments []Segment
	// Globals names the exports of all mutable globals but GlobalFuel.
	Globals []string
	// Obstacle is empty if the memory and the globals are all that calls can change. Otherwise it says what stands in the way; the module
	// cannot be taken apart then, and Code is the whole of it.
	Obstacle string
}

// Segment is what a module puts into its memory before anything runs.
type Segment struct {
	Offset uint32
	Data   []byte
}

// Start is the export, of type func(), that the start function of a module becomes when it is taken apart.
const Start = ExportPrefix + "start"

// Split takes an instrumented module apart, whose globals must be exported (Options.ExportGlobals). A host can then make instances that begin
// with a memory made before, without copying it.
func Split(bin []byte) (Parts, error) {
	m, err := parse(bin, DefaultLimits())
	if err != nil {
		return Parts{}, err
	}
	if err := m.scanCode(); err != nil {
		return Parts{}, err
	}
	if why := m.obstacle(); why != "" {
		return Parts{Code: bin, Obstacle: why}, nil
	}
	p := Parts{Code: m.code()}
	for _, s := range m.segments {
		p.Segments = append(p.Segments, Segment{s.offset, bin[s.init.start:s.init.end]})
	}
	for _, e := range m.exports {
		if e.kind == kindGlobal && m.globals[e.index].mutable && strings.HasPrefix(e.name, ExportPrefix) && e.name != GlobalFuel {
			p.Globals = append(p.Globals, e.name)
		}
	}
	return p, nil
}

// obstacle says why there is more to an instance of the module than its memory and its globals.
func (m *module) obstacle() string {
	switch {
	case m.tableWrite:
		return "the code changes tables"
	case m.bulkMemory:
		return "the code uses memory.init or data.drop"
	case m.impMemory:
		return "the memory is imported"
	case m.numTables > len(m.tables):
		return "a table is imported"
	}
	for i, g := range m.globals {
		switch {
		case !g.mutable:
		case g.imported:
			return fmt.Sprintf("global %d is imported and can change", i)
		case g.valType < valF64:
			return fmt.Sprintf("global %d can change and holds a vector or a reference", i)
		}
	}
	for _, e := range m.exports {
		if e.kind == kindTable {
			return fmt.Sprintf("table %q is exported, so others could change it", e.name)
		}
	}
	for i, s := range m.segments {
		if s.passive || !s.constant || uint64(s.offset)+uint64(s.init.end-s.init.start) > uint64(m.memMin)<<16 || !m.hasMemory {
			return fmt.Sprintf("where data segment %d goes is not known before it is put there, or is outside of the memory", i)
		}
	}
	if m.start != nil {
		switch t := m.types[m.funcs[*m.start]]; {
		case len(t.params)+len(t.results) > 0:
			return "the start function has parameters or results"
		case m.refFunc: // an export is a declaration, which would make a module valid that is not
			return "the code uses ref.func, and there is a start function"
		}
	}
	return ""
}

// code returns the module without its data.
func (m *module) code() []byte {
	exports := m.exports
	if m.start != nil {
		exports = append(exports[:len(exports):len(exports)], export{name: Start, kind: kindFunc, index: *m.start})
	}
	out := append(make([]byte, 0, len(m.bin)), m.bin[:8]...)
	wrote := false
	for _, s := range m.sections {
		if s.id != secCustom && order(s.id) >= secExport && !wrote {
			out, wrote = appendSection(out, secExport, exportsOf(exports)), true
		}
		switch {
		case s.id == secExport || s.id == secStart || s.id == secData || s.id == secDataCount:
		case s.id != secCustom:
			out = appendSection(out, s.id, m.bin[s.start:s.end])
		case s.name == "name":
			out = appendSection(out, s.id, append(appendName(nil, s.name), m.codeNames(s)...))
		case isDebug(s.name):
			out = appendSection(out, s.id, append(appendName(nil, s.name), m.bin[s.start:s.end]...))
		}
	}
	return out
}

func exportsOf(list []export) []byte {
	b := appendU32(nil, uint32(len(list)))
	for _, e := range list {
		b = appendU32(append(appendName(b, e.name), e.kind), e.index)
	}
	return b
}

// namesData is the subsection with the names of data segments.
const namesData = 9

// codeNames returns the name section without the names of data segments.
func (m *module) codeNames(s section) []byte {
	r := &reader{b: m.bin, pos: s.start, end: s.end}
	var out []byte
	for r.more() {
		at := r.pos
		id := r.byte()
		r.take(r.count("bytes", 1, r.left()))
		if r.ok() && id != namesData {
			out = append(out, m.bin[at:r.pos]...)
		}
	}
	if !r.ok() {
		return m.bin[s.start:s.end]
	}
	return out
}

// scanCode decodes all bodies, for what the module is known to use.
func (m *module) scanCode() error {
	f := &function{m: m}
	for i := range m.bodies {
		if err := f.read(i); err != nil {
			return err
		}
	}
	return nil
}

// segment is a data segment.
type segment struct {
	passive  bool
	constant bool   // the offset is an i32.const
	offset   uint32 // if constant
	init     span
}

func (m *module) parseSegment(r *reader) segment {
	var s segment
	switch kind := r.u32(); kind {
	case 0, 2:
		if kind == 2 && r.u32() != 0 {
			r.fail("data segment of another memory than 0")
		}
		s.offset, s.constant = m.offsetExpr(r)
	case 1:
		s.passive = true
	default:
		r.fail("data segment of unknown kind %d", kind)
	}
	n := r.count("bytes of data", 1, r.left())
	s.init = span{r.pos, r.pos + n}
	r.take(n)
	return s
}

// offsetExpr reads the offset of an active segment.
func (m *module) offsetExpr(r *reader) (uint32, bool) {
	at := r.pos
	m.constExpr(r, nil)
	if !r.ok() || r.b[at] != opI32Const {
		return 0, false
	}
	c := &reader{b: r.b, pos: at + 1, end: r.pos}
	v := c.s33()
	return uint32(v), c.ok() && c.left() == 1
}
