package meter

import "slices"

// Section ids of the binary format, WebAssembly core specification 2.0, section 5.5.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
)

var sectionNames = [...]string{"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code", "data", "data count"}

// Value types.
const (
	valI32       = 0x7f
	valI64       = 0x7e
	valF32       = 0x7d
	valF64       = 0x7c
	valV128      = 0x7b
	valFuncref   = 0x70
	valExternref = 0x6f
)

// Kinds of imports and exports.
const (
	kindFunc = iota
	kindTable
	kindMemory
	kindGlobal
)

// span is a range of bytes of the module.
type span struct{ start, end int }

type section struct {
	id   byte
	name string // of a custom section
	span        // content; of a custom section without its name
}

type funcType struct{ params, results []byte }

type global struct {
	valType  byte
	mutable  bool
	imported bool
	span     // the whole entry
	expr     span
}

type table struct {
	span
	refType  byte
	min, max uint32
	hasMax   bool
}

type export struct {
	name  string
	kind  byte
	index uint32
}

// module is what the rewriters know of a module. Sections that they do not change are only spans.
type module struct {
	bin      []byte
	limits   Limits
	sections []section

	types      []funcType
	imports    []string // "module" of each import, to find reserved ones
	funcs      []uint32 // type of each function, imported ones first
	numImpFunc int
	globals    []global // imported ones first
	numTables  int      // imported and defined
	tables     []table  // defined
	hasMemory  bool
	impMemory  bool
	memory     span // the entry of a defined memory
	memMin     uint32
	memMax     uint32
	memHasMax  bool
	exports    []export
	start      *uint32
	dataCount  *uint32
	bodies     []span
	segments   []segment

	bulkMemory bool // code uses memory.init or data.drop
	tableWrite bool // code uses table.set, table.grow, table.fill, table.copy, table.init or elem.drop
	refFunc    bool // code uses ref.func
}

func parse(bin []byte, l Limits) (*module, error) {
	r := &reader{b: bin, end: len(bin), section: "module"}
	if len(bin) > l.ModuleBytes {
		r.fail("%d bytes, at most %d are allowed", len(bin), l.ModuleBytes)
		return nil, r.err
	}
	magic := r.take(8)
	if r.err != nil || string(magic) != "\x00asm\x01\x00\x00\x00" {
		e := &Error{Section: "module", Problem: "not a core WebAssembly module of version 1"}
		if len(bin) >= 8 && string(bin[:4]) == "\x00asm" && bin[6] == 1 {
			e.Problem, e.Hint = "a WebAssembly component, a core module is expected", "build for wasm32-wasip1 instead of wasip2"
		}
		return nil, e
	}
	m := &module{bin: bin, limits: l}
	last := 0
	for r.more() {
		at := r.pos
		id := r.byte()
		size := r.count("bytes of section", 1, len(bin))
		if r.err == nil && int(id) >= len(sectionNames) {
			r.pos = at
			r.fail("unknown section %d", id)
		}
		if r.err != nil {
			return nil, r.err
		}
		if id != secCustom {
			if order(id) <= last {
				r.pos = at
				r.fail("section %q is in the wrong place", sectionNames[id])
				return nil, r.err
			}
			last = order(id)
		}
		s := &reader{b: bin, pos: r.pos, end: r.pos + size, section: sectionNames[id]}
		if err := m.parseSection(s, id); err != nil {
			return nil, err
		}
		r.pos += size
	}
	if len(m.bodies) != len(m.funcs)-m.numImpFunc {
		r.fail("%d functions declared, %d bodies follow", len(m.funcs)-m.numImpFunc, len(m.bodies))
	}
	if m.dataCount != nil && int(*m.dataCount) != len(m.segments) {
		r.fail("%d data segments announced, %d follow", *m.dataCount, len(m.segments))
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

// order of a section in the module; the data count section comes before the code.
func order(id byte) int {
	switch {
	case id == secDataCount:
		return secCode
	case id >= secCode:
		return int(id) + 1
	}
	return int(id)
}

func (m *module) parseSection(r *reader, id byte) error {
	sec := section{id: id, span: span{r.pos, r.end}}
	switch id {
	case secCustom:
		sec.name = r.name()
		sec.start = r.pos
		r.pos = r.end
	case secType:
		m.parseTypes(r)
	case secImport:
		m.parseImports(r)
	case secFunction:
		for range r.count("functions", 1, m.limits.Functions) {
			m.funcs = append(m.funcs, m.typeIndex(r))
		}
	case secTable:
		for range r.count("tables", 3, m.limits.Tables) {
			m.tables = append(m.tables, m.parseTable(r))
			m.numTables++
		}
	case secMemory:
		for range r.count("memories", 2, 1) {
			at := r.pos
			m.parseMemory(r)
			m.memory = span{at, r.pos}
		}
	case secGlobal:
		for range r.count("globals", 4, m.limits.Globals) {
			m.parseGlobal(r)
		}
	case secExport:
		m.parseExports(r)
	case secStart:
		f := m.funcIndex(r)
		m.start = &f
	case secElement:
		for range r.count("element segments", 2, m.limits.Segments) {
			m.element(r, nil)
		}
	case secDataCount:
		n := r.u32()
		m.dataCount = &n
	case secCode:
		for range r.count("bodies", 2, m.limits.Functions) {
			n := r.count("bytes of body", 1, m.limits.FunctionBytes)
			m.bodies = append(m.bodies, span{r.pos, r.pos + n})
			r.take(n)
		}
	case secData:
		for range r.count("data segments", 2, m.limits.Segments) {
			m.segments = append(m.segments, m.parseSegment(r))
		}
	}
	if r.err == nil && r.pos != r.end {
		r.fail("%d bytes too many", r.left())
	}
	if r.err != nil {
		return r.err
	}
	m.sections = append(m.sections, sec)
	return nil
}

func (m *module) parseTypes(r *reader) {
	for range r.count("types", 3, m.limits.Types) {
		if form := r.byte(); r.ok() && form != 0x60 {
			r.fail("type of form %#x, only functions (0x60) are supported", form)
		}
		t := funcType{params: m.valTypes(r)}
		t.results = m.valTypes(r)
		if !r.ok() {
			return
		}
		m.types = append(m.types, t)
	}
}

func (m *module) valTypes(r *reader) []byte {
	ts := r.take(r.count("values", 1, 1000))
	for _, t := range ts {
		if !isValType(t) {
			r.fail("unknown value type %#x", t)
		}
	}
	return ts
}

func isValType(t byte) bool {
	return (t >= valV128 && t <= valI32) || t == valFuncref || t == valExternref
}

func (m *module) parseImports(r *reader) {
	for range r.count("imports", 4, m.limits.Imports) {
		m.imports = append(m.imports, r.name())
		r.name()
		switch kind := r.byte(); kind {
		case kindFunc:
			m.funcs = append(m.funcs, m.typeIndex(r))
			m.numImpFunc++
		case kindTable:
			m.parseTable(r)
			m.numTables++
		case kindMemory:
			m.impMemory = true
			m.parseMemory(r)
		case kindGlobal:
			g := global{imported: true}
			g.valType, g.mutable = m.globalType(r)
			m.globals = append(m.globals, g)
		default:
			r.fail("import of unknown kind %#x", kind)
		}
		if !r.ok() {
			return
		}
	}
}

func (m *module) limitsType(r *reader) (lo, hi uint32, hasMax bool) {
	switch flag := r.byte(); flag {
	case 0:
		return r.u32(), 0, false
	case 1:
		return r.u32(), r.u32(), true
	default:
		r.fail("limits of kind %#x, only 0 and 1 are supported (no shared or 64-bit memory)", flag)
		return 0, 0, false
	}
}

func (m *module) parseTable(r *reader) table {
	t := table{span: span{start: r.pos}}
	t.refType = r.byte()
	if r.ok() && t.refType != valFuncref && t.refType != valExternref {
		r.fail("table of unknown type %#x", t.refType)
	}
	t.min, t.max, t.hasMax = m.limitsType(r)
	if t.min > m.limits.TableElements {
		r.fail("table of %d elements, at most %d are allowed", t.min, m.limits.TableElements)
	}
	t.end = r.pos
	return t
}

func (m *module) parseMemory(r *reader) {
	if m.hasMemory {
		r.fail("more than one memory")
	}
	m.hasMemory = true
	m.memMin, m.memMax, m.memHasMax = m.limitsType(r)
	if m.memMin > m.limits.MemoryPages {
		r.fail("memory of %d pages, at most %d are allowed", m.memMin, m.limits.MemoryPages)
	}
}

func (m *module) globalType(r *reader) (byte, bool) {
	t := r.byte()
	if r.ok() && !isValType(t) {
		r.fail("unknown value type %#x", t)
	}
	mut := r.byte()
	if mut > 1 {
		r.fail("mutability %#x, 0 or 1 is expected", mut)
	}
	return t, mut == 1
}

func (m *module) parseGlobal(r *reader) {
	g := global{span: span{start: r.pos}}
	g.valType, g.mutable = m.globalType(r)
	g.expr.start = r.pos
	m.constExpr(r, nil)
	g.expr.end, g.end = r.pos, r.pos
	m.globals = append(m.globals, g)
}

func (m *module) parseExports(r *reader) {
	for range r.count("exports", 3, m.limits.Exports) {
		e := export{name: r.name()}
		e.kind, e.index = r.byte(), r.u32()
		switch {
		case !r.ok():
			return
		case e.kind == kindFunc && int64(e.index) >= int64(len(m.funcs)):
			r.fail("export of unknown function %d", e.index)
		case e.kind == kindGlobal && int64(e.index) >= int64(len(m.globals)):
			r.fail("export of unknown global %d", e.index)
		case e.kind > kindGlobal:
			r.fail("export of unknown kind %#x", e.kind)
		}
		m.exports = append(m.exports, e)
	}
}

func (m *module) refuseReserved() error {
	for _, name := range m.imports {
		if name == ImportModule {
			return &Error{Section: "import", Offset: m.find(secImport).start, Problem: "imports from " + ImportModule + ", which is reserved"}
		}
	}
	for _, e := range m.exports {
		if len(e.name) >= len(ExportPrefix) && e.name[:len(ExportPrefix)] == ExportPrefix {
			return &Error{Section: "export", Offset: m.find(secExport).start, Problem: "exports " + e.name + ", which is reserved"}
		}
	}
	return nil
}

// find returns the section with the id, which the module may not have.
func (m *module) find(id byte) section {
	if i := slices.IndexFunc(m.sections, func(s section) bool { return s.id == id }); i >= 0 {
		return m.sections[i]
	}
	return section{id: id}
}

func (m *module) typeIndex(r *reader) uint32 {
	t := r.u32()
	if r.ok() && int64(t) >= int64(len(m.types)) {
		r.fail("unknown type %d", t)
		return 0
	}
	return t
}

func (m *module) funcIndex(r *reader) uint32 {
	f := r.u32()
	if r.ok() && int64(f) >= int64(len(m.funcs)) {
		r.fail("unknown function %d", f)
		return 0
	}
	return f
}
