package meter

// mergeBelow is the cost up to which a unit is charged together with the unit before it.
const mergeBelow = 16

// settleAt is the fuel that a loop may spend before it settles with the global.
const settleAt = 4096

// function is one function on its way through the rewriter. It is reused, so that its slices are allocated once.
type function struct {
	m         *module
	typ       funcType
	numParams int
	numLocals int // with parameters
	localSize int // bytes of stack for parameters and locals
	locals    span
	body      []instr
	units     []unit
	unitAt    []int32 // for each instruction: unit that begins behind it, or -1
	frames    []frame
	maxHeight int
	hasLoop   bool
	hasCall   bool
	hasReturn bool
}

// unit is code that is charged at once.
type unit struct {
	parent int32 // unit that runs before this one, at least as often; -1 for none
	cost   uint32
}

// frame is an open block.
type frame struct {
	op        byte
	unit      int32 // unit in which the block was opened
	height    int   // of the operands below the block's parameters
	params    int
	results   int
	dead      bool // code up to the next else or end cannot be reached
	deadFrom  bool // the block itself cannot be reached
	branched  bool // a br or br_if goes to the end
	table     bool // a br_table does
	elseSeen  bool
	armsReach bool // the first arm of an if reaches its end
}

// blockType reads a block type and returns it as in the binary: negative for a value type, else the index of a function type.
func (f *function) blockType(r *reader) int64 {
	bt := r.s33()
	if !r.ok() {
		return -64
	}
	if bt >= int64(len(f.m.types)) || (bt < 0 && bt != -64 && !isValType(byte(bt&0x7f))) {
		r.fail("unknown block type %d", bt)
		return -64
	}
	return bt
}

func (f *function) arity(bt int64) (params, results int) {
	switch {
	case bt >= 0:
		return len(f.m.types[bt].params), len(f.m.types[bt].results)
	case bt == -64:
		return 0, 0
	}
	return 0, 1
}

// read decodes the body of the i-th defined function and divides it into units.
func (f *function) read(i int) error {
	m := f.m
	f.typ = m.types[m.funcs[m.numImpFunc+i]]
	f.body, f.units, f.unitAt, f.frames = f.body[:0], f.units[:0], f.unitAt[:0], f.frames[:0]
	f.maxHeight, f.hasLoop, f.hasCall, f.hasReturn = 0, false, false, false
	r := &reader{b: m.bin, pos: m.bodies[i].start, end: m.bodies[i].end, section: "code"}
	f.readLocals(r)
	f.open(frame{op: opBlock, results: len(f.typ.results), unit: f.newUnit(-1)})
	cur, height := int32(0), 0
	for r.ok() && len(f.frames) > 0 {
		if !r.more() {
			r.fail("function ends without an end")
			break
		}
		f.body = append(f.body, instr{})
		in := &f.body[len(f.body)-1]
		f.decode(r, in)
		if !r.ok() {
			break
		}
		next := f.step(r, in, cur, &height)
		begins := int32(-1)
		if next != cur && next >= 0 {
			begins, cur = next, next
		}
		f.unitAt = append(f.unitAt, begins)
	}
	if r.ok() && r.more() {
		r.fail("%d bytes behind the end of the function", r.left())
	}
	if r.err != nil {
		return r.err
	}
	f.mergeUnits()
	return nil
}

func (f *function) readLocals(r *reader) {
	f.numParams = len(f.typ.params)
	f.numLocals, f.localSize = f.numParams, 0
	for _, t := range f.typ.params {
		f.localSize += slotSize(t)
	}
	f.locals.start = r.pos
	for range r.count("groups of locals", 2, 50_000) {
		n := r.u32()
		t := r.byte()
		if r.ok() && !isValType(t) {
			r.fail("unknown value type %#x", t)
		}
		if int64(n)+int64(f.numLocals) > int64(f.m.limits.Locals) {
			r.fail("more than %d locals", f.m.limits.Locals)
		}
		if !r.ok() {
			return
		}
		f.numLocals += int(n)
		f.localSize += int(n) * slotSize(t)
	}
	f.locals.end = r.pos
}

func slotSize(t byte) int {
	if t == valV128 {
		return 16
	}
	return 8
}

func (f *function) newUnit(parent int32) int32 {
	f.units = append(f.units, unit{parent: parent})
	return int32(len(f.units) - 1)
}

func (f *function) open(fr frame) { f.frames = append(f.frames, fr) }

// step accounts for one instruction in the unit cur and returns the unit to which the next instruction belongs.
func (f *function) step(r *reader, in *instr, cur int32, height *int) int32 {
	top := &f.frames[len(f.frames)-1]
	dead := top.dead
	if !dead && in.op != opEnd && in.op != opElse {
		f.units[cur].cost += uint32(in.cost)
	}
	switch in.op {
	case opBlock, opLoop, opIf:
		params, results := f.arity(in.bt)
		if in.op == opIf {
			f.move(height, 1, 0)
		}
		f.move(height, params, params)
		f.open(frame{op: in.op, unit: cur, height: *height - params, params: params, results: results, dead: dead, deadFrom: dead})
		switch {
		case dead:
		case in.op == opLoop:
			f.hasLoop = true
			return f.newUnit(-1)
		case in.op == opIf:
			return f.newUnit(cur)
		}
	case opElse:
		if top.op != opIf || top.elseSeen {
			r.fail("else without if")
			return cur
		}
		top.elseSeen, top.armsReach = true, !top.dead
		top.dead = top.deadFrom
		*height = top.height + top.params
		if !top.dead {
			return f.newUnit(top.unit)
		}
	case opEnd:
		return f.close(cur, height)
	case opBr, opBrIf:
		f.branch(r, in.imm, false)
		if in.op == opBr {
			top.dead = true
			return cur
		}
		f.move(height, 1, 0)
		if !dead {
			return f.newUnit(cur)
		}
	case opBrTable:
		lr := &reader{b: r.b, pos: int(in.imm), end: in.end, section: r.section}
		for range in.bt + 1 {
			f.branch(r, lr.u32(), true)
		}
		top.dead = true
	case opReturn:
		f.hasReturn = true
		top.dead = true
	case opUnreachable:
		top.dead = true
	case opCall:
		f.hasCall = true
		t := f.m.types[f.m.funcs[in.imm]]
		f.move(height, len(t.params), len(t.results))
	case opCallIndirect:
		f.hasCall = true
		t := f.m.types[in.imm]
		f.move(height, len(t.params)+1, len(t.results))
	default:
		f.move(height, int(in.pops), int(in.push))
	}
	return cur
}

// move applies what an instruction takes from and puts on the operand stack. In code that cannot be reached operands may be
// missing; the runtime judges that.
func (f *function) move(height *int, pops, push int) {
	*height = max(*height-pops, f.frames[len(f.frames)-1].height) + push
	f.maxHeight = max(f.maxHeight, *height)
}

func (f *function) branch(r *reader, label uint32, table bool) {
	if int64(label) >= int64(len(f.frames)) {
		r.fail("unknown label %d", label)
		return
	}
	fr := &f.frames[len(f.frames)-1-int(label)]
	fr.branched = true
	fr.table = fr.table || table
}

// close ends the innermost block and returns the unit of the code behind it.
func (f *function) close(cur int32, height *int) int32 {
	fr := f.frames[len(f.frames)-1]
	f.frames = f.frames[:len(f.frames)-1]
	if len(f.frames) == 0 {
		return cur
	}
	*height = fr.height + fr.results
	f.maxHeight = max(f.maxHeight, *height)
	if fr.deadFrom {
		return cur
	}
	reach := !fr.dead
	switch fr.op {
	case opIf:
		if fr.elseSeen {
			reach = reach || fr.armsReach
		} else {
			reach = true
		}
		if !reach && !fr.branched {
			f.frames[len(f.frames)-1].dead = true
			return cur
		}
		return f.newUnit(fr.unit)
	case opLoop:
		if !reach {
			f.frames[len(f.frames)-1].dead = true
			return cur
		}
		return f.newUnit(fr.unit)
	}
	switch {
	case !fr.branched && !reach:
		f.frames[len(f.frames)-1].dead = true
		return cur
	case !fr.branched:
		return cur
	case fr.table || !reach:
		return f.newUnit(-1)
	}
	return f.newUnit(fr.unit)
}

// mergeUnits charges small units with the one before them.
func (f *function) mergeUnits() {
	for i := len(f.units) - 1; i > 0; i-- {
		u := &f.units[i]
		if u.parent >= 0 && u.cost <= mergeBelow {
			f.units[u.parent].cost += u.cost
			u.cost = 0
		}
	}
}

// stackCost is what a call of the function takes of the stack, in bytes.
func (f *function) stackCost() int64 { return 64 + int64(f.localSize) + 8*int64(f.maxHeight) }

// write appends the rewritten body with its size.
func (w *rewriter) write(f *function, out []byte) []byte {
	counted := f.hasCall
	spent := -1
	if f.hasLoop {
		spent = f.numLocals
	}
	wrap := counted || spent >= 0
	b := w.buf[:0]
	b = w.writeLocals(f, b, spent >= 0)
	b = w.enter(f, b, counted, spent)
	if wrap {
		b = append(b, opBlock)
		b = w.resultType(f.typ.results, b)
	}
	b = w.writeCode(f, b, spent, wrap)
	if wrap {
		b = w.leave(f, b, counted, spent)
		b = append(b, opEnd)
	}
	w.buf = b
	return append(appendU32(out, uint32(len(b))), b...)
}

func (w *rewriter) writeLocals(f *function, b []byte, extra bool) []byte {
	src := w.m.bin[f.locals.start:f.locals.end]
	if !extra {
		return append(b, src...)
	}
	r := &reader{b: w.m.bin, pos: f.locals.start, end: f.locals.end}
	groups := r.u32()
	b = appendU32(b, groups+1)
	b = append(b, w.m.bin[r.pos:f.locals.end]...)
	return append(b, 1, valI32)
}

// enter charges the first unit, counts the frame, and looks at both counters if the function calls others.
func (w *rewriter) enter(f *function, b []byte, counted bool, spent int) []byte {
	if spent < 0 {
		b = w.chargeGlobal(b, f.units[0].cost)
	}
	if !counted {
		if spent >= 0 {
			b = w.chargeLocal(b, f.units[0].cost, spent)
		}
		return b
	}
	if spent >= 0 {
		b = w.chargeLocal(b, f.units[0].cost, spent)
	}
	b = appendU32(append(b, opGlobalGet), w.stack)
	b = appendS64(append(b, opI64Const), f.stackCost())
	b = append(b, opI64Sub)
	b = appendU32(append(b, opGlobalSet), w.stack)
	b = appendU32(append(b, opGlobalGet), w.stack)
	b = appendU32(append(b, opGlobalGet), w.fuel)
	b = append(b, opI64Or, opI64Const, 0, opI64LtS, opIf, blockEmpty, opCall)
	b = appendU32(b, w.helpers.ask)
	return append(b, opEnd)
}

// leave settles what the function owes. Results of the body stay on the operand stack below.
func (w *rewriter) leave(f *function, b []byte, counted bool, spent int) []byte {
	if spent >= 0 {
		b = appendU32(append(b, opGlobalGet), w.fuel)
		b = appendU32(append(b, opLocalGet), uint32(spent))
		b = append(b, opI64ExtendU, opI64Sub)
		b = appendU32(append(b, opGlobalSet), w.fuel)
	}
	if counted {
		b = appendU32(append(b, opGlobalGet), w.stack)
		b = appendS64(append(b, opI64Const), f.stackCost())
		b = append(b, opI64Add)
		b = appendU32(append(b, opGlobalSet), w.stack)
	}
	return b
}

func (w *rewriter) chargeGlobal(b []byte, cost uint32) []byte {
	if cost == 0 {
		return b
	}
	b = appendU32(append(b, opGlobalGet), w.fuel)
	b = appendS64(append(b, opI64Const), int64(cost))
	b = append(b, opI64Sub)
	return appendU32(append(b, opGlobalSet), w.fuel)
}

func (w *rewriter) chargeLocal(b []byte, cost uint32, spent int) []byte {
	if cost == 0 {
		return b
	}
	b = appendU32(append(b, opLocalGet), uint32(spent))
	b = appendS64(append(b, opI32Const), int64(cost))
	b = append(b, opI32Add)
	return appendU32(append(b, opLocalSet), uint32(spent))
}

// settle, at the head of a loop, pays what was spent once it is enough.
func (w *rewriter) settle(b []byte, spent int) []byte {
	b = appendU32(append(b, opLocalGet), uint32(spent))
	b = appendS64(append(b, opI32Const), settleAt)
	b = append(b, opI32GtU, opIf, blockEmpty)
	b = appendU32(append(b, opLocalGet), uint32(spent))
	b = appendU32(append(b, opCall), w.helpers.pay)
	b = append(b, opI32Const, 0)
	b = appendU32(append(b, opLocalSet), uint32(spent))
	return append(b, opEnd)
}

// writeCode copies the instructions, moves indices, and charges where units begin.
func (w *rewriter) writeCode(f *function, b []byte, spent int, wrap bool) []byte {
	bin, copied := w.m.bin, f.locals.end
	depth := uint32(0)
	for i := range f.body {
		in := &f.body[i]
		switch in.op {
		case opBlock, opLoop, opIf:
			depth++
		case opEnd:
			depth--
		}
		if w.replaces(in, wrap) {
			b = append(b, bin[copied:in.start]...)
			b = w.replace(b, in, depth)
			copied = in.end
		}
		u := f.unitAt[i]
		if u < 0 {
			continue
		}
		b = append(b, bin[copied:in.end]...)
		copied = in.end
		if in.op == opLoop {
			b = w.settle(b, spent)
		}
		if spent >= 0 {
			b = w.chargeLocal(b, f.units[u].cost, spent)
		} else {
			b = w.chargeGlobal(b, f.units[u].cost)
		}
	}
	return append(b, bin[copied:f.body[len(f.body)-1].end]...)
}

func (w *rewriter) replaces(in *instr, wrap bool) bool {
	switch in.op {
	case opCall, opRefFunc, opMemoryGrow:
		return true
	case opReturn:
		return wrap
	case opMiscPrefix:
		switch in.sub {
		case miscMemoryInit, miscMemoryCopy, miscMemoryFill, miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
			return true
		}
	}
	return false
}

func (w *rewriter) replace(b []byte, in *instr, depth uint32) []byte {
	orig := w.m.bin[in.start:in.end]
	switch in.op {
	case opCall, opRefFunc:
		return appendU32(append(b, in.op), w.moveFunc(in.imm))
	case opReturn:
		return appendU32(append(b, opBr), depth)
	case opMemoryGrow:
		return appendU32(append(b, opCall), w.need(&w.helpers.grow))
	}
	switch in.sub {
	case miscMemoryCopy:
		return appendU32(append(b, opCall), w.need(&w.helpers.copy))
	case miscMemoryFill:
		return appendU32(append(b, opCall), w.need(&w.helpers.fill))
	case miscMemoryInit:
		b = appendU32(append(b, opCall), w.need(&w.helpers.init))
	default:
		b = appendU32(append(b, opCall), w.need(&w.helpers.elements))
	}
	return append(b, orig...)
}
