package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader walks over bytes. The first problem sticks: after it every read gives zero and ok is false, so callers check once.
type reader struct {
	b       []byte
	pos     int
	end     int
	section string
	err     *Error
}

func (r *reader) ok() bool   { return r.err == nil }
func (r *reader) more() bool { return r.err == nil && r.pos < r.end }
func (r *reader) left() int  { return r.end - r.pos }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Section: r.section, Offset: r.pos, Problem: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) byte() byte {
	if r.err != nil {
		return 0
	}
	if r.pos >= r.end {
		r.fail("unexpected end")
		return 0
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.end-r.pos {
		r.fail("%d bytes expected, %d left", n, r.end-r.pos)
		return nil
	}
	s := r.b[r.pos : r.pos+n]
	r.pos += n
	return s
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f {
			r.fail("number does not fit 32 bits")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			break
		}
	}
	if r.err != nil {
		return 0
	}
	return v
}

// skipLEB passes over a LEB128 number of at most max bytes; its value is left to the runtime to judge.
func (r *reader) skipLEB(max int) {
	for range max {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail("number longer than %d bytes", max)
}

// s33 reads the signed 33-bit number of a block type.
func (r *reader) s33() int64 {
	var v int64
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if shift == 28 {
			if high := c & 0x70; c >= 0x80 || (high != 0 && high != 0x70) {
				r.fail("number does not fit 33 bits")
				return 0
			}
		}
		v |= int64(c&0x7f) << shift
		if c < 0x80 {
			if c&0x40 != 0 {
				v |= -1 << (shift + 7)
			}
			break
		}
	}
	return v
}

// count reads the length of a vector whose entries take at least min bytes each.
func (r *reader) count(what string, min, limit int) int {
	at := r.pos
	n := r.u32()
	if r.err != nil {
		return 0
	}
	if int64(n)*int64(min) > int64(r.left()) {
		r.pos = at
		r.fail("%d %s announced, but only %d bytes follow", n, what, r.left())
		return 0
	}
	if int64(n) > int64(limit) {
		r.pos = at
		r.fail("%d %s, at most %d are allowed", n, what, limit)
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	n := r.count("bytes of name", 1, 100_000)
	s := r.take(n)
	if r.err == nil && !utf8.Valid(s) {
		r.fail("name is not UTF-8")
	}
	return string(s)
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// countSize is the size of a number that appendCount writes.
const countSize = 5

// appendCount appends a number of always the same size: with it in front of the code section, the offset of a body is known before the number
// of all bodies is.
func appendCount(b []byte, n int) []byte {
	return append(b, byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)|0x80, byte(n>>21)|0x80, byte(n>>28)&0x0f)
}

func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func appendName(b []byte, s string) []byte { return append(appendU32(b, uint32(len(s))), s...) }

func appendSection(b []byte, id byte, content []byte) []byte {
	return append(appendU32(append(b, id), uint32(len(content))), content...)
}
