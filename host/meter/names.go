package meter

// Subsections of the name section that are keyed by function, https://webassembly.github.io/spec/core/appendix/custom.html and the
// extended name section proposal.
const (
	namesModule    = 0
	namesFunctions = 1
	namesLocals    = 2
	namesLabels    = 3
)

// custom copies a custom section. Function indices of the name section move, so that traps name the right functions. Debug sections are left
// out: see Places.
func (w *rewriter) custom(out []byte, s section) ([]byte, error) {
	if isDebug(s.name) {
		return out, nil
	}
	b := appendName(nil, s.name)
	if s.name != "name" {
		return appendSection(out, secCustom, append(b, w.m.bin[s.start:s.end]...)), nil
	}
	if w.named {
		return nil, &Error{Section: "custom", Offset: s.start, Problem: "a second name section"}
	}
	w.named = true
	b, err := w.names(b, s)
	if err != nil {
		return nil, err
	}
	return appendSection(out, secCustom, b), nil
}

// names rewrites the name section; subsections that are not keyed by function are copied, but for the name of the module.
func (w *rewriter) names(b []byte, s section) ([]byte, error) {
	r := &reader{b: w.m.bin, pos: s.start, end: s.end, section: "name"}
	functions := false
	for r.more() {
		id := r.byte()
		n := r.count("bytes of names", 1, r.left())
		sub := &reader{b: r.b, pos: r.pos, end: r.pos + n, section: "name"}
		data := r.take(n)
		if !r.ok() {
			break
		}
		if !functions && id > namesFunctions {
			b, functions = w.helperNames(b, nil, 0), true
		}
		switch id {
		case namesModule:
			sub.name() // left out: it would stand before each function of a trace
		case namesFunctions:
			if functions {
				sub.fail("function names out of order")
			}
			functions = true
			kept, count := w.functionNames(sub)
			b = w.helperNames(b, kept, count)
		case namesLocals, namesLabels:
			b = appendSection(b, id, w.innerNames(sub))
		default:
			sub.pos = sub.end
			b = appendSection(b, id, data)
		}
		if sub.ok() && sub.pos != sub.end {
			sub.fail("%d bytes too many", sub.left())
		}
		if sub.err != nil {
			return nil, sub.err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if !functions {
		b = w.helperNames(b, nil, 0)
	}
	return b, nil
}

// functionNames returns the entries of the function names, without their number.
func (w *rewriter) functionNames(r *reader) ([]byte, uint32) {
	var out []byte
	kept := uint32(0)
	for range r.count("function names", 2, 10_000_000) {
		f, name := r.u32(), r.name()
		if r.ok() && int64(f) < int64(len(w.m.funcs)) {
			out = appendName(appendU32(out, w.moveFunc(f)), name)
			kept++
		}
	}
	return out, kept
}

// helperNames appends the subsection of function names with those of the injected functions.
func (w *rewriter) helperNames(b, entries []byte, count uint32) []byte {
	first := uint32(len(w.m.funcs)) + importedFuncs
	for i, name := range w.helperList {
		entries = appendName(appendU32(entries, first+uint32(i)), name)
	}
	content := append(appendU32(nil, count+uint32(len(w.helperList))), entries...)
	return appendSection(b, namesFunctions, content)
}

// innerNames moves the functions of names of locals and labels.
func (w *rewriter) innerNames(r *reader) []byte {
	var out []byte
	kept := uint32(0)
	for range r.count("functions", 2, 10_000_000) {
		f := r.u32()
		at := r.pos
		for range r.count("names", 2, 10_000_000) {
			r.u32()
			r.name()
			if !r.ok() {
				return nil
			}
		}
		if r.ok() && int64(f) < int64(len(w.m.funcs)) {
			out = append(appendU32(out, w.moveFunc(f)), r.b[at:r.pos]...)
			kept++
		}
	}
	return append(appendU32(nil, kept), out...)
}
