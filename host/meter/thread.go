package meter

// Go has no jumps in WebAssembly but those out of blocks, so its compiler makes a loop of a function that calls others: at the head a br_table jumps
// to one of the blocks there, by a local, and whoever jumps sets that local and goes around the loop. Half of what such a program does is to go
// around. A jump ahead, whose target is known and whose block is still open, can leave that block at once.

// dispatch is a loop that does nothing at its head but jump by a local, to blocks that begin there.
type dispatch struct {
	local  uint32
	unit   int32 // that ends with the jump
	frames int   // open blocks at the jump
	labels []uint32
}

// findDispatch looks whether the br_table that was read is the jump at the head of a loop, and of nothing else.
func (f *function) findDispatch(in *instr, cur int32) {
	at := len(f.body) - 2
	if at < 0 || f.body[at].op != opLocalGet {
		return
	}
	local, frame := f.body[at].imm, len(f.frames)-1
	for at--; at >= 0 && f.body[at].op == opBlock && f.body[at].bt == emptyType; at-- {
		frame--
	}
	if at < 0 || f.body[at].op != opLoop || f.frames[frame].params > 0 || f.frames[frame].dead {
		return
	}
	d := dispatch{local: local, unit: cur, frames: len(f.frames)}
	r := &reader{b: f.m.bin, pos: int(in.imm), end: in.end}
	for range in.bt + 1 {
		d.labels = append(d.labels, r.u32())
	}
	f.frames[frame].dispatch = int32(len(f.dispatches))
	f.dispatches = append(f.dispatches, d)
}

// thread lets a jump to the head of a dispatching loop, right behind an assignment of a constant to its local, go on to where that would lead it, if that is the
// end of a block that is open here too. Only blocks that the dispatch opened itself have its unit as head.
func (f *function) thread(in *instr) {
	n, inner := len(f.body), len(f.frames)-1
	loop := int64(inner) - int64(in.imm)
	if n < 3 || loop < 0 || f.frames[loop].dispatch < 0 || f.frames[inner].dead {
		return
	}
	d := &f.dispatches[f.frames[loop].dispatch]
	if set, value := f.body[n-2], f.body[n-3]; set.op != opLocalSet || set.imm != d.local || value.op != opI32Const {
		return
	}
	r := &reader{b: f.m.bin, pos: f.body[n-3].start + 1, end: f.body[n-3].end}
	value := uint32(r.s33())
	target := int64(d.frames) - 1 - int64(d.labels[min(int64(value), int64(len(d.labels)-1))])
	if !r.ok() || target <= loop || target > int64(inner) || f.frames[target].head != d.unit {
		return
	}
	in.imm, in.threaded = uint32(int64(inner)-target), true
}
