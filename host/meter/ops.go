package meter

// Opcodes that the rewriter looks at, WebAssembly core specification 2.0, section 5.4.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opSelectTyped  = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opI32Load      = 0x28
	opI64Load32U   = 0x35
	opI32Store     = 0x36
	opI64Store32   = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32Eqz       = 0x45
	opI32LtU       = 0x49
	opI32GtU       = 0x4b
	opI32LeU       = 0x4d
	opI64Eqz       = 0x50
	opI64LtS       = 0x53
	opI64GtU       = 0x56
	opI32Clz       = 0x67
	opI32Popcnt    = 0x69
	opI32Add       = 0x6a
	opI32Sub       = 0x6b
	opI32DivS      = 0x6d
	opI32RemU      = 0x70
	opI32ShrU      = 0x76
	opI64Clz       = 0x79
	opI64Popcnt    = 0x7b
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64DivS      = 0x7f
	opI64RemU      = 0x82
	opI64Or        = 0x84
	opI64Shl       = 0x86
	opF32Abs       = 0x8b
	opF32Sqrt      = 0x91
	opF32Div       = 0x95
	opF64Abs       = 0x99
	opF64Sqrt      = 0x9f
	opF64Div       = 0xa3
	opI32WrapI64   = 0xa7
	opI64ExtendU   = 0xad
	opI64Extend32S = 0xc4
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2
	opMiscPrefix   = 0xfc
	opVecPrefix    = 0xfd

	miscTruncLast  = 0x07
	miscMemoryInit = 0x08
	miscDataDrop   = 0x09
	miscMemoryCopy = 0x0a
	miscMemoryFill = 0x0b
	miscTableInit  = 0x0c
	miscElemDrop   = 0x0d
	miscTableCopy  = 0x0e
	miscTableGrow  = 0x0f
	miscTableSize  = 0x10
	miscTableFill  = 0x11

	vecConst = 0x0c

	blockEmpty = 0x40
	emptyType  = -64 // as a number
)

// Costs in fuel; the package comment lists them.
const (
	costPlain        = 1
	costCall         = 3
	costCallIndirect = 5
	costDivide       = 10
	costImport       = 50
	costPage         = 8192 // per page of memory
	bytesPerFuel     = 3    // shift: 8 bytes for one unit
)

// instr is one decoded instruction.
type instr struct {
	op         byte
	sub        byte // second byte of a prefixed instruction
	cost       uint8
	threaded   bool   // a jump whose label was changed
	pops, push uint16 // operands, calls and blocks excepted
	start, end int    // bytes in the module
	imm        uint32 // index, label or segment
	bt         int64  // type of a block
}

// decode reads one instruction and checks indices that the rewriter moves or that injected entries would make valid.
func (f *function) decode(r *reader, in *instr) {
	*in = instr{start: r.pos, cost: costPlain}
	in.op = r.byte()
	switch op := in.op; {
	case op == opUnreachable, op == opReturn:
	case op == opNop, op == opElse, op == opEnd:
		in.cost = 0
	case op >= opBlock && op <= opIf:
		in.bt = f.blockType(r)
		if op != opIf {
			in.cost = 0
		}
	case op == opBr, op == opBrIf:
		in.imm = r.u32()
	case op == opBrTable:
		n := r.count("labels", 1, 1_000_000)
		in.imm = uint32(r.pos) // labels begin here
		in.bt = int64(n)
		for range n + 1 {
			r.u32()
		}
	case op == opCall:
		in.imm, in.cost = f.m.funcIndex(r), costCall
		if int(in.imm) < f.m.numImpFunc {
			in.cost = costImport
		}
	case op == opCallIndirect:
		in.imm, in.cost = f.m.typeIndex(r), costCallIndirect
		r.u32()
	case op == opDrop:
		in.pops = 1
	case op == opSelect:
		in.pops, in.push = 3, 1
	case op == opSelectTyped:
		if n := r.byte(); n != 1 {
			r.fail("select of %d types, 1 is expected", n)
		}
		if t := r.byte(); r.ok() && !isValType(t) {
			r.fail("unknown value type %#x", t)
		}
		in.pops, in.push = 3, 1
	case op >= opLocalGet && op <= opLocalTee:
		in.imm = r.u32()
		if r.ok() && int64(in.imm) >= int64(f.numLocals) {
			r.fail("unknown local %d", in.imm)
		}
		in.pops, in.push = b2u(op != opLocalGet), b2u(op != opLocalSet)
	case op == opGlobalGet, op == opGlobalSet:
		in.imm = r.u32()
		if r.ok() && int64(in.imm) >= int64(len(f.m.globals)) {
			r.fail("unknown global %d", in.imm)
		}
		in.pops, in.push = b2u(op == opGlobalSet), b2u(op == opGlobalGet)
	case op == opTableGet:
		r.u32()
		in.pops, in.push = 1, 1
	case op == opTableSet:
		r.u32()
		in.pops = 2
		f.m.tableWrite = true
	case op >= opI32Load && op <= opI64Store32:
		r.skipLEB(5)
		r.skipLEB(5)
		in.pops, in.push = 1+b2u(op >= opI32Store), b2u(op < opI32Store)
	case op == opMemorySize, op == opMemoryGrow:
		zeroByte(r)
		in.pops, in.push = b2u(op == opMemoryGrow), 1
	case op >= opI32Const && op <= opF64Const:
		decodeConst(r, op)
		in.push = 1
	case op >= opI32Eqz && op <= opI64Extend32S:
		in.pops, in.push, in.cost = numeric(op)
	case op == opRefNull:
		if t := r.byte(); r.ok() && t != valFuncref && t != valExternref {
			r.fail("unknown reference type %#x", t)
		}
		in.push = 1
	case op == opRefIsNull:
		in.pops, in.push = 1, 1
	case op == opRefFunc:
		f.m.refFunc = true
		in.imm, in.push = f.m.funcIndex(r), 1
	case op == opMiscPrefix:
		f.decodeMisc(r, in)
	case op == opVecPrefix:
		decodeVec(r, in)
	default:
		if r.ok() {
			r.pos = in.start
			r.fail("instruction %#x is unknown or not supported", op)
		}
	}
	in.end = r.pos
}

func b2u(b bool) uint16 {
	if b {
		return 1
	}
	return 0
}

func zeroByte(r *reader) {
	if b := r.byte(); b != 0 {
		r.fail("memory index %#x, 0 is expected", b)
	}
}

func decodeConst(r *reader, op byte) {
	switch op {
	case opI32Const:
		r.skipLEB(5)
	case opI64Const:
		r.skipLEB(10)
	case opF32Const:
		r.take(4)
	case opF64Const:
		r.take(8)
	}
}

// numeric gives operands and cost of the instructions 0x45 to 0xc4.
func numeric(op byte) (pops, push uint16, cost uint8) {
	switch {
	case op == opI32Eqz, op == opI64Eqz,
		op >= opI32Clz && op <= opI32Popcnt, op >= opI64Clz && op <= opI64Popcnt,
		op >= opF32Abs && op < opF32Sqrt, op >= opF64Abs && op < opF64Sqrt, op >= opI32WrapI64:
		return 1, 1, costPlain
	case op == opF32Sqrt, op == opF64Sqrt:
		return 1, 1, costDivide
	case op >= opI32DivS && op <= opI32RemU, op >= opI64DivS && op <= opI64RemU, op == opF32Div, op == opF64Div:
		return 2, 1, costDivide
	}
	return 2, 1, costPlain
}

func (f *function) decodeMisc(r *reader, in *instr) {
	sub := r.u32()
	if sub > miscTableFill {
		r.pos = in.start
		r.fail("instruction 0xfc %#x is unknown or not supported", sub)
		return
	}
	in.sub = byte(sub)
	in.pops = 3
	switch in.sub {
	case miscMemoryInit:
		in.imm = f.segmentIndex(r)
		zeroByte(r)
		f.m.bulkMemory = true
	case miscDataDrop:
		in.imm, in.pops = f.segmentIndex(r), 0
		f.m.bulkMemory = true
	case miscMemoryCopy:
		zeroByte(r)
		zeroByte(r)
	case miscMemoryFill:
		zeroByte(r)
	case miscTableInit, miscTableCopy:
		r.u32()
		r.u32()
		f.m.tableWrite = true
	case miscElemDrop:
		r.u32()
		in.pops = 0
		f.m.tableWrite = true
	case miscTableGrow:
		r.u32()
		in.pops, in.push = 2, 1
		f.m.tableWrite = true
	case miscTableSize:
		r.u32()
		in.pops, in.push = 0, 1
	case miscTableFill:
		r.u32()
		f.m.tableWrite = true
	default: // saturating conversions
		in.pops, in.push = 1, 1
	}
}

func (f *function) segmentIndex(r *reader) uint32 {
	s := r.u32()
	if r.ok() && (f.m.dataCount == nil || s >= *f.m.dataCount) {
		r.fail("unknown data segment %d", s)
	}
	return s
}

// decodeVec reads a vector instruction. Operands are counted as at least what the instruction takes.
func decodeVec(r *reader, in *instr) {
	in.sub = r.byte()
	if in.sub >= 0x80 {
		if b := r.byte(); r.ok() && b != 1 {
			r.pos = in.start
			r.fail("vector instruction %#x %#x is unknown or not supported", in.sub, b)
		}
	}
	in.pops, in.push = 2, 1
	switch sub := in.sub; {
	case sub <= 0x0a, sub == 0x5c, sub == 0x5d: // loads
		r.skipLEB(5)
		r.skipLEB(5)
		in.pops = 1
	case sub == 0x0b: // store
		r.skipLEB(5)
		r.skipLEB(5)
		in.push = 0
	case sub == vecConst:
		r.take(16)
		in.pops = 0
	case sub == 0x0d: // shuffle
		r.take(16)
	case sub >= 0x0f && sub <= 0x14: // splat
		in.pops = 1
	case sub >= 0x15 && sub <= 0x22: // lanes
		r.byte()
		switch sub {
		case 0x15, 0x16, 0x18, 0x19, 0x1b, 0x1d, 0x1f, 0x21:
			in.pops = 1
		}
	case sub >= 0x54 && sub <= 0x5b: // lanes from and to memory
		r.skipLEB(5)
		r.skipLEB(5)
		r.byte()
		in.push = b2u(sub < 0x58)
	case sub == 0x52: // bitselect
		in.pops = 3
	case vecUnary(sub):
		in.pops = 1
	}
	switch in.sub {
	case 0xe3, 0xe7, 0xef, 0xf3: // square roots and divisions
		in.cost = costDivide
	}
}

func vecUnary(sub byte) bool {
	switch sub {
	case 0x4d, 0x53, 0x5e, 0x5f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x67, 0x68, 0x69, 0x6a, 0x74, 0x75, 0x7a, 0x7c, 0x7d, 0x7e, 0x7f,
		0x80, 0x81, 0x83, 0x84, 0x87, 0x88, 0x89, 0x8a, 0x94, 0xa0, 0xa1, 0xa3, 0xa4, 0xa7, 0xa8, 0xa9, 0xaa,
		0xc0, 0xc1, 0xc3, 0xc4, 0xc7, 0xc8, 0xc9, 0xca, 0xe0, 0xe1, 0xe3, 0xec, 0xed, 0xef:
		return true
	}
	return sub >= 0xf8
}
