package host

import (
	"bytes"
	"testing"
	"unsafe"
)

// TestFreedBlocksServeAgain: the bytes of a freed block serve the next one of about its length, which does not see them.
func TestFreedBlocksServeAgain(t *testing.T) {
	b := blocks{limit: 1 << 20}
	place := func(offset uint64) *byte {
		data, ok := b.get(offset)
		if !ok {
			t.Fatal("a block is not there")
		}
		return unsafe.SliceData(data)
	}
	first := b.put(bytes.Repeat([]byte("x"), 1000))
	was := place(first)
	b.free(first)
	second := b.alloc(900)
	if data, _ := b.get(second); place(second) != was || !bytes.Equal(data, make([]byte, 900)) {
		t.Errorf("the next block is another one, or not zero: %q", data)
	}
	b.free(second)
	if small := b.alloc(100); place(small) == was {
		t.Error("a small block holds a large one")
	}
	if third := b.put([]byte(string(make([]byte, 800)))); place(third) != was {
		t.Error("a small block has taken the place of a large one")
	}
}
