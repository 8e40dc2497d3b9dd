package pdk

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// What crosses the wall of the sandbox was written by encoding/json on the other side: valid, compact, and often with documents within documents.
// In WebAssembly encoding/json takes 50 ns and more for each byte and each level of that. So envelopes are read here, by jumping from quote to
// quote, and only the plugin's own types are left to encoding/json. Whatever looks unusual is left to it as well: each reader says false then.

// members gives the members of an object to f, values as they stand there.
func members(object []byte, f func(name string, value []byte) bool) bool {
	if len(object) < 2 || object[0] != '{' || object[len(object)-1] != '}' {
		return false
	}
	if len(object) == 2 {
		return true
	}
	for at := 1; ; {
		end := skipString(object, at)
		if end < 0 || end >= len(object) || object[end] != ':' {
			return false
		}
		name, ok := text(object[at:end])
		if !ok {
			return false
		}
		at = end + 1
		if end = skip(object, at); end < 0 || end >= len(object) || !f(name, object[at:end:end]) {
			return false
		}
		switch {
		case object[end] == '}':
			return end == len(object)-1
		case object[end] != ',':
			return false
		}
		at = end + 1
	}
}

// skip gives the index behind the value that starts at an index, or -1.
func skip(b []byte, at int) int {
	if at >= len(b) {
		return -1
	}
	switch b[at] {
	case '"':
		return skipString(b, at)
	case '{', '[':
	default:
		n := bytes.IndexAny(b[at:], ",}]")
		if n <= 0 {
			return -1
		}
		return at + n
	}
	for depth := 0; at < len(b); at++ {
		switch b[at] {
		case '"':
			end := skipString(b, at)
			if end < 0 {
				return -1
			}
			at = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return -1
}

// skipString gives the index behind the string that starts at an index, or -1.
func skipString(b []byte, at int) int {
	if at >= len(b) || b[at] != '"' {
		return -1
	}
	for start := at + 1; ; {
		n := bytes.IndexByte(b[start:], '"')
		if n < 0 {
			return -1
		}
		end := start + n
		escapes := 0
		for escapes < n && b[end-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end + 1
		}
		start = end + 1
	}
}

// text reads a string. Parts of characters outside of the basic plane that are written as escapes are not taken.
func text(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return "", false
	}
	value = value[1 : len(value)-1]
	n := bytes.IndexByte(value, '\\')
	if n < 0 {
		return string(value), true
	}
	plain := make([]byte, 0, len(value))
	for ; n >= 0; n = bytes.IndexByte(value, '\\') {
		plain = append(plain, value[:n]...)
		if n+1 >= len(value) {
			return "", false
		}
		escape := value[n+1]
		value = value[n+2:]
		if i := strings.IndexByte(`"\/bfnrt`, escape); i >= 0 {
			plain = append(plain, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		if escape != 'u' || len(value) < 4 {
			return "", false
		}
		r, err := strconv.ParseUint(string(value[:4]), 16, 16)
		if err != nil || utf16.IsSurrogate(rune(r)) {
			return "", false
		}
		plain = utf8.AppendRune(plain, rune(r))
		value = value[4:]
	}
	return string(append(plain, value...)), true
}

// texts reads an object of strings.
func texts(value []byte) (map[string]string, bool) {
	m := map[string]string{}
	ok := members(value, func(name string, value []byte) (ok bool) {
		m[name], ok = text(value)
		return ok
	})
	return m, ok
}

// into reads a string into a place.
func into(s *string, value []byte) (ok bool) {
	*s, ok = text(value)
	return ok
}

func readCall(in []byte) (abi.Call, error) {
	var call abi.Call
	if members(in, func(name string, value []byte) bool {
		switch name {
		case "action":
			return into(&call.Action, value)
		case "parameters":
			call.Parameters = value
		case "settings":
			call.Settings = value
		case "context":
			return readContext(&call.Context, value)
		}
		return true
	}) {
		return call, nil
	}
	call = abi.Call{}
	err := json.Unmarshal(in, &call)
	return call, err
}

func readContext(c *abi.Context, value []byte) bool {
	return members(value, func(name string, value []byte) bool {
		switch name {
		case "invocation":
			return into(&c.Invocation, value)
		case "incident":
			return into(&c.Incident, value)
		case "run":
			return into(&c.Run, value)
		case "step":
			return into(&c.Step, value)
		case "now":
			var now string
			ok := into(&now, value)
			var err error
			c.Now, err = time.Parse(time.RFC3339Nano, now)
			return ok && err == nil
		case "deadline_ms":
			var err error
			c.Deadline, err = strconv.ParseInt(string(value), 10, 64)
			return err == nil
		}
		return true
	})
}

func readReply(raw []byte) (abi.Reply, error) {
	var reply abi.Reply
	if members(raw, func(name string, value []byte) bool {
		reply.Value = value
		return name == "value"
	}) {
		return reply, nil
	}
	reply = abi.Reply{}
	err := json.Unmarshal(raw, &reply)
	return reply, err
}

func readResponse(raw []byte) (abi.HTTPResponse, error) {
	var response abi.HTTPResponse
	if members(raw, func(name string, value []byte) (ok bool) {
		switch name {
		case "status":
			var err error
			response.Status, err = strconv.Atoi(string(value))
			return err == nil
		case "headers":
			response.Headers, ok = texts(value)
			return ok
		case "body":
			return members(value, func(name string, value []byte) bool { return name == "text" && into(&response.Body.Text, value) })
		}
		return true
	}) {
		return response, nil
	}
	response = abi.HTTPResponse{}
	err := json.Unmarshal(raw, &response)
	return response, err
}

// writeRequest is what encoding/json writes of a request.
func writeRequest(r abi.HTTPRequest) []byte {
	size := 128 + len(r.URL)
	if r.Body != nil {
		size += len(r.Body.Text)*9/8 + base64.StdEncoding.EncodedLen(len(r.Body.Base64))
	}
	b := appendText(append(make([]byte, 0, size), `{"capability":`...), r.Capability)
	b = appendText(append(b, `,"method":`...), r.Method)
	b = appendText(append(b, `,"url":`...), r.URL)
	before := `,"headers":{`
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		b = append(appendText(append(b, before...), name), ':')
		b, before = appendText(b, r.Headers[name]), ","
	}
	if len(r.Headers) > 0 {
		b = append(b, '}')
	}
	if r.Body != nil {
		b = append(b, `,"body":{`...)
		if r.Body.Text != "" {
			b = appendText(append(b, `"text":`...), r.Body.Text)
		}
		if len(r.Body.Base64) > 0 {
			if r.Body.Text != "" {
				b = append(b, ',')
			}
			b = append(base64.StdEncoding.AppendEncode(append(b, `"base64":"`...), r.Body.Base64), '"')
		}
		b = append(b, '}')
	}
	if r.Timeout != 0 {
		b = strconv.AppendInt(append(b, `,"timeout_ms":`...), r.Timeout, 10)
	}
	return append(b, '}')
}

// appendText writes a string as encoding/json does.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for at := 0; at < len(s); {
		c := s[at]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
			at++
			continue
		}
		size, escape := 1, ""
		switch {
		case c == '"':
			escape = `\"`
		case c == '\\':
			escape = `\\`
		case c < utf8.RuneSelf:
			if i := strings.IndexByte("\b\f\n\r\t", c); i >= 0 {
				escape = `\b\f\n\r\t`[2*i : 2*i+2]
			} else {
				escape = `\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15])
			}
		default:
			var r rune
			switch r, size = utf8.DecodeRuneInString(s[at:]); {
			case r == utf8.RuneError && size == 1:
				escape = `\ufffd`
			case r == '\u2028' || r == '\u2029':
				escape = `\u202` + string("89"[r-'\u2028'])
			}
		}
		if escape != "" {
			b = append(append(b, s[from:at]...), escape...)
			from = at + size
		}
		at += size
	}
	return append(append(b, s[from:]...), '"')
}

// writeResult is the JSON of a result, whose output is JSON already.
func writeResult(r abi.Result) ([]byte, error) {
	if r.Fault != nil {
		return json.Marshal(r)
	}
	return append(append([]byte(`{"output":`), r.Output...), '}'), nil
}
