package meter_test

import (
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host/meter"
)

// The functions of these tests are as Go's compiler makes them: f(at, steps) goes around a loop and from there to the block that its first
// parameter names, while there are steps left. Each block notes that it was there.
const (
	dispatchLocals = "\x01\x02" + i32                                                   // what was noted, and one more
	note           = "\x20\x02\x41\x1f\x6c\x20\x00\x6a\x41\x01\x6a\x21\x02"             // noted = noted*31 + at + 1
	step           = "\x20\x01\x45\x04\x40\x20\x02\x0f\x0b\x20\x01\x41\x01\x6b\x21\x01" // return what was noted if there are no steps left
)

// dispatching gives a function of blocks with jumps between them; a jump is what ends a block, and is told how many blocks are open around it beside the loop.
func dispatching(blocks int, jump func(block, open int) string) []byte {
	body := "\x03\x40"
	for range blocks {
		body += "\x02\x40"
	}
	body += "\x20\x00\x0e" + leb(blocks-1)
	for n := range blocks {
		body += leb(n)
	}
	for n := range blocks {
		body += "\x0b" + step + note + jump(n, blocks-1-n)
	}
	b := &builder{}
	b.add("f", i32+i32+":"+i32, dispatchLocals, body+"\x0b\x20\x02")
	return b.module("", "")
}

// around is a jump as Go makes it.
func around(target, open int) string { return "\x41" + leb(target) + "\x21\x00\x0c" + leb(open) }

// FuzzJumps makes functions that jump about in all ways that a dispatching loop has, and some that look like them; each computes what it did before, and
// takes the same fuel whatever the slices.
func FuzzJumps(f *testing.F) {
	f.Add([]byte{3, 0, 1, 0, 2, 0, 3, 0, 0})
	f.Add([]byte{5, 1, 3, 1, 0, 2, 2, 3, 4, 4, 1, 5, 3})
	f.Add([]byte{9, 0, 8, 1, 4, 2, 8, 3, 8, 4, 4, 5, 5, 6, 7, 7, 0, 8, 1})
	f.Add([]byte{30, 7, 9, 6, 9, 5, 60, 4, 2, 3, 20, 2, 29, 1, 28, 0, 30})
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func() (n int) {
			if len(data) > 0 {
				n, data = int(data[0]), data[1:]
			}
			return n
		}
		blocks := next()%40 + 1
		bin := dispatching(blocks, func(_, open int) string {
			kind, target := next(), next()%50 // 50 blocks at most, so that some are beyond the end
			switch kind % 8 {
			case 0:
				return around(target, open)
			case 1: // if the steps left are odd
				return "\x20\x01\x41\x01\x71\x04\x40" + around(target, open+1) + "\x0b"
			case 2: // the constant is not what is assigned last
				return "\x41" + leb(target) + "\x21\x00\x01\x0c" + leb(open)
			case 3: // what is assigned is another local
				return "\x41" + leb(target) + "\x21\x03\x0c" + leb(open)
			case 4: // from a loop in a block
				return "\x02\x40\x03\x40" + around(target, open+2) + "\x0b\x0b"
			case 5: // behind a block that was opened later
				return "\x02\x40\x20\x01\x0d\x00" + around(target, open+1) + "\x0b"
			case 6: // on a condition
				return "\x41" + leb(target) + "\x21\x00\x20\x01\x0d" + leb(open)
			}
			return ""
		})
		out := instrument(t, bin, meter.Options{})
		large, small := &supply{left: 1 << 40, slice: 1 << 20}, &supply{left: 1 << 40, slice: 7}
		plain, metered, sliced := instance(t, newRuntime(t, large), bin), instance(t, newRuntime(t, large), out), instance(t, newRuntime(t, small), out)
		for at := range uint64(blocks + 1) {
			want, _ := call(plain, "f", at, 50)
			for _, m := range []api.Module{metered, sliced} {
				if got, err := call(m, "f", at, 50); err != nil || !same(got, want) {
					t.Errorf("from block %d: %v %v, the original gave %v", at, got, err, want)
				}
			}
		}
		if a, b := 1<<40-large.left-fuelLeft(metered), 1<<40-small.left-fuelLeft(sliced); a != b {
			t.Errorf("%d units of fuel, in small slices %d", a, b)
		}
	})
}

// TestJumpsAhead: a jump ahead by way of a dispatching loop costs what it costs to leave the block.
func TestJumpsAhead(t *testing.T) {
	const blocks = 20
	cost := func(jump func(block, open int) string) int64 {
		s := &supply{left: 1 << 40, slice: 1 << 20}
		m := instance(t, newRuntime(t, s), instrument(t, dispatching(blocks, jump), meter.Options{}))
		if _, err := call(m, "f", 0, 100); err != nil {
			t.Fatal(err)
		}
		return 1<<40 - s.left - fuelLeft(m)
	}
	ahead := func(label func(open int) int) int64 { // over a block
		return cost(func(block, open int) string {
			if open < 2 {
				return ""
			}
			return around(block+2, label(open))
		})
	}
	behind, left := ahead(func(open int) int { return open }), ahead(func(int) int { return 1 })
	if behind != left {
		t.Errorf("%d units of fuel by way of the loop, %d out of the block", behind, left)
	}
}

func fuelLeft(m api.Module) int64 { return int64(m.ExportedGlobal(meter.GlobalFuel).Get()) }
