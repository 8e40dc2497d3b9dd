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
	for i := ordinary(text, 0); i < len(text); i = ordinary(text, i) {
		c, size := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
		}
		if c >= utf8.RuneSelf && c != '\u2028' && c != '\u2029' && (c != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		b = append(b, text[from:i]...)
		switch k := strings.IndexByte(escaped, text[i]); {
		case k >= 0:
			b = append(b, '\\', escapes[k])
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hexadecimal[c>>4], hexadecimal[c&15])
		case c == utf8.RuneError:
			b = append(b, `\ufffd`...)
		default:
			b = append(b, '\\', 'u', '2', '0', '2', hexadecimal[c&15])
		}
		i += size
		from = i
	}
	return append(append(b, text[from:]...), '"')
}

// ordinary gives the place of the next byte that may need care, or the length: what is not ASCII, a control character, a quote or a backslash.
func ordinary[T string | []byte](s T, i int) int {
	const each = 0x0101_0101_0101_0101
	for ; i+8 <= len(s); i += 8 { // so many at a time
		e := s[i : i+8]
		v := uint64(e[0]) | uint64(e[1])<<8 | uint64(e[2])<<16 | uint64(e[3])<<24 | uint64(e[4])<<32 | uint64(e[5])<<40 | uint64(e[6])<<48 | uint64(e[7])<<56
		if (v|(v-each*' ')|((v^each*'"')-each)|((v^each*'\\')-each))&(each<<7) != 0 {
			break
		}
	}
	for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' && s[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// Unescaped gives what a character stands for behind a backslash, where AppendText writes it there; else 0.
func Unescaped(c byte) byte {
	if k := strings.IndexByte(escapes, c); k >= 0 {
		return escaped[k]
	}
	return 0
}
