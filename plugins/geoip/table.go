package main

import (
	_ "embed"
	"encoding/binary"
	"net/netip"
	"sort"

	"github.com/riposte-soar/riposte/plugins/geoip/countries"
)

// table is made by gen.go: the time of the data (seconds since 1970, 8 bytes), then for IPv4 and for IPv6 the length of a part (4 bytes)
// and the part. A part has the number of blocks (4 bytes), an index with the first key of each block (8 bytes) and its offset (4), and the
// blocks. Keys are IPv4 addresses, or the upper halves of IPv6 addresses; numbers are big-endian. A block has up to 64 spans, which follow
// each other without gaps: one byte for the country (0 for none), one for the length, which is a power of two below 64, or from 64 on says
// how far to shift the varint that follows. The last span of a part has the length 0: it has no end. So a look-up reads one block in place,
// and nothing is unpacked or allocated.
//
//go:embed countries.bin
var table string

const (
	blockSize  = 64
	indexEntry = 12
)

// lookup gives the country of an address, empty if the table has none.
func lookup(addr netip.Addr) string {
	part, key := table[8:], uint64(0)
	if addr.Is4() {
		b := addr.As4()
		key = uint64(binary.BigEndian.Uint32(b[:]))
	} else {
		b := addr.As16()
		key = binary.BigEndian.Uint64(b[:8])
		part = part[4+number(part):]
	}
	return countries.At(int(find(part[4:], key)))
}

func number(s string) uint32 {
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

func find(part string, key uint64) byte {
	blocks := int(number(part))
	index := part[4 : 4+blocks*indexEntry]
	first := func(i int) uint64 {
		at := index[i*indexEntry:]
		return uint64(number(at))<<32 | uint64(number(at[4:]))
	}
	// The first block begins at key 0, so there is always one that begins at or before the key.
	block := sort.Search(blocks, func(i int) bool { return first(i) > key }) - 1
	spans := part[4+blocks*indexEntry+int(number(index[block*indexEntry+8:])):]
	for from, i := first(block), 0; i < blockSize; i++ {
		var size uint64
		country, length := spans[0], spans[1]
		spans = spans[2:]
		if length < 64 {
			size = 1 << length
		} else {
			var n int
			size, n = uvarint(spans)
			size <<= length - 64
			spans = spans[n:]
		}
		if size == 0 || key-from < size {
			return country
		}
		from += size
	}
	return 0
}

// uvarint is binary.Uvarint for a string, which lies in memory that nobody may write to.
func uvarint(s string) (v uint64, n int) {
	for shift := uint(0); n < len(s); shift += 7 {
		b := s[n]
		n++
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	return v, n
}
