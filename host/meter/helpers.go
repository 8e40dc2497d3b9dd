package meter

import "strconv"

// GlobalName is the name under which Options.ExportGlobals exports the global with the index.
func GlobalName(index int) string { return GlobalPrefix + strconv.Itoa(index) }

// pieceShift is the size in which memory.copy and memory.fill are done, as a power of two.
const pieceShift = 16

// helpers are the indices of the injected functions; 0 for those that the module does not need.
type helpers struct {
	ask      uint32 // () asks the host for fuel or reports that the stack is used up
	pay      uint32 // (i32) settles what a loop has spent
	copy     uint32 // memory.copy
	fill     uint32 // memory.fill
	grow     uint32 // memory.grow
	init     uint32 // (i32) i32 charges for the bytes of memory.init
	elements uint32 // (i32) i32 charges for elements of a table
}

// need returns the index of a helper, which it reserves at the first use.
func (w *rewriter) need(h *uint32) uint32 {
	if *h == 0 {
		*h = w.nextFunc
		w.nextFunc++
	}
	return *h
}

type helper struct {
	name string
	typ  uint32
	body []byte
}

// writeHelpers returns the injected functions in the order of their indices.
func (w *rewriter) writeHelpers() []helper {
	first := uint32(len(w.m.funcs)) + importedFuncs
	out := make([]helper, w.nextFunc-first)
	const i32, i32x3 = "\x7f", "\x7f\x7f\x7f"
	for _, h := range []struct {
		index           uint32
		name            string
		params, results string
		body            func() []byte
	}{
		{w.helpers.ask, "ask", "", "", w.askBody},
		{w.helpers.pay, "pay", i32, "", w.payBody},
		{w.helpers.copy, "memory.copy", i32x3, "", w.copyBody},
		{w.helpers.fill, "memory.fill", i32x3, "", w.fillBody},
		{w.helpers.grow, "memory.grow", i32, i32, w.growBody},
		{w.helpers.init, "memory.init", i32, i32, func() []byte { return w.lengthBody(uint32(w.m.limits.ModuleBytes), bytesPerFuel) }},
		{w.helpers.elements, "table", i32, i32, func() []byte { return w.lengthBody(w.m.limits.TableElements, 0) }},
	} {
		if h.index != 0 {
			out[h.index-first] = helper{name: ImportModule + "." + h.name, typ: w.typeOf(h.params, h.results), body: h.body()}
		}
	}
	return out
}

// asm appends instructions; numbers are single bytes, indices of globals and functions are encoded.
type asm struct {
	w *rewriter
	b []byte
}

func (a *asm) op(b ...byte) *asm             { a.b = append(a.b, b...); return a }
func (a *asm) get(g uint32) *asm             { a.b = appendU32(append(a.b, opGlobalGet), g); return a }
func (a *asm) set(g uint32) *asm             { a.b = appendU32(append(a.b, opGlobalSet), g); return a }
func (a *asm) call(f uint32) *asm            { a.b = appendU32(append(a.b, opCall), f); return a }
func (a *asm) i32(v int64) *asm              { a.b = appendS64(append(a.b, opI32Const), v); return a }
func (a *asm) i64(v int64) *asm              { a.b = appendS64(append(a.b, opI64Const), v); return a }
func (a *asm) local(op byte, l int32) *asm   { a.b = appendU32(append(a.b, op), uint32(l)); return a }
func (a *asm) end() []byte                   { return append(a.b, opEnd) }
func (w *rewriter) body(locals ...byte) *asm { return &asm{w: w, b: append([]byte(nil), locals...)} }

func (w *rewriter) askBody() []byte {
	a := w.body(0)
	a.get(w.stack).i64(0).op(opI64LtS, opIf, blockEmpty).call(w.overflow()).op(opUnreachable, opEnd)
	a.get(w.fuel).i64(0).op(opI64LtS, opIf, blockEmpty)
	a.get(w.fuel).call(w.refill()).set(w.fuel)
	a.get(w.fuel).i64(0).op(opI64LtS, opIf, blockEmpty, opUnreachable, opEnd)
	return a.op(opEnd).end()
}

// checkFuel asks the host if there is no fuel left.
func (a *asm) checkFuel() *asm { return a.get(a.w.fuel).askIfNegative() }

// askIfNegative asks the host if the i64 on the operand stack is negative.
func (a *asm) askIfNegative() *asm {
	return a.i64(0).op(opI64LtS, opIf, blockEmpty).call(a.w.helpers.ask).op(opEnd)
}

func (w *rewriter) payBody() []byte {
	a := w.body(0)
	a.get(w.fuel).local(opLocalGet, 0).op(opI64ExtendU, opI64Sub).set(w.fuel)
	return a.checkFuel().end()
}

// outside puts on the operand stack whether the l-th local, an address, and the second local, a length, lie outside the memory.
func (a *asm) outside(l int32) *asm {
	a.local(opLocalGet, l).op(opI64ExtendU).local(opLocalGet, 2).op(opI64ExtendU, opI64Add)
	return a.op(opMemorySize, 0, opI64ExtendU).i64(16).op(opI64Shl, opI64GtU)
}

// chargeBytes takes the price of as many bytes as the third local says from the fuel.
func (a *asm) chargeBytes(l int32) *asm {
	return a.get(a.w.fuel).local(opLocalGet, l).i32(bytesPerFuel).op(opI32ShrU, opI64ExtendU, opI64Sub).set(a.w.fuel)
}

// fillBody is func(dst, value, n): whole if n is small or the range is not inside the memory, when it traps; else in pieces.
func (w *rewriter) fillBody() []byte {
	a := w.body(0)
	whole := func() {
		a.chargeBytes(2)
		a.local(opLocalGet, 0).local(opLocalGet, 1).local(opLocalGet, 2).op(opMiscPrefix, miscMemoryFill, 0)
	}
	a.local(opLocalGet, 2).i32(1<<pieceShift).op(opI32LeU, opIf, blockEmpty)
	whole()
	a.op(opReturn, opEnd)
	a.outside(0).op(opIf, blockEmpty)
	a.local(opLocalGet, 0).local(opLocalGet, 1).local(opLocalGet, 2).op(opMiscPrefix, miscMemoryFill, 0, opUnreachable, opEnd)
	a.op(opLoop, blockEmpty)
	a.charge64K().checkFuel()
	a.local(opLocalGet, 0).local(opLocalGet, 1).i32(1<<pieceShift).op(opMiscPrefix, miscMemoryFill, 0)
	a.advance(0)
	a.shorten().op(opEnd)
	whole()
	return a.end()
}

// charge64K charges one piece.
func (a *asm) charge64K() *asm {
	return a.get(a.w.fuel).i64(1 << (pieceShift - bytesPerFuel)).op(opI64Sub).set(a.w.fuel)
}

// advance moves the l-th local, an address, by one piece.
func (a *asm) advance(l int32) *asm {
	return a.local(opLocalGet, l).i32(1<<pieceShift).op(opI32Add).local(opLocalSet, l)
}

// shorten takes a piece off the length in local 2, and goes around the loop while more than a piece is left.
func (a *asm) shorten() *asm {
	a.local(opLocalGet, 2).i32(1<<pieceShift).op(opI32Sub).local(opLocalTee, 2)
	return a.i32(1<<pieceShift).op(opI32GtU, 0x0d, 0)
}

// copyBody is func(dst, src, n). Pieces go from the end of the range if it moves up, for it may overlap itself.
func (w *rewriter) copyBody() []byte {
	a := w.body(0)
	whole := func() {
		a.local(opLocalGet, 0).local(opLocalGet, 1).local(opLocalGet, 2).op(opMiscPrefix, miscMemoryCopy, 0, 0)
	}
	a.local(opLocalGet, 2).i32(1<<pieceShift).op(opI32LeU, opIf, blockEmpty)
	a.chargeBytes(2)
	whole()
	a.op(opReturn, opEnd)
	a.outside(0)
	a.outside(1).op(0x72, opIf, blockEmpty) // i32.or
	whole()
	a.op(opUnreachable, opEnd)
	a.local(opLocalGet, 0).local(opLocalGet, 1).op(opI32GtU, opIf, blockEmpty)
	a.op(opLoop, blockEmpty)
	a.charge64K().checkFuel()
	for l := range int32(2) { // from the end: address + n - piece
		a.local(opLocalGet, l).local(opLocalGet, 2).op(opI32Add).i32(1 << pieceShift).op(opI32Sub)
	}
	a.i32(1<<pieceShift).op(opMiscPrefix, miscMemoryCopy, 0, 0)
	a.shorten().op(opEnd, opElse)
	a.op(opLoop, blockEmpty)
	a.charge64K().checkFuel()
	a.local(opLocalGet, 0).local(opLocalGet, 1).i32(1<<pieceShift).op(opMiscPrefix, miscMemoryCopy, 0, 0)
	a.advance(0).advance(1)
	a.shorten().op(opEnd, opEnd)
	a.chargeBytes(2)
	whole()
	return a.end()
}

// growBody is func(pages) previous; it charges for what was granted.
func (w *rewriter) growBody() []byte {
	a := w.body(1, 1, valI32)
	a.local(opLocalGet, 0).op(opMemoryGrow, 0).local(opLocalTee, 1).i32(-1).op(0x47, opIf, blockEmpty) // i32.ne
	a.get(w.fuel).local(opLocalGet, 0).op(opI64ExtendU).i64(costPage).op(0x7e, opI64Sub).set(w.fuel)   // i64.mul
	a.checkFuel().op(opEnd)
	return a.local(opLocalGet, 1).end()
}

// lengthBody is func(n) n; it charges n, but not more than the instruction can do without a trap.
func (w *rewriter) lengthBody(most uint32, shift int64) []byte {
	a := w.body(0)
	a.get(w.fuel).local(opLocalGet, 0).i32(int64(int32(most)))
	a.local(opLocalGet, 0).i32(int64(int32(most))).op(opI32LtU, opSelect)
	a.i32(shift).op(opI32ShrU, opI64ExtendU, opI64Sub).set(w.fuel)
	return a.checkFuel().local(opLocalGet, 0).end()
}
