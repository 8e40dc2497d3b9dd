package meter

// function is one function on its way through the rewriter. It is reused, so that its slices are allocated once.
type function struct {
	m          *module
	typ        funcType
	numParams  int
	numLocals  int // with parameters
	localSize  int // bytes of stack for parameters and locals
	locals     span
	body       []instr
	unitAt     []int32 // for each instruction: unit that begins behind it, or none
	frames     []frame
	units      []unit
	edges      []edge
	loops      []loop
	loop       int32 // innermost, while reading
	dispatches []dispatch
	maxHeight  int
	branches   int // instructions that begin, end or leave a block on a condition
	calls      bool
	callsFirst bool // it calls in its first unit
	looping    bool // see leadsIntoLoop
}

// frame is an open block.
type frame struct {
	op       byte
	head     int32 // unit in which the block was opened
	joins    int32 // list of units that branch to the end
	height   int   // of the operands below the block's parameters
	params   int
	results  int
	dispatch int32 // of a loop, an index of function.dispatches; none if it does something else
	hasElse  bool
	dead     bool // code up to the next else or end cannot be reached
	unborn   bool // the block itself cannot be reached
}

// blockType reads a block type and returns it as in the binary: negative for a value type, else the index of a function type.
func (f *function) blockType(r *reader) int64 {
	bt := r.s33()
	if !r.ok() {
		return emptyType
	}
	if bt >= int64(len(f.m.types)) || (bt < 0 && bt != emptyType && !isValType(byte(bt&0x7f))) {
		r.fail("unknown block type %d", bt)
		return emptyType
	}
	return bt
}

func (f *function) arity(bt int64) (params, results int) {
	switch {
	case bt >= 0:
		return len(f.m.types[bt].params), len(f.m.types[bt].results)
	case bt == emptyType:
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
	f.dispatches = f.dispatches[:0]
	f.maxHeight, f.branches, f.calls, f.callsFirst = 0, 0, false, false
	r := &reader{b: m.bin, pos: m.bodies[i].start, end: m.bodies[i].end, section: "code"}
	f.readLocals(r)
	cur, height := f.newUnit(none), 0
	f.frames = append(f.frames, frame{op: opBlock, results: len(f.typ.results), head: cur, joins: none, dispatch: none})
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
	switch in.op {
	case opBlock, opLoop, opIf, opElse, opBrIf, opBrTable:
		f.branches++
	}
	switch in.op {
	case opBlock, opLoop, opIf:
		return f.open(in, cur, height)
	case opElse:
		return f.otherwise(r, cur, height)
	case opEnd:
		return f.close(cur, height)
	case opBr:
		f.thread(in)
		f.branch(r, in.imm, cur)
		top.dead = true
	case opBrIf:
		f.branch(r, in.imm, cur)
		f.move(height, 1, 0)
		if !top.dead {
			return f.after(cur)
		}
	case opBrTable:
		f.findDispatch(in, cur)
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
	f.callsFirst = f.callsFirst || len(f.units) == 1
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
		op: in.op, head: cur, joins: none, dispatch: none, height: *height - params, params: params, results: results, dead: dead, unborn: dead,
	})
	switch {
	case in.op == opLoop:
		if dead {
			cur = none
		}
		return f.enterLoop(cur, params > 0)
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
