// Package cef reads the Common Event Format ("CEF:0|vendor|product|version|event class|name|severity|extension"), as the ArcSight
// implementation standard writes it and as senders do.
//
// # What a sender cannot be trusted with
//
// A value ends at the last blank before the next "key=", so a sender that does not escape "=" lets whoever chooses a value write fields:
// the user name "x dst=10.0.0.1" becomes two. The standard's escape "\=" never begins a key. Of a key, or of two keys that mean the
// same field, the first occurrence wins, also when it was empty or of the wrong type; a later one with another value is a warning,
// so the alarm is not clean. That protects fields which the sender writes before the value under attack, no others; and a smuggled
// key that the sender does not write at all is not seen. What is seen is a sender that does not escape: an "=" or a backslash
// that stands bare in a value makes the alarm unclean too. Therefore a rule whose runbook contains something by itself should
// require parse.clean. A field named by a label ("cs1Label=dst cs1=…") goes to ext.labels, never to a known field.
package cef

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/server/alarm"
)

// Parse reads one message that begins with "CEF:" into the builder. It fails when the header is cut; everything else that is odd is
// a warning.
func Parse(text string, b *alarm.Builder) error {
	text, ok := strings.CutPrefix(text, "CEF:")
	if !ok {
		return errors.New(`CEF: expected the word "CEF:" at the beginning`)
	}
	var head [7]string
	rest, err := header(text, &head, b)
	if err != nil {
		return err
	}
	for i, f := range headFields {
		b.Text(f, f.Path, head[i+1])
	}
	severity(head[6], b)
	extension(rest, b)
	return nil
}

// headFields are the fields of header parts 1 to 5, made once.
var headFields = func() (fields [5]*alarm.Field) {
	for i, path := range []string{"observer.vendor", "observer.product", "observer.version", "rule.id", "rule.name"} {
		fields[i], _ = alarm.Lookup(path)
	}
	return fields
}()

// header cuts the seven parts off and gives the extension. In the header "\|" and "\\" are escapes.
func header(text string, head *[7]string, b *alarm.Builder) (string, error) {
	for n := range head {
		end := bar(text)
		if end < 0 {
			if n < 6 {
				names := [...]string{"version", "vendor", "product", "device version", "event class", "name"}
				return "", fmt.Errorf("CEF: the header ends in part %d of 7 (%s): expected version|vendor|product|version|event class|name|severity|",
					n+1, names[n])
			}
			word, rest, _ := strings.Cut(text, " ")
			head[n] = strings.TrimSpace(word)
			b.Warn("no | behind the severity: the message may be cut")
			return rest, nil
		}
		head[n] = trim(unescapeHeader(text[:end]))
		text = text[end+1:]
	}
	return text, nil
}

// bar finds the next "|" that is not escaped.
func bar(text string) int {
	end := strings.IndexByte(text, '|')
	if end < 0 || strings.IndexByte(text[:end], '\\') < 0 {
		return end
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '|':
			return i
		}
	}
	return -1
}

func unescapeHeader(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var s strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && (text[i+1] == '|' || text[i+1] == '\\') {
			i++
		}
		s.WriteByte(text[i])
	}
	return s.String()
}

// severity reads 0 to 10 or a word.
func severity(text string, b *alarm.Builder) {
	if text == "" {
		b.Warn("the severity is empty")
		return
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		if s, ok := alarm.SeverityOfWord(text); ok {
			b.Severity(s)
			return
		}
	}
	switch {
	case err == nil && x >= 0 && x <= 10:
		b.Severity(alarm.SeverityOfScore(int(x*10 + 0.5)))
	case err == nil && x > 10 && x <= 100:
		b.Warn("severity %s is above 10: taken as a score of 100", alarm.Quote(text))
		b.Severity(alarm.SeverityOfScore(int(x)))
	default:
		b.Warn("severity %s is neither 0–10 nor a known word", alarm.Quote(text))
	}
}

// extension reads "key=value key=value …" in one pass: at each "=" that is not escaped it looks back for a key; if there is one, the
// value before it has ended.
func extension(text string, b *alarm.Builder) {
	key, from := "", 0 // the open key, and where its value begins
	odd, raw := 0, 0   // backslashes and equals signs that the grammar does not allow
	for at := 0; at < len(text); {
		next := strings.IndexByte(text[at:], '=')
		if next < 0 {
			break
		}
		equals := at + next
		at = equals + 1
		start := keyStart(text, from, equals)
		if start < 0 {
			if equals == 0 || text[equals-1] != '\\' {
				raw++
			}
			continue
		}
		odd += field(key, text[from:start], b)
		key, from = text[start:equals], at
	}
	if rest := trim(text); key == "" && rest != "" {
		b.Warn("text where keys were expected")
		f, _ := alarm.Lookup("message")
		b.Text(f, "message", rest)
		return
	}
	odd += field(key, text[from:], b)
	if raw > 0 {
		b.Warn("equals signs inside values are not escaped (%d): the sender lets values write keys", raw)
	}
	if odd > 0 {
		b.Warn("backslashes outside the grammar kept as they stand (%d)", odd)
	}
}

// keyStart finds where the key before the "=" begins: a run of key characters after a blank, or at the beginning of the extension.
// It is -1 if there is none.
func keyStart(text string, from, equals int) int {
	i := equals
	for i > from && isKey[text[i-1]] {
		i--
	}
	switch {
	case i == equals, text[i] == '-', text[i] == '.', text[i] == '[', text[i] == ']':
		return -1 // "--user=root" belongs to a command line
	case i == 0, i > from && (text[i-1] == ' ' || text[i-1] == '\t'):
		return i
	}
	return -1
}

// isKey marks the characters of a key: the standard's letters and digits, and what senders add (ad.field, my_key, list[0]).
var isKey = func() (set [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-[]") {
		set[c] = true
	}
	return set
}()

// trim takes blanks and line ends off; strings.Trim costs more than the rest of the scan.
func trim(text string) string {
	for text != "" && isBlank(text[0]) {
		text = text[1:]
	}
	for text != "" && isBlank(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// field keeps one key with its value and counts the odd backslashes in it.
func field(key, text string, b *alarm.Builder) int {
	text = trim(text)
	if key == "" {
		if text != "" {
			b.Warn("text before the first key: %s", alarm.Quote(text))
			b.Ext("text", text)
		}
		return 0
	}
	odd := 0
	if strings.IndexByte(text, '\\') >= 0 {
		text, odd = unescape(text)
	}
	if f, ok := dictionary[key]; ok {
		if key == "deviceDirection" {
			text = direction(text)
		}
		b.Text(f, key, text)
		return odd
	}
	if key == "fileHash" {
		fileHash(text, b)
		return odd
	}
	b.Custom(key, text)
	return odd
}

// direction writes the standard's 0 and 1 in ECS words.
func direction(text string) string {
	switch text {
	case "0":
		return "inbound"
	case "1":
		return "outbound"
	}
	return text
}

// unescape resolves \\ \= \| \n and \r; a backslash before anything else stays, and is counted.
func unescape(text string) (string, int) {
	var s strings.Builder
	s.Grow(len(text))
	odd := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' {
			s.WriteByte(c)
			continue
		}
		var next byte
		if i+1 < len(text) {
			next = text[i+1]
		}
		switch next {
		case '\\', '=', '|':
			s.WriteByte(next)
			i++
		case 'n':
			s.WriteByte('\n')
			i++
		case 'r':
			s.WriteByte('\r')
			i++
		default:
			s.WriteByte(c)
			odd++
		}
	}
	return s.String(), odd
}
