package hostcall

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/riposte-soar/riposte/host/compact"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Most of what plugins ask is http.fetch. So its usual request is read, and its reply is written, without encoding/json: to the byte as that would
// do it, in a part of the time and of the garbage. What is not usual is left to encoding/json.

// field is a header.
type field struct{ name, value string }

func byName(a, b field) int {
	return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
}

// readFetch reads a request of http.fetch, and gives its document.
func (s *Services) readFetch(request []byte) (*fetch, []byte, *abi.Fault) {
	f := &fetch{}
	if f.readUsual(request) {
		return f, slices.Clone(request), nil // the guest may write on
	}
	var asked abi.HTTPRequest
	document, fault := s.read(request, &asked)
	*f = fetch{id: asked.Capability, method: asked.Method, url: asked.URL, timeout: asked.Timeout}
	f.body, f.unclear = content(asked.Body)
	for name, value := range asked.Headers {
		f.headers = append(f.headers, field{name, value})
	}
	slices.SortFunc(f.headers, byName)
	return f, document, fault
}

// readUsual reads a request that is its own document: with its members in order, nothing between them, a body of text if any, and no characters that
// need care but in that. Where there is anything else it says so, and what it has read is worth nothing.
func (f *fetch) readUsual(request []byte) bool {
	head, body, hasBody := bytes.Cut(request, []byte(`,"body":{"text":"`))
	if len(head) > maxRequestHeader {
		return false
	}
	u := usual{rest: string(head)} // of which the texts are parts
	f.id = u.text(`{"capability":"`)
	f.method = u.text(`,"method":"`)
	f.url = u.text(`,"url":"`)
	if u.skip(`,"headers":{`) {
		f.headers = make([]field, 0, 4)
		for more := true; more; more = u.skip(",") {
			h := field{u.text(`"`), u.text(`:"`)}
			if n := len(f.headers); u.odd || n > 0 && f.headers[n-1].name >= h.name {
				return false
			}
			f.headers = append(f.headers, h)
		}
		u.expect("}")
	}
	if hasBody {
		var tail []byte
		f.body, tail = unescape(body)
		u.odd = u.odd || u.rest != "" || len(f.body) == 0 || len(tail) > 64
		if u.odd {
			return false
		}
		u.rest = string(tail)
		u.expect("}")
	}
	if u.skip(`,"timeout_ms":`) {
		digits, _, _ := strings.Cut(u.rest, "}")
		f.timeout, _ = strconv.ParseInt(digits, 10, 64)
		u.odd = u.odd || f.timeout == 0
		u.expect(strconv.FormatInt(f.timeout, 10))
	}
	u.expect("}")
	return !u.odd && u.rest == ""
}

// usual is what is left of a request, until something is odd.
type usual struct {
	rest string
	odd  bool
}

// skip goes beyond s, if that comes next.
func (u *usual) skip(s string) (ok bool) {
	u.rest, ok = strings.CutPrefix(u.rest, s)
	return ok
}

func (u *usual) expect(s string) { u.odd = !u.skip(s) || u.odd }

// text gives the text behind s, up to its quote.
func (u *usual) text(s string) (text string) {
	u.expect(s)
	for i := range len(u.rest) {
		switch c := u.rest[i]; {
		case c == '"':
			text, u.rest = u.rest[:i], u.rest[i+1:]
			return text
		case c < ' ' || c == '\\' || c >= utf8.RuneSelf:
			u.odd = true
			return ""
		}
	}
	u.odd = true
	return ""
}

// unescape gives the text up to the quote that ends it, and what stands behind. The text is empty if it is not written as compact.AppendText writes it.
func unescape(in []byte) (text, rest []byte) {
	text = make([]byte, 0, len(in))
	for from, i := 0, 0; i < len(in); {
		switch c := in[i]; {
		case c == '"':
			return append(text, in[from:i]...), in[i+1:]
		case c == '\\' && i+1 < len(in):
			plain := compact.Unescaped(in[i+1])
			if plain == 0 {
				return nil, nil
			}
			text = append(append(text, in[from:i]...), plain)
			i += 2
			from = i
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(in[i:])
			if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
				return nil, nil
			}
			i += size
		case c < ' ' || c == '\\':
			return nil, nil
		default:
			i++
		}
	}
	return nil, nil
}

// response is the value of http.fetch; in JSON it is an abi.HTTPResponse.
type response struct {
	status  int
	headers []field // by name
	body    []byte
}

// reply writes the abi.Reply.
func (r *response) reply() []byte {
	text := utf8.Valid(r.body)
	size := len(`{"value":{"status":000,"headers":{},"body":{"base64":""}}}`)
	for _, h := range r.headers {
		size += len(h.name) + len(h.value) + len(`"":"",`)
	}
	if text {
		size += len(r.body) + bytes.Count(r.body, []byte(`"`))
	} else {
		size += base64.StdEncoding.EncodedLen(len(r.body))
	}
	w := compact.Writer{B: make([]byte, 0, size)}
	w.Number(`{"value":{"status":`, int64(r.status))
	before := `,"headers":{`
	for _, h := range r.headers {
		w.Text(before, h.name)
		w.Text(":", h.value)
		before = ","
	}
	if len(r.headers) > 0 {
		w.Raw("}")
	}
	w.Raw(`,"body":{`)
	switch {
	case len(r.body) == 0:
	case text:
		w.B = compact.AppendText(append(w.B, `"text":`...), r.body)
	default:
		w.B = append(base64.StdEncoding.AppendEncode(append(w.B, `"base64":"`...), r.body), '"')
	}
	w.Raw("}}}")
	return w.B
}
