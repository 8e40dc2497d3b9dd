package meter

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
	unitAt    []int32 // for each instruction: unit that begins behind it, or none
	frames    []frame
	units     []unit
	edges     []edge
	loops     []loop
	loop      int32 // innermost, while reading
	maxHeight int
	calls     bool
	straight  bool  // no branch and no call yet, while reading
	firstLoop int32 // loop that every call of the function enters before it calls another, or none
}

// frame is an open block.
type frame struct {
	op      byte
	head    int32 // unit in which the block was opened
	joins   int32 // list of units that branch to the end
	height  int   // of the operands below the block's parameters
	params  int
	results int
	hasElse bool
	dead    bool // code up to the next else or end cannot be reached
	unborn  bool // the block itself cannot be reached
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
	f.body, f.unitAt, f.frames = f.body[:0], f.unitAt[:0], f.frames[:0]
	f.units, f.edges, f.loops, f.loop = f.units[:0], f.edges[:0], f.loops[:0], none
	f.maxHeight, f.calls, f.straight, f.firstLoop = 0, false, true, none
	r := &reader{b: m.bin, pos: m.bodies[i].start, end: m.bodies[i].end, section: "code"}
	f.readLocals(r)
	cur, height := f.newUnit(none), 0
	f.frames = append(f.frames, frame{op: opBlock, results: len(f.typ.results), head: cur, joins: none})
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
		begins := none
		if next != cur {
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
	f.distribute()
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

// step accounts for one instruction in the unit cur and returns the unit to which the next instruction belongs.
func (f *function) step(r *reader, in *instr, cur int32, height *int) int32 {
	top := &f.frames[len(f.frames)-1]
	if !top.dead {
		f.units[cur].charge += uint32(in.cost)
	}
	f.straight = f.straight && (in.op < opIf || in.op > opCallIndirect)
	switch in.op {
	case opBlock, opLoop, opIf:
		return f.open(in, cur, height)
	case opElse:
		return f.otherwise(r, cur, height)
	case opEnd:
		return f.close(cur, height)
	case opBr, opBrIf:
		f.branch(r, in.imm, cur)
		if in.op == opBr {
			top.dead = true
			return cur
		}
		f.move(height, 1, 0)
		if !top.dead {
			return f.after(cur)
		}
	case opBrTable:
		labels := &reader{b: r.b, pos: int(in.imm), end: in.end, section: r.section}
		for range in.bt + 1 {
			f.branch(r, labels.u32(), cur)
		}
		top.dead = true
	case opReturn, opUnreachable:
		top.dead = true
	case opCall:
		t := f.m.types[f.m.funcs[in.imm]]
		f.call(height, len(t.params), len(t.results))
	case opCallIndirect:
		t := f.m.types[in.imm]
		f.call(height, len(t.params)+1, len(t.results))
	default:
		f.move(height, int(in.pops), int(in.push))
	}
	return cur
}

func (f *function) call(height *int, pops, push int) {
	f.calls = true
	if f.loop >= 0 {
		f.loops[f.loop].calls = true
	}
	f.move(height, pops, push)
}

// move applies what an instruction takes from and puts on the operand stack. In code that cannot be reached operands may be
// missing; the runtime judges that.
func (f *function) move(height *int, pops, push int) {
	*height = max(*height-pops, f.frames[len(f.frames)-1].height) + push
	f.maxHeight = max(f.maxHeight, *height)
}

func (f *function) branch(r *reader, label uint32, cur int32) {
	if int64(label) >= int64(len(f.frames)) {
		r.fail("unknown label %d", label)
		return
	}
	to := &f.frames[len(f.frames)-1-int(label)]
	if !f.frames[len(f.frames)-1].dead && to.op != opLoop {
		to.joins = f.link(cur, to.joins)
	}
}

// open begins a block and returns the unit of its first instruction.
func (f *function) open(in *instr, cur int32, height *int) int32 {
	params, results := f.arity(in.bt)
	if in.op == opIf {
		f.move(height, 1, 0)
	}
	f.move(height, params, params)
	dead := f.frames[len(f.frames)-1].dead
	f.frames = append(f.frames, frame{
		op: in.op, head: cur, joins: none, height: *height - params, params: params, results: results, dead: dead, unborn: dead,
	})
	switch {
	case in.op == opLoop:
		f.enterLoop()
		if f.straight && f.firstLoop < 0 {
			f.firstLoop = f.loop
		}
		return f.newUnit(none)
	case in.op == opIf && !dead:
		return f.after(cur)
	}
	return cur
}

// otherwise begins the second arm of an if.
func (f *function) otherwise(r *reader, cur int32, height *int) int32 {
	top := &f.frames[len(f.frames)-1]
	if top.op != opIf || top.hasElse {
		r.fail("else without if")
		return cur
	}
	if !top.dead {
		top.joins = f.link(cur, top.joins)
	}
	top.hasElse, top.dead = true, top.unborn
	*height = top.height + top.params
	if top.unborn {
		return cur
	}
	return f.after(top.head)
}

// close ends the innermost block and returns the unit of the code behind it.
func (f *function) close(cur int32, height *int) int32 {
	fr := f.frames[len(f.frames)-1]
	f.frames = f.frames[:len(f.frames)-1]
	if fr.op == opLoop {
		f.leaveLoop()
	}
	if len(f.frames) == 0 || fr.unborn {
		return cur
	}
	*height = fr.height + fr.results
	f.maxHeight = max(f.maxHeight, *height)
	joins := fr.joins
	if fr.op == opIf && !fr.hasElse {
		joins = f.link(fr.head, joins)
	}
	switch {
	case fr.dead && joins < 0:
		f.frames[len(f.frames)-1].dead = true
		return cur
	case joins < 0 && fr.op == opBlock:
		return cur
	case !fr.dead:
		joins = f.link(cur, joins)
	}
	return f.newUnit(joins)
}

// stackCost is what a call of the function takes of the stack, in bytes.
func (f *function) stackCost() int64 { return 64 + int64(f.localSize) + 8*int64(f.maxHeight) }

// write appends the rewritten body with its size.
func (w *rewriter) write(f *function, out []byte) []byte {
	spent := none
	for u := range f.units {
		if f.inLocal(int32(u)) {
			spent = int32(f.numLocals)
			break
		}
	}
	wrap := f.calls || spent >= 0
	b := w.writeLocals(f, w.buf[:0], spent >= 0)
	b = w.charge(f, b, 0, spent)
	if f.calls {
		b = w.enter(f, b)
	}
	if wrap {
		b = w.resultType(f.typ.results, append(b, opBlock))
	}
	b = w.writeCode(f, b, spent, wrap)
	if wrap {
		b = append(w.leave(f, b, spent), opEnd)
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

// enter counts the frame and looks at both counters.
func (w *rewriter) enter(f *function, b []byte) []byte {
	a := &asm{w: w, b: b}
	a.get(w.stack).i64(f.stackCost()).op(opI64Sub).set(w.stack)
	if f.firstLoop >= 0 && f.loops[f.firstLoop].calls {
		return a.b // its head looks
	}
	return a.checkBoth().b
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

// head looks at the fuel at the head of a loop, or lets the loop settle once it has spent enough.
func (w *rewriter) head(f *function, b []byte, u, spent int32) []byte {
	a := &asm{w: w, b: b}
	switch {
	case !f.inLocal(u) && f.units[u].loop == f.firstLoop:
		return a.checkBoth().b
	case !f.inLocal(u):
		return a.checkFuel().b
	}
	a.local(opLocalGet, spent).i32(settleAt).op(opI32GtU, opIf, blockEmpty)
	a.local(opLocalGet, spent).call(w.helpers.pay).i32(0).local(opLocalSet, spent)
	return a.op(opEnd).b
}

// writeCode copies the instructions, moves indices, and charges where units begin.
func (w *rewriter) writeCode(f *function, b []byte, spent int32, wrap bool) []byte {
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
		b = w.charge(f, b, u, spent)
		if in.op == opLoop {
			b = w.head(f, b, u, spent)
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
