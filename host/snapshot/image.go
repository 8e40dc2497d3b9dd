package snapshot

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/host/meter"
)

// pageSize is the unit in which memory is compared and copied back.
const pageSize = 4 << 10

// image is the state that instances are put back into.
type image struct {
	size    int      // of the memory, in bytes
	pages   [][]byte // nil for a page of zeros
	globals []global
}

type global struct {
	name string
	bits uint64
}

func newImage(s meter.State, stack int64) *image {
	i := &image{size: len(s.Memory), pages: make([][]byte, len(s.Memory)/pageSize)}
	zero := make([]byte, pageSize)
	for n := range i.pages {
		if p := s.Memory[n*pageSize:][:pageSize]; !bytes.Equal(p, zero) {
			i.pages[n] = p
		}
	}
	for index, bits := range s.Globals {
		i.globals = append(i.globals, global{meter.GlobalName(index), bits})
	}
	slices.SortFunc(i.globals, func(a, b global) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	i.globals = append(i.globals, global{meter.GlobalFuel, 0}, global{meter.GlobalStack, uint64(stack)})
	return i
}

func (i *image) restore(inst api.Module) error {
	if inst.IsClosed() {
		return ErrClosed
	}
	if i.size > 0 {
		mem := inst.Memory()
		if int(mem.Size()) != i.size {
			return ErrGrown
		}
		b, _ := mem.Read(0, uint32(i.size))
		i.copyBack(b)
	}
	for _, g := range i.globals {
		v, ok := inst.ExportedGlobal(g.name).(api.MutableGlobal)
		if !ok {
			return fmt.Errorf("not an instance of this module: global %q is missing", g.name)
		}
		v.Set(g.bits)
	}
	return nil
}

// copyBack writes the pages that differ. Most pages are as they were, and reading is cheaper than writing.
func (i *image) copyBack(mem []byte) {
	var zero [pageSize]byte
	for n, page := range i.pages {
		now := mem[n*pageSize:][:pageSize]
		if page == nil {
			page = zero[:]
		}
		if !bytes.Equal(now, page) {
			copy(now, page)
		}
	}
}
