package meter

// sink receives the bytes of what is read, with indices of functions moved. A nil sink only checks.
type sink struct {
	out []byte
	fn  func(uint32) uint32
}

func (s *sink) raw(b []byte) {
	if s != nil {
		s.out = append(s.out, b...)
	}
}

func (s *sink) u32(v uint32) {
	if s != nil {
		s.out = appendU32(s.out, v)
	}
}

func (s *sink) funcIndex(v uint32) {
	if s != nil {
		s.out = appendU32(s.out, s.fn(v))
	}
}

// constExpr reads a constant expression with its end.
func (m *module) constExpr(r *reader, s *sink) {
	for r.ok() {
		at := r.pos
		switch op := r.byte(); op {
		case opI32Const:
			r.skipLEB(5)
		case opI64Const:
			r.skipLEB(10)
		case opF32Const:
			r.take(4)
		case opF64Const:
			r.take(8)
		case opGlobalGet:
			if g := r.u32(); r.ok() && int64(g) >= int64(len(m.globals)) {
				r.fail("unknown global %d", g)
			}
		case opRefNull:
			r.byte()
		case opRefFunc:
			f := m.funcIndex(r)
			s.raw([]byte{op})
			s.funcIndex(f)
			continue
		case opVecPrefix:
			if v := r.byte(); v != vecConst {
				r.fail("instruction %#x %#x in a constant expression", op, v)
			}
			r.take(16)
		case opEnd:
			s.raw([]byte{op})
			return
		default:
			if r.ok() {
				r.pos = at
				r.fail("instruction %#x in a constant expression", op)
			}
		}
		if r.ok() {
			s.raw(r.b[at:r.pos])
		}
	}
}

// element reads an element segment; the kinds are those of section 5.5.12 of the specification.
func (m *module) element(r *reader, s *sink) {
	kind := r.u32()
	if kind > 7 {
		r.fail("element segment of unknown kind %d", kind)
	}
	s.u32(kind)
	if kind&1 == 0 { // active
		if kind&2 != 0 {
			t := r.u32()
			if r.ok() && int64(t) >= int64(m.numTables) {
				r.fail("unknown table %d", t)
			}
			s.u32(t)
		}
		m.constExpr(r, s)
	}
	if kind&3 != 0 {
		b := r.byte() // element kind or type, the runtime judges it
		s.raw([]byte{b})
	}
	n := r.count("elements", 1, 10_000_000)
	s.u32(uint32(n))
	for range n {
		if !r.ok() {
			return
		}
		if kind&4 != 0 {
			m.constExpr(r, s)
		} else {
			s.funcIndex(m.funcIndex(r))
		}
	}
}
