package compact

import (
	"strings"
	"unicode/utf8"
)

// What a backslash stands before in a string of JSON, and what that means.
const (
	escapes = `"\bfnrt`
	escaped = "\"\\\b\f\n\r\t"
)

const hexadecimal = "0123456789abcdef"

// AppendText appends a text as a string of JSON, as encoding/json writes it when it does not escape HTML.
func AppendText[T string | []byte](b []byte, text T) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(text); {
		c, size := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
		}
		broken := c == utf8.RuneError && size == 1
		if c >= ' ' && c != '"' && c != '\\' && c != '\u2028' && c != '\u2029' && !broken {
			i += size
			continue
		}
		b = append(b, text[from:i]...)
		switch k := strings.IndexByte(escaped, text[i]); {
		case k >= 0:
			b = append(b, '\\', escapes[k])
		case broken:
			b = append(b, `\ufffd`...)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hexadecimal[c>>4], hexadecimal[c&15])
		default:
			b = append(b, '\\', 'u', '2', '0', '2', hexadecimal[c&15])
		}
		i += size
		from = i
	}
	return append(append(b, text[from:]...), '"')
}

// Unescaped gives what a character stands for behind a backslash, where AppendText writes it there; else 0.
func Unescaped(c byte) byte {
	if k := strings.IndexByte(escapes, c); k >= 0 {
		return escaped[k]
	}
	return 0
}
