package syslog

import (
	"bytes"
	"fmt"
	"io"
)

// frame is one message as it stood in a stream; note says what was odd about its framing.
type frame struct {
	data []byte // valid until the framer reads again
	note string
}

// framer cuts a stream into messages, and decides for each anew how it is framed (RFC 6587): a digit begins an octet count, anything
// else ends with a line feed (or NUL, which some senders use). It holds at most one message of the greatest size.
//
// A count that lies must not cost the messages after it. It shows when the bytes behind the message are no beginning of another one.
// Then the framer looks for the next place that is surely one ("57 <134>"), gives what stands before as one odd message, and
// goes on there.
type framer struct {
	buf     []byte
	start   int // of the first byte not yet given out
	scanned int // bytes from start known to hold no line's end
	max     int
	skip    int  // octets of a cut message still to be thrown away; -1: all to the end of the line
	counted bool // the last frame had an octet count
	lied    bool // a count lied: what follows was recovered
	cut     int  // messages that were cut
	resyncs int
}

const firstRead = 4096

func newFramer(most int) *framer { return &framer{max: most} }

// fill makes room and reads once.
func (f *framer) fill(r io.Reader) (int, error) {
	if f.start > 0 {
		f.buf = f.buf[:copy(f.buf, f.buf[f.start:])]
		f.start = 0
	}
	most := f.max + maxCount + 1 // a count, its blank, and the longest message
	switch {
	case len(f.buf) == 0 && cap(f.buf) > 16*firstRead:
		f.buf = nil // give the room of a long message back
		fallthrough
	case cap(f.buf) == 0:
		f.buf = make([]byte, 0, min(firstRead, most))
	case len(f.buf) == cap(f.buf):
		grown := make([]byte, len(f.buf), min(2*cap(f.buf), most))
		copy(grown, f.buf)
		f.buf = grown
	}
	n, err := r.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	return n, err
}

// pending reports whether a message has begun and not ended.
func (f *framer) pending() bool { return f.start < len(f.buf) || f.skip != 0 }

// next gives the next whole message. At the end of the stream it also gives what has no end.
func (f *framer) next(end bool) (frame, bool) {
	for {
		f.discard()
		for f.skip == 0 && f.start < len(f.buf) && isTrailer(f.buf[f.start]) {
			f.start++
			f.scanned = 0
		}
		rest := f.buf[f.start:]
		if len(rest) == 0 || f.skip != 0 {
			return frame{}, false
		}
		count, head, more := octetCount(rest)
		var out frame
		var ok bool
		switch {
		case more && !end:
			return frame{}, false
		case head > 0:
			out, ok = f.octets(rest, head, count, end)
		default:
			out, ok = f.line(rest, end)
		}
		if !ok || len(out.data) > 0 {
			return out, ok
		}
	}
}

// take gives n bytes out, of which the first drop are framing.
func (f *framer) take(drop, n int, note string) (frame, bool) {
	data := f.buf[f.start+drop : f.start+n]
	f.start += n
	f.scanned = 0
	if f.lied && note == "" {
		note = "recovered behind an octet count that lied"
	}
	f.lied = false
	return frame{data: data, note: note}, true
}

// octets gives a message of count octets behind a head of that many bytes.
func (f *framer) octets(rest []byte, head, count int, end bool) (frame, bool) {
	body := rest[head:]
	switch {
	case count > f.max:
		if len(body) < f.max && !end {
			return frame{}, false
		}
		if at := sureStart(body); at >= 0 || len(body) < f.max {
			return f.resync(rest, head, count)
		}
		f.counted = true
		f.cut++
		f.skip = count - f.max
		return f.take(head, head+f.max, fmt.Sprintf("cut at %d of %d bytes", f.max, count))
	case len(body) < count:
		if !end {
			return frame{}, false
		}
		return f.resync(rest, head, count)
	case !mayStart(body[count:]):
		return f.resync(rest, head, count)
	}
	f.counted = true
	return f.take(head, head+count, "")
}

// resync gives what stands before the next sure beginning, or all there is up to a line's end, as one message whose count lied.
func (f *framer) resync(rest []byte, head, count int) (frame, bool) {
	f.resyncs++
	f.counted = true
	body := rest[head:]
	note := fmt.Sprintf("the octet count %d is wrong", count)
	if len(body) < count {
		note = fmt.Sprintf("only %d of %d octets arrived", len(body), count)
	}
	n := sureStart(body)
	if n < 0 {
		n = len(body)
		if count < n {
			if end := bytes.IndexByte(body[count:], '\n'); end >= 0 {
				n = count + end
			}
		}
	}
	n = min(n, f.max)
	out, ok := f.take(head, head+n, note)
	f.lied = n < len(body)
	return out, ok
}

// line gives a message up to a line feed or NUL.
func (f *framer) line(rest []byte, end bool) (frame, bool) {
	n := f.scanned + lineEnd(rest[f.scanned:])
	whole := n < len(rest)
	if f.counted { // no line's end is to be expected
		if at := sureStart(rest[:n]); at > 0 {
			f.resyncs++
			out, ok := f.take(0, at, "bytes between two messages with octet counts")
			f.lied = true
			return out, ok
		}
	}
	switch {
	case n > f.max:
		f.cut++
		f.skip = -1
		return f.take(0, f.max, fmt.Sprintf("cut at %d bytes", f.max))
	case whole:
		f.counted = false
		return f.take(0, n, "")
	case end:
		return f.take(0, n, "")
	}
	f.scanned = len(rest)
	return frame{}, false
}

// discard throws the rest of a cut message away.
func (f *framer) discard() {
	rest := f.buf[f.start:]
	switch {
	case f.skip > 0:
		n := min(f.skip, len(rest))
		if at := sureStart(rest[:n]); at >= 0 {
			f.start, f.skip, f.lied = f.start+at, 0, true
			f.resyncs++
			return
		}
		f.start += n
		f.skip -= n
	case f.skip < 0:
		n := lineEnd(rest)
		f.start += n
		if n < len(rest) {
			f.skip = 0
		}
	}
}

// lineEnd finds the first line feed or NUL; without one it is the length.
func lineEnd(b []byte) int {
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		n = len(b)
	}
	if zero := bytes.IndexByte(b[:n], 0); zero >= 0 {
		return zero
	}
	return n
}

func isTrailer(c byte) bool { return c == '\n' || c == '\r' || c == 0 || c == ' ' }

// maxCount is the greatest number of digits of an octet count.
const maxCount = 8

// octetCount reads "123 "; head is its length with the blank, 0 if this is none. more means: it could become one.
func octetCount(b []byte) (count, head int, more bool) {
	if b[0] < '1' || b[0] > '9' {
		return 0, 0, false
	}
	for i, c := range b[:min(len(b), maxCount+1)] {
		switch {
		case c == ' ':
			return count, i + 1, false
		case c < '0' || c > '9' || i == maxCount:
			return 0, 0, false
		}
		count = count*10 + int(c-'0')
	}
	return 0, 0, true
}

// mayStart reports whether b may be the beginning of a message, or of what separates two.
func mayStart(b []byte) bool {
	if len(b) == 0 || isTrailer(b[0]) {
		return true
	}
	if _, head, more := octetCount(b); head > 0 || more {
		return true
	}
	for _, start := range [...]string{"<", "CEF:", "LEEF:", "{", "\uFEFF"} {
		if n := min(len(b), len(start)); string(b[:n]) == start[:n] {
			return true
		}
	}
	return false
}

// sureStart finds the first "<count> <<priority>>" in b: there a message with an octet count surely begins. It is -1 if there is
// none.
func sureStart(b []byte) int {
	for from := 0; from < len(b); {
		i := bytes.IndexByte(b[from:], '<')
		if i < 0 {
			return -1
		}
		i += from
		from = i + 1
		if i < 2 || b[i-1] != ' ' || !isPriority(b[i:]) {
			continue
		}
		if at := countBefore(b, i-1); at < i-1 {
			return at
		}
	}
	return -1
}

// countBefore finds where the count that ends before blank begins. Digits of the message before it may touch it: then the longest
// count counts that leads to another beginning, or else the longest.
func countBefore(b []byte, blank int) int {
	longest := blank
	for longest > 0 && blank-longest < maxCount && b[longest-1] >= '0' && b[longest-1] <= '9' {
		longest--
	}
	for longest < blank && b[longest] == '0' {
		longest++
	}
	for at := longest; at < blank; at++ {
		count, head, _ := octetCount(b[at:])
		if end := at + head + count; head > 0 && end <= len(b) && mayStart(b[end:]) {
			return at
		}
	}
	return longest
}

// isPriority reports whether b begins with "<0>" to "<999>".
func isPriority(b []byte) bool {
	n := 1
	for n < len(b) && n < 4 && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n > 1 && n < len(b) && b[0] == '<' && b[n] == '>'
}

// packet gives the messages of one datagram. RFC 5426 allows one; some senders put several there, a line each. A line counts as
// another message only when it begins as one, so that line feeds inside a value stay there.
func packet(data []byte, each func(frame)) {
	note := ""
	for len(data) > 0 {
		n, head := nextLine(data), 0
		if count, h, _ := octetCount(data); h > 0 && h+count <= len(data) && isPriority(data[h:]) { // a stream's framing, but whole
			n, head = h+count, h
		}
		if message := bytes.Trim(data[head:n], "\x00\r\n "); len(message) > 0 {
			each(frame{data: message, note: note})
			note = "not the first message of its datagram"
		}
		data = data[n:]
	}
}

// nextLine finds the end of the first message: the line feed or NUL before one that begins as a message.
func nextLine(data []byte) int {
	for from := 0; ; {
		from += lineEnd(data[from:]) + 1
		if from >= len(data) {
			return len(data)
		}
		rest := data[from:]
		if isPriority(rest) || bytes.HasPrefix(rest, []byte("CEF:")) || bytes.HasPrefix(rest, []byte("LEEF:")) {
			return from
		}
	}
}
