package meter

// settleAt is the fuel that a loop may spend before it settles with the global.
const settleAt = 4096

// write appends the rewritten body with its size.
func (w *rewriter) write(f *function, out []byte) []byte {
	spent := none
	for u := range f.units {
		if f.inLocal(int32(u)) {
			spent = int32(f.numLocals)
			break
		}
	}
	left, extra := none, ""
	if spent >= 0 {
		extra += "\x01\x7f" // one i32
	}
	if f.calls {
		left, extra = int32(f.numLocals+len(extra)/2), extra+"\x01\x7e" // one i64
	}
	wrap := f.calls || spent >= 0
	b := w.writeLocals(f, w.buf[:0], extra)
	b = w.charge(f, b, 0, spent)
	if f.calls {
		b = w.enter(f, b, left)
	}
	if wrap {
		b = w.resultType(f.typ.results, append(b, opBlock))
	}
	cw := codeWriter{rewriter: w, f: f, b: b, spent: spent, left: left, wrap: wrap, open: append(w.open[:0], opened{})}
	cw.run()
	b, w.open = cw.b, cw.open
	if wrap {
		b = append(w.leave(f, b, spent), opEnd)
	}
	w.buf = b
	out = append(appendU32(out, uint32(len(b))), b...)
	w.tracer.body(countSize+len(out)-len(b), countSize+len(out), f.locals.end)
	return out
}

// writeLocals writes the locals of a function and extra ones, in groups of two bytes.
func (w *rewriter) writeLocals(f *function, b []byte, extra string) []byte {
	r := &reader{b: w.m.bin, pos: f.locals.start, end: f.locals.end}
	groups := r.u32()
	b = appendU32(b, groups+uint32(len(extra)/2))
	b = append(b, w.m.bin[r.pos:f.locals.end]...)
	return append(b, extra...)
}

// enter counts the frame and looks at both counters, unless a loop begins here that does: at the fuel, and at the stack too if nothing is called before it.
// What is left goes through a local: globals lie in memory, and would be read again.
func (w *rewriter) enter(f *function, b []byte, left int32) []byte {
	a := &asm{w: w, b: b}
	a.get(w.stack).i64(f.stackCost()).op(opI64Sub)
	if f.looping && !f.callsFirst {
		return a.set(w.stack).b
	}
	a.local(opLocalTee, left).set(w.stack).local(opLocalGet, left)
	if f.looping {
		return a.askIfNegative().b
	}
	return a.get(w.fuel).op(opI64Or).askIfNegative().b
}

// leave settles what the function owes. Results of the body stay on the operand stack below.
func (w *rewriter) leave(f *function, b []byte, spent int32) []byte {
	a := &asm{w: w, b: b}
	if spent >= 0 {
		a.get(w.fuel).local(opLocalGet, spent).op(opI64ExtendU, opI64Sub).set(w.fuel)
	}
	if f.calls {
		a.get(w.stack).i64(f.stackCost()).op(opI64Add).set(w.stack)
	}
	return a.b
}

// charge takes the charge of a unit from the fuel.
func (w *rewriter) charge(f *function, b []byte, u, spent int32) []byte {
	a := &asm{w: w, b: b}
	cost := int64(f.units[u].charge)
	switch {
	case cost == 0:
	case f.inLocal(u):
		a.local(opLocalGet, spent).i32(cost).op(opI32Add).local(opLocalSet, spent)
	default:
		a.get(w.fuel).i64(cost).op(opI64Sub).set(w.fuel)
	}
	return a.b
}

// codeWriter copies the instructions of a function, moves indices, and charges where units begin.
//
// A loop is written as two loops, one in the other. The inner one is left for the outer one when there is something to settle, or the host to be
// asked. So the meter puts no call into the loop itself, and a compiler can keep what it works on in registers.
type codeWriter struct {
	*rewriter
	f      *function
	b      []byte
	copied int   // end of what was copied
	spent  int32 // local in which loops count, or none
	left   int32 // local for what is left of a counter, or none
	wrap   bool  // the body is in a block of its own, which return leaves
	open   []opened
}

// opened is what the writer knows of an open block.
type opened struct {
	added uint32 // labels around loops, from the outermost block up to it
	asks  bool   // it is a loop that calls, and looks at the fuel itself
}

func (c *codeWriter) run() {
	c.copied = c.f.locals.end
	for i := range c.f.body {
		in := &c.f.body[i]
		u := c.f.unitAt[i]
		c.instruction(in, u)
		if u < 0 {
			continue
		}
		c.upTo(in.end)
		if in.op == opLoop {
			c.head(in, u)
		} else {
			c.b = c.charge(c.f, c.b, u, c.spent)
		}
	}
	c.upTo(c.f.body[len(c.f.body)-1].end)
}

// upTo copies what comes before a place in the module.
func (c *codeWriter) upTo(end int) {
	c.tracer.keep(len(c.b), c.copied, end-c.copied)
	c.b = append(c.b, c.m.bin[c.copied:end]...)
	c.copied = end
}

// replace copies what comes before an instruction and appends others in its place.
func (c *codeWriter) replace(in *instr, other []byte) {
	c.upTo(in.start)
	c.tracer.keep(len(c.b), in.start, in.end-in.start)
	c.b = append(c.b, other...)
	c.copied = in.end
}

func (c *codeWriter) instruction(in *instr, u int32) {
	switch in.op {
	case opBlock, opIf:
		c.open = append(c.open, opened{added: c.added()})
	case opLoop:
		n := c.added() + c.around(in, u)
		c.open = append(c.open, opened{n, !c.f.inLocal(u)})
	case opEnd:
		c.end(in)
	case opBr, opBrIf:
		if l := c.label(in.imm); l != in.imm || in.threaded {
			c.replace(in, appendU32([]byte{in.op}, l))
		}
	case opBrTable:
		c.table(in)
	case opReturn:
		if c.wrap {
			depth := uint32(len(c.open)-1) + c.added()
			c.replace(in, appendU32([]byte{opBr}, depth))
		}
	case opCall, opRefFunc:
		c.replace(in, appendU32([]byte{in.op}, c.moveFunc(in.imm)))
	case opMemoryGrow:
		c.replace(in, c.callHelper(&c.helpers.grow))
	case opMiscPrefix:
		c.bulk(in)
	}
}

// Labels that are added around a loop.
const (
	labelsPlain  = 3 // a loop without parameters
	labelsParams = 1 // one with parameters that calls nothing
)

// around opens what comes before the inner loop and returns the number of labels added.
//
//	block results          loop params results
//	  loop                   settle if it is time
//	    block                loop params results
//	      loop results         br_if 1 if it is time
//	        br_if 1 if it      …
//	          is time        end
//	        …              end
//	      end
//	      br 2
//	    end
//	    settle, or ask
//	    br 0
//	  end
//	  unreachable
//	end
//
// The first form, for loops without parameters, lets wazero put the slow path out of the way.
func (c *codeWriter) around(in *instr, u int32) uint32 {
	loop := c.m.bin[in.start:in.end]
	if params, _ := c.f.arity(in.bt); params == 0 {
		c.upTo(in.start)
		c.b = append(append(c.b, opBlock), loop[1:]...)
		c.b = append(c.b, opLoop, blockEmpty, opBlock, blockEmpty)
		return labelsPlain
	}
	if !c.f.inLocal(u) {
		return 0
	}
	c.upTo(in.start)
	c.b = append(c.b, loop...)
	a := c.due().op(opIf, blockEmpty)
	c.b = c.settle(a).op(opEnd).b
	return labelsParams
}

// due puts on the operand stack whether it is time to settle.
func (c *codeWriter) due() *asm {
	a := &asm{w: c.rewriter, b: c.b}
	return a.local(opLocalGet, c.spent).i32(settleAt).op(opI32GtU)
}

func (c *codeWriter) settle(a *asm) *asm {
	return a.local(opLocalGet, c.spent).call(c.helpers.pay).i32(0).local(opLocalSet, c.spent)
}

// head charges at the head of a loop, and looks at the fuel; at the stack too, if that of the function is not looked at before.
func (c *codeWriter) head(in *instr, u int32) {
	a := &asm{w: c.rewriter, b: c.b}
	params, _ := c.f.arity(in.bt)
	switch {
	case c.f.inLocal(u):
		c.b = c.charge(c.f, c.b, u, c.spent)
		c.b = c.due().op(opBrIf, 1).b
	case params > 0:
		a.b = c.charge(c.f, c.b, u, c.spent)
		c.b = a.checkFuel().b
	default:
		a.get(c.fuel)
		if c.f.looping && !c.f.callsFirst && u == c.f.loops[0].head {
			a.get(c.stack).op(opI64Or)
		}
		c.b = c.charge(c.f, a.i64(0).op(opI64LtS, opBrIf, 1).b, u, c.spent)
	}
}

// end closes a block, and what is around a loop.
func (c *codeWriter) end(in *instr) {
	last := len(c.open) - 1
	if last > 0 {
		switch c.open[last].added - c.open[last-1].added {
		case labelsPlain:
			c.upTo(in.end)
			a := &asm{w: c.rewriter, b: append(c.b, opBr, 2, opEnd)}
			if c.open[last].asks {
				a.call(c.helpers.ask)
			} else {
				c.settle(a)
			}
			c.b = a.op(opBr, 0, opEnd, opUnreachable, opEnd).b
		case labelsParams:
			c.upTo(in.end)
			c.b = append(c.b, opEnd)
		}
	}
	c.open = c.open[:last]
}

// added is the number of labels that were added around loops, up to the innermost open block.
func (c *codeWriter) added() uint32 { return c.open[len(c.open)-1].added }

// label moves a label past those that are added around loops.
func (c *codeWriter) label(l uint32) uint32 {
	return l + c.added() - c.open[len(c.open)-1-int(l)].added
}

func (c *codeWriter) table(in *instr) {
	if c.added() == 0 {
		return
	}
	r := &reader{b: c.m.bin, pos: int(in.imm), end: in.end}
	out := appendU32([]byte{opBrTable}, uint32(in.bt))
	for range in.bt + 1 {
		out = appendU32(out, c.label(r.u32()))
	}
	c.replace(in, out)
}

// bulk charges for instructions on memory and tables.
func (c *codeWriter) bulk(in *instr) {
	switch in.sub {
	case miscMemoryCopy:
		c.replace(in, c.callHelper(&c.helpers.copy))
	case miscMemoryFill:
		c.replace(in, c.callHelper(&c.helpers.fill))
	case miscMemoryInit:
		c.upTo(in.start)
		c.b = append(c.b, c.callHelper(&c.helpers.init)...)
	case miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
		c.upTo(in.start)
		c.b = append(c.b, c.callHelper(&c.helpers.elements)...)
	}
}

func (c *codeWriter) callHelper(h *uint32) []byte { return appendU32([]byte{opCall}, c.need(h)) }
