package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// MinLength is the length in bytes of the shortest secret that can be masked: masking shorter ones would destroy every answer.
const MinLength = 4

// Redactor masks every occurrence of some secrets and of their encodings: as they are, URL-encoded, as a string of JSON, in hexadecimal, and
// in both alphabets of Base64 in whatever place they stand in what was encoded. The zero value masks nothing. It may be used concurrently.
type Redactor struct {
	patterns []pattern        // longest first
	shift    [shiftSize]uint8 // Wu-Manber: how far a block of two bytes lets us move on
	first    [shiftSize]uint8 // number, from 1, of the first pattern whose window ends in such a block
	window   int              // length of the shortest pattern
}

type pattern struct {
	text   string
	base64 bool  // one more character at each end may hold bits of the secret
	next   uint8 // the next pattern, as in Redactor.first
}

const shiftSize = 1 << 12

// NewRedactor prepares the search. Secrets shorter than MinLength are left out.
func NewRedactor(secrets ...Secret) *Redactor {
	r := &Redactor{}
	seen := map[string]bool{}
	add := func(p string, inBase64 bool) {
		if len(p) >= MinLength && !seen[p] && len(r.patterns) < 255 {
			seen[p] = true
			r.patterns = append(r.patterns, pattern{text: p, base64: inBase64})
		}
	}
	for _, s := range secrets {
		if len(s.value) < MinLength {
			continue
		}
		for _, form := range []string{s.value, strings.TrimSpace(s.value)} {
			add(form, false)
			addEncodings(form, add)
		}
	}
	slices.SortStableFunc(r.patterns, func(a, b pattern) int { return len(b.text) - len(a.text) })
	r.index()
	return r
}

func addEncodings(s string, add func(p string, inBase64 bool)) {
	for _, escaped := range []string{url.QueryEscape(s), url.PathEscape(s), escapeAll(s)} {
		add(escaped, false)
		add(lowerEscapes(escaped), false)
	}
	for _, html := range []bool{true, false} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if e.Encode(s) == nil {
			text := b.String()
			add(text[1:len(text)-2], false)
			add(strings.ReplaceAll(text[1:len(text)-2], "/", `\/`), false)
		}
	}
	inHex := hex.EncodeToString([]byte(s))
	add(inHex, false)
	add(strings.ToUpper(inHex), false)
	for lead := range 3 {
		for _, coding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			coded := coding.EncodeToString(append(make([]byte, lead), s...))
			// Leave out the characters that hold bits of the bytes before and behind.
			from := (lead*8 + 5) / 6
			to := (lead + len(s)) * 8 / 6
			if to > from {
				add(coded[from:to], true)
			}
		}
	}
}

// escapeAll percent-encodes every byte that is neither letter nor digit.
func escapeAll(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// lowerEscapes writes the digits of percent-encodings in lower case.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

func block(a, b byte) int { return (int(a)<<4 ^ int(b)) & (shiftSize - 1) }

// index fills the tables of Wu and Manber's search ("A fast algorithm for multi-pattern searching", 1994).
func (r *Redactor) index() {
	if len(r.patterns) == 0 {
		return
	}
	r.window = min(len(r.patterns[len(r.patterns)-1].text), 64)
	for i := range r.shift {
		r.shift[i] = uint8(r.window - 1)
	}
	for n, p := range slices.Backward(r.patterns) {
		for i := range r.window - 1 {
			h := block(p.text[i], p.text[i+1])
			r.shift[h] = min(r.shift[h], uint8(r.window-2-i))
			if i == r.window-2 {
				r.patterns[n].next, r.first[h] = r.first[h], uint8(n+1)
			}
		}
	}
}

// Empty says that there is nothing to mask.
func (r *Redactor) Empty() bool { return r == nil || len(r.patterns) == 0 }

// find gives the next occurrence at or behind from.
func find[T string | []byte](r *Redactor, data T, from int) (start, end int, ok bool) {
	for at := from + r.window - 2; at+1 < len(data); {
		h := block(data[at], data[at+1])
		if skip := r.shift[h]; skip > 0 {
			at += int(skip)
			continue
		}
		start = at - r.window + 2
		for n := r.first[h]; n > 0; n = r.patterns[n-1].next {
			p := &r.patterns[n-1]
			if end = start + len(p.text); end <= len(data) && string(data[start:end]) == p.text {
				if p.base64 {
					start, end = widen(data, from, start, end)
				}
				return start, end, true
			}
		}
		at++
	}
	return 0, 0, false
}

// widen takes in the neighbours that hold some bits of the secret's first and last byte.
func widen[T string | []byte](data T, from, start, end int) (int, int) {
	coded := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_'
	}
	if start > from && coded(data[start-1]) {
		start--
	}
	if end < len(data) && coded(data[end]) {
		end++
	}
	return start, end
}

// Bytes gives data with every occurrence masked: data itself if there is none.
func (r *Redactor) Bytes(data []byte) []byte {
	if r.Empty() {
		return data
	}
	start, end, ok := find(r, data, 0)
	if !ok {
		return data
	}
	out, from := make([]byte, 0, len(data)), 0
	for ok {
		out = append(append(out, data[from:start]...), mask...)
		from = end
		start, end, ok = find(r, data, from)
	}
	return append(out, data[from:]...)
}

// String is Bytes for text.
func (r *Redactor) String(s string) string {
	if r.Empty() {
		return s
	}
	if _, _, ok := find(r, s, 0); !ok {
		return s
	}
	return string(r.Bytes([]byte(s)))
}
