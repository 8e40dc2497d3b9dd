package host

import (
	"encoding/binary"
	"slices"
)

// blocks is the memory of the Extism ABI: blocks of bytes that live outside of the guest, and that it knows by their offsets in a made-up
// address space. Offsets are never used twice, so a stale or forged one finds nothing and reads as zero. What get and view give is there until the
// block is freed: who needs it longer copies it.
type blocks struct {
	list  []block // by offset
	dead  int     // freed ones that are still in the list
	next  uint64
	bytes int64 // of all live blocks, with overhead
	limit int64
	last  int    // index of the block that was found last
	spare []byte // of a block that was freed, for the next: who asks the host over and over makes no garbage by it
}

type block struct {
	offset uint64
	data   []byte
	live   bool
	mapped bool // data must be unmapped
}

const (
	firstOffset   = 4096
	blockOverhead = 1 << 10 // charged for each block, so that many small ones are bounded too
)

// alloc makes a block and gives its offset, or 0 if it has no length or the limit is passed.
func (b *blocks) alloc(n uint64) uint64 {
	if n == 0 || n > uint64(b.limit) || !b.room(int(n)) {
		return 0
	}
	content, mapped := b.take(int(n))
	clear(content)
	return b.adopt(content, mapped)
}

// put makes a block of a copy of data.
func (b *blocks) put(data []byte) uint64 {
	if len(data) == 0 || !b.room(len(data)) {
		return 0
	}
	content, mapped := b.take(len(data))
	copy(content, data)
	return b.adopt(content, mapped)
}

// take gives n bytes that may hold anything.
func (b *blocks) take(n int) (content []byte, mapped bool) {
	if most := cap(b.spare); n <= most && n >= most/2 { // else a small block would hold much
		content, b.spare = b.spare[:n], nil
		return content, false
	}
	return newBytes(n)
}

// room says whether a block of n bytes is within the limit. It is asked before anything is made: a guest may try for nothing all day.
func (b *blocks) room(n int) bool { return b.bytes+int64(n)+blockOverhead <= b.limit }

// adopt makes data a block, for which there is room.
func (b *blocks) adopt(data []byte, mapped bool) uint64 {
	b.bytes += int64(len(data)) + blockOverhead
	if b.dead > 64 && b.dead > len(b.list)/2 {
		b.list = slices.DeleteFunc(b.list, func(x block) bool { return !x.live })
		b.dead, b.last = 0, 0
	}
	offset := max(b.next, firstOffset)
	b.next = (offset + uint64(len(data)) + 15) &^ 7 // never adjacent, so that an access over the end of one is out of range
	b.list = append(b.list, block{offset: offset, data: data, live: true, mapped: mapped})
	return offset
}

// find gives the live block that holds the offset.
func (b *blocks) find(offset uint64) *block {
	if b.last < len(b.list) {
		if x := &b.list[b.last]; x.live && offset-x.offset < uint64(len(x.data)) {
			return x
		}
	}
	i, exact := slices.BinarySearchFunc(b.list, offset, func(x block, offset uint64) int {
		switch {
		case x.offset < offset:
			return -1
		case x.offset > offset:
			return 1
		}
		return 0
	})
	if !exact {
		i--
	}
	if i < 0 || !b.list[i].live || offset-b.list[i].offset >= uint64(len(b.list[i].data)) {
		return nil
	}
	b.last = i
	return &b.list[i]
}

// get gives the whole block that starts at the offset.
func (b *blocks) get(offset uint64) ([]byte, bool) {
	if x := b.find(offset); x != nil && x.offset == offset {
		return x.data, true
	}
	return nil, false
}

// view gives n bytes from any offset within one block.
func (b *blocks) view(offset, n uint64) ([]byte, bool) {
	x := b.find(offset)
	if x == nil {
		return nil, false
	}
	from := offset - x.offset
	if n > uint64(len(x.data))-from {
		return nil, false
	}
	return x.data[from : from+n : from+n], true
}

func (b *blocks) free(offset uint64) {
	x := b.find(offset)
	if x == nil || x.offset != offset {
		return
	}
	b.bytes -= int64(len(x.data)) + blockOverhead
	if !x.mapped && len(x.data) > cap(b.spare) {
		b.spare = x.data[:0]
	}
	x.release()
	b.dead++
	for n := len(b.list); n > 0 && !b.list[n-1].live; n-- {
		b.list = b.list[:n-1]
		b.dead--
	}
}

func (b *blocks) load8(offset uint64) uint64 {
	if v, ok := b.view(offset, 1); ok {
		return uint64(v[0])
	}
	return 0
}

func (b *blocks) load64(offset uint64) uint64 {
	if v, ok := b.view(offset, 8); ok {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (b *blocks) store8(offset uint64, value byte) {
	if v, ok := b.view(offset, 1); ok {
		v[0] = value
	}
}

func (b *blocks) store64(offset, value uint64) {
	if v, ok := b.view(offset, 8); ok {
		binary.LittleEndian.PutUint64(v, value)
	}
}

// release frees the bytes of a block.
func (x *block) release() {
	if x.mapped {
		unmapBytes(x.data)
	}
	x.live, x.mapped, x.data = false, false, nil
}

// reset frees all blocks.
func (b *blocks) reset() {
	for n := range b.list {
		b.list[n].release()
	}
	*b = blocks{limit: b.limit, next: b.next}
}
