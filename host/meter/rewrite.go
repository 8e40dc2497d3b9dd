package meter

// rewriter builds the instrumented module.
type rewriter struct {
	m           *module
	o           Options
	fuel, stack uint32 // indices of the injected globals
	types       []funcType
	helpers     helpers
	nextFunc    uint32
	named       bool     // the name section has been written
	helperList  []string // names of the injected functions
	buf         []byte
	open        []opened
	tracer      *tracer // nil but in Places
}

// importedFuncs is the number of functions that a rewritten module imports besides its own.
const importedFuncs = 2

func newRewriter(m *module, o Options) *rewriter {
	w := &rewriter{m: m, o: o, fuel: uint32(len(m.globals)), types: m.types[:len(m.types):len(m.types)]}
	w.stack = w.fuel + 1
	w.nextFunc = uint32(len(m.funcs)) + importedFuncs
	w.need(&w.helpers.ask)
	w.need(&w.helpers.pay)
	return w
}

// moveFunc gives the new index of a function: the injected imports come behind the imported functions of the module.
func (w *rewriter) moveFunc(f uint32) uint32 {
	if int(f) < w.m.numImpFunc {
		return f
	}
	return f + importedFuncs
}

func (w *rewriter) refill() uint32   { return uint32(w.m.numImpFunc) }
func (w *rewriter) overflow() uint32 { return uint32(w.m.numImpFunc) + 1 }

// typeOf returns the index of a function type, which it adds if the module does not have it.
func (w *rewriter) typeOf(params, results string) uint32 {
	for i, t := range w.types {
		if string(t.params) == params && string(t.results) == results {
			return uint32(i)
		}
	}
	w.types = append(w.types, funcType{params: []byte(params), results: []byte(results)})
	return uint32(len(w.types) - 1)
}

// resultType appends the type of a block without parameters.
func (w *rewriter) resultType(results, b []byte) []byte {
	switch len(results) {
	case 0:
		return append(b, blockEmpty)
	case 1:
		return append(b, results[0])
	}
	return appendS64(b, int64(w.typeOf("", string(results))))
}

func (w *rewriter) run() ([]byte, error) {
	code, err := w.code()
	if err != nil {
		return nil, err
	}
	content := w.content(code) // after the code: it knows which types and helpers are needed
	out := make([]byte, 0, len(w.m.bin)+len(w.m.bin)/4+1024)
	out = append(out, w.m.bin[:8]...)
	last := 0
	for _, s := range w.m.sections {
		if s.id == secCustom {
			if out, err = w.custom(out, s); err != nil {
				return nil, err
			}
			continue
		}
		out, last = w.missing(out, content, last, order(s.id)), order(s.id)
		if c, ok := content[s.id]; ok {
			out = appendSection(out, s.id, c)
		} else {
			out = appendSection(out, s.id, w.m.bin[s.start:s.end])
		}
	}
	out = w.missing(out, content, last, order(secData)+1)
	if !w.named {
		out = appendSection(out, secCustom, w.helperNames(appendName(nil, "name"), nil, 0))
	}
	if w.m.hasLines() {
		out = markers(out)
	}
	return out, nil
}

// missing appends the sections of content that the module did not have and that belong between two others.
func (w *rewriter) missing(out []byte, content map[byte][]byte, after, before int) []byte {
	for _, id := range []byte{secType, secImport, secFunction, secGlobal, secExport, secCode} {
		if c, ok := content[id]; ok && order(id) > after && order(id) < before {
			out = appendSection(out, id, c)
		}
	}
	return out
}

// code rewrites all bodies and appends the helpers.
func (w *rewriter) code() ([]byte, error) {
	f := &function{m: w.m}
	out := make([]byte, 0, len(w.m.bin)+len(w.m.bin)/4)
	var work int64
	for i := range w.m.bodies {
		if err := f.read(i); err != nil {
			return nil, err
		}
		if err := f.bound(i, &work); err != nil {
			return nil, err
		}
		out = w.write(f, out)
	}
	return out, nil
}

// content returns the sections that change, by id.
func (w *rewriter) content(code []byte) map[byte][]byte {
	m := w.m
	helpers := w.writeHelpers()
	c := map[byte][]byte{}
	body := append(appendCount(nil, len(m.bodies)+len(helpers)), code...)
	funcs := appendU32(nil, uint32(len(m.bodies)+len(helpers)))
	for _, t := range m.funcs[m.numImpFunc:] {
		funcs = appendU32(funcs, t)
	}
	for _, h := range helpers {
		w.helperList = append(w.helperList, h.name)
		funcs = appendU32(funcs, h.typ)
		body = append(appendU32(body, uint32(len(h.body))), h.body...)
	}
	c[secCode], c[secFunction] = body, funcs
	c[secImport] = w.importSection()
	c[secGlobal] = w.globalSection()
	c[secExport] = w.exportSection()
	if len(m.tables) > 0 {
		c[secTable] = w.tableSection()
	}
	if m.start != nil {
		c[secStart] = appendU32(nil, w.moveFunc(*m.start))
	}
	if s := m.find(secElement); s.end > 0 {
		c[secElement] = w.elementSection(s)
	}
	c[secType] = w.typeSection() // last: others add types
	return c
}

func (w *rewriter) typeSection() []byte {
	b := appendU32(nil, uint32(len(w.types)))
	for _, t := range w.types {
		b = append(b, 0x60)
		b = append(appendU32(b, uint32(len(t.params))), t.params...)
		b = append(appendU32(b, uint32(len(t.results))), t.results...)
	}
	return b
}

func (w *rewriter) importSection() []byte {
	b := appendU32(nil, uint32(len(w.m.imports)+importedFuncs))
	b = append(b, w.m.rest(secImport)...)
	b = append(appendName(appendName(b, ImportModule), ImportRefill), kindFunc)
	b = appendU32(b, w.typeOf("\x7e", "\x7e"))
	b = append(appendName(appendName(b, ImportModule), ImportOverflow), kindFunc)
	return appendU32(b, w.typeOf("", ""))
}

// rest returns the content of a section behind its count.
func (m *module) rest(id byte) []byte {
	s := m.find(id)
	r := &reader{b: m.bin, pos: s.start, end: s.end}
	if r.more() {
		r.u32()
	}
	return m.bin[r.pos:s.end]
}

func (w *rewriter) tableSection() []byte {
	b := appendU32(nil, uint32(len(w.m.tables)))
	for _, t := range w.m.tables {
		top := max(t.min, w.m.limits.TableGrown)
		if t.hasMax && t.max < top {
			top = t.max
		}
		b = appendU32(appendU32(append(b, t.refType, 1), t.min), top)
	}
	return b
}

func (w *rewriter) globalSection() []byte {
	n := uint32(2)
	s := &sink{fn: w.moveFunc}
	for _, g := range w.m.globals {
		if g.imported {
			continue
		}
		n++
		s.raw([]byte{g.valType, byte(b2u(g.mutable))})
		w.m.constExpr(&reader{b: w.m.bin, pos: g.expr.start, end: g.expr.end}, s)
	}
	b := append(appendU32(nil, n), s.out...)
	b = append(b, valI64, 1, opI64Const, 0, opEnd)
	b = appendS64(append(b, valI64, 1, opI64Const), w.o.Stack)
	return append(b, opEnd)
}

func (w *rewriter) exportSection() []byte {
	n := uint32(0)
	var b []byte
	add := func(name string, kind byte, index uint32) {
		n++
		b = appendU32(append(appendName(b, name), kind), index)
	}
	for _, e := range w.m.exports {
		if e.kind == kindFunc {
			e.index = w.moveFunc(e.index)
		}
		add(e.name, e.kind, e.index)
	}
	add(GlobalFuel, kindGlobal, w.fuel)
	add(GlobalStack, kindGlobal, w.stack)
	if w.o.ExportGlobals {
		for i, g := range w.m.globals {
			if g.mutable && !g.imported && g.valType >= valF64 {
				add(GlobalName(i), kindGlobal, uint32(i))
			}
		}
	}
	return append(appendU32(nil, n), b...)
}

func (w *rewriter) elementSection(s section) []byte {
	r := &reader{b: w.m.bin, pos: s.start, end: s.end}
	k := &sink{fn: w.moveFunc}
	n := r.u32()
	k.u32(n)
	for range n {
		w.m.element(r, k)
	}
	return k.out
}
