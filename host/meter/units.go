package meter

// pushUpTo is the charge up to which a unit is paid by the units before it.
const pushUpTo = 64

// unit is a basic block: code that is entered at its begin only and left at its end.
type unit struct {
	loop   int32 // innermost loop, an index of function.loops; -1 for none
	preds  int32 // list of the units that can run before it, an index of function.edges; -1 if it is entered in other ways too
	charge uint32
	ahead  uint32 // the largest charge of a unit behind this one that this one pays
}

// edge is an entry of a list of units.
type edge struct {
	unit int32
	next int32 // index of function.edges, -1 at the end
}

// loop is what the charging has to know of a loop.
type loop struct {
	parent int32
	head   int32 // unit
	before int32 // unit that goes on into it, or none if it cannot be reached
	calls  bool  // it calls functions, inner loops included
	params bool  // it has parameters
}

// none ends a list.
const none int32 = -1

func (f *function) link(unit, next int32) int32 {
	f.edges = append(f.edges, edge{unit, next})
	return int32(len(f.edges) - 1)
}

func (f *function) newUnit(preds int32) int32 {
	f.units = append(f.units, unit{loop: f.loop, preds: preds})
	return int32(len(f.units) - 1)
}

// after begins a unit that only runs after another one.
func (f *function) after(u int32) int32 { return f.newUnit(f.link(u, none)) }

// enterLoop begins a loop behind a unit, and gives the unit of its head.
func (f *function) enterLoop(before int32, params bool) int32 {
	f.loops = append(f.loops, loop{parent: f.loop, before: before, params: params, head: int32(len(f.units))})
	f.loop = int32(len(f.loops) - 1)
	return f.newUnit(none)
}

// pushIntoLoop is the charge of the beginning of a function up to which the head of a loop behind it pays it.
const pushIntoLoop = 16

// leadsIntoLoop says whether the function goes into a loop after a few instructions, with a few calls among them at most, and nowhere else. The head of
// the loop charges the global and looks at the fuel, so the beginning of the function need not.
func (f *function) leadsIntoLoop() bool {
	return len(f.loops) > 0 && f.loops[0].before == 0 && !f.loops[0].params && !f.inLocal(f.loops[0].head) && f.units[0].charge <= pushIntoLoop
}

func (f *function) leaveLoop() {
	l := f.loops[f.loop]
	if f.loop = l.parent; f.loop >= 0 && l.calls {
		f.loops[f.loop].calls = true
	}
}

// distribute lets units pay for small ones behind them: of those that can follow, one does, so it is the dearest that is paid. Units
// are numbered so that all but loop heads come behind those that run before them. Nothing is paid for across the border of a loop,
// since what follows a loop runs less often than its body. But the few instructions
// with which a function goes into a loop that calls others are paid by that loop's head: functions of Go programs are such loops, left and entered
// again at each call.
func (f *function) distribute() {
	for i := len(f.units) - 1; i >= 0; i-- {
		u := &f.units[i]
		u.charge += u.ahead
		if u.charge == 0 || u.charge > pushUpTo || !f.paidBefore(u) {
			continue
		}
		for e := u.preds; e >= 0; e = f.edges[e].next {
			p := &f.units[f.edges[e].unit]
			p.ahead = max(p.ahead, u.charge)
		}
		u.charge = 0
	}
	if f.looping = f.leadsIntoLoop(); f.looping {
		f.units[f.loops[0].head].charge += f.units[0].charge
		f.units[0].charge = 0
	}
}

func (f *function) paidBefore(u *unit) bool {
	for e := u.preds; e >= 0; e = f.edges[e].next {
		if f.units[f.edges[e].unit].loop != u.loop {
			return false
		}
	}
	return u.preds >= 0
}

// inLocal tells whether the unit counts in the local instead of the global: in loops that call nothing.
func (f *function) inLocal(u int32) bool {
	l := f.units[u].loop
	return l >= 0 && !f.loops[l].calls
}
