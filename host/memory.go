package host

import (
	"bytes"

	"github.com/tetratelabs/wazero/experimental"
)

// What guests take is not memory of the heap where the system can map memory: it is given back the moment that they let go of it, it does not raise
// the aim of the garbage collector, and what they do not touch is not there.

// mapLeast is the number of bytes from which on a mapping is worth its system calls.
const mapLeast = 64 << 10

// newBytes gives n zeros, mapped if they are many. What is mapped must be freed with unmapBytes, and not be used after that.
func newBytes(n int) (content []byte, mapped bool) {
	if n >= mapLeast {
		if content = mapBytes(n); content != nil {
			return content, true
		}
	}
	return make([]byte, n), false
}

// limitedMemory is the linear memory of an instance: a private mapping of the image's pages, or of zeros, where the system has such things, with
// room for all that a guest may have; otherwise ordinary memory.
type limitedMemory struct {
	buffer []byte
	limit  int64
	stats  memoryStats
	first  int // bytes that it will have at once
	begun  bool
	shrink int           // if not 0, what the next call makes the length, whatever it asks for
	pages  *privatePages // nil without a mapping
}

// memoryStats is what an invocation did to its memory.
type memoryStats struct {
	peak    int64
	refused bool // it wanted more than it may have
}

var _ experimental.MemoryAllocator = (*limitedMemory)(nil)

// Allocate implements experimental.MemoryAllocator.
func (m *limitedMemory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate grows the memory, or refuses to, in which case memory.grow gives -1. What a module begins with is always given: it was
// checked when it was installed.
func (m *limitedMemory) Reallocate(size uint64) []byte {
	if m.shrink > 0 {
		m.buffer = m.buffer[:m.shrink]
		return m.buffer
	}
	room := max(size, min(2*uint64(cap(m.buffer)), uint64(m.limit)))
	switch {
	case !m.begun:
		m.begun, room = true, max(size, uint64(m.first)) // exactly: most guests never grow
		if m.pages != nil {
			m.buffer = m.pages.content
		}
	case size > uint64(m.limit):
		m.stats.refused = true
		return nil
	}
	if size > uint64(cap(m.buffer)) {
		grown := make([]byte, size, room)
		copy(grown, m.buffer)
		m.buffer = grown
	}
	m.buffer = m.buffer[:size]
	m.stats.peak = max(m.stats.peak, int64(size))
	return m.buffer
}

// Free implements experimental.LinearMemory. It does nothing: an instance closes itself while its guest is still on the stack, and memory that
// is mapped must outlive that. See release.
func (m *limitedMemory) Free() {}

// release gives the memory back; the instance must be closed.
func (m *limitedMemory) release() {
	m.buffer = nil
	if m.pages != nil {
		m.pages.release()
		m.pages = nil
	}
}

// serve begins an invocation's account.
func (m *limitedMemory) serve(limit int64) {
	m.limit, m.stats = limit, memoryStats{peak: int64(len(m.buffer))}
}

// mapped says whether the memory is the mapping, which it is not any more when it has grown.
func (m *limitedMemory) mapped() bool {
	return m.pages != nil && len(m.buffer) > 0 && &m.buffer[0] == &m.pages.content[0]
}

// held is how many bytes the memory has of its own.
func (m *limitedMemory) held() int {
	if m.mapped() {
		return m.pages.held()
	}
	return cap(m.buffer)
}

// restore puts the content of the image back, with zeros behind it if the memory has grown. It cannot be undone that the memory was copied, and
// so is not the mapping any more.
func (m *limitedMemory) restore(im *image) bool {
	if m.pages != nil && len(m.buffer) > 0 {
		return m.mapped() && m.pages.restore(len(m.buffer)) == nil
	}
	clear(m.buffer[len(im.memory):])
	for at := 0; at < len(im.memory); at += pageSize {
		now, then := m.buffer[at:at+pageSize], im.memory[at:at+pageSize]
		if !bytes.Equal(now, then) {
			copy(now, then)
		}
	}
	return true
}
