// Package header reads the syslog header in front of a message, as tolerantly as senders write it: RFC 5424, RFC 3164, RFC 3164
// with an RFC 3339 time or a year, any of them without <PRI>, or nothing at all in front of CEF, LEEF or JSON.
//
// What follows the header is the payload. It counts as CEF or LEEF only when it begins with that word: "CEF:" further on in the text
// of some program's message was written by whoever could write that text.
package header

import (
	"strings"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
)

// Header is what stood in front of a message. Absent parts are empty, Priority is -1.
type Header struct {
	Priority int // facility·8 + severity
	Version  int // 1 for RFC 5424
	Time     time.Time
	Host     string
	App      string
	ProcID   string
	MsgID    string
	Data     []Param // structured data
	Odd      []string
}

// Param is one parameter of RFC 5424 structured data; Name is "<SD-ID>.<PARAM-NAME>".
type Param struct{ Name, Value string }

// maxParams bounds Header.Data.
const maxParams = 256

// Found reports whether there was a header, that is a priority or a time.
func (h *Header) Found() bool { return h.Priority >= 0 || !h.Time.IsZero() }

// Structured reports whether text begins as CEF, LEEF or a JSON object.
func Structured(text string) bool {
	return IsCEF(text) || strings.HasPrefix(text, "LEEF:") || strings.HasPrefix(text, "{")
}

// IsCEF reports whether text begins as CEF: the word, a version, a bar.
func IsCEF(text string) bool {
	rest, ok := strings.CutPrefix(text, "CEF:")
	if !ok {
		return false
	}
	rest = strings.TrimLeft(rest, " ")
	n := 0
	for n < len(rest) && n < 4 && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '.') {
		n++
	}
	return n > 0 && (n == len(rest) || rest[n] == '|')
}

// Scan splits a message into header and payload. A relay may have put its own header in front of another one: then the inner one
// counts. now gives the year that RFC 3164 leaves out.
func Scan(message string, now time.Time) (Header, string) {
	h, rest := scan(message, now)
	if h.Found() && !Structured(rest) && len(rest) > 0 && rest[0] == '<' {
		if inner, payload := scan(rest, now); inner.Priority >= 0 && !inner.Time.IsZero() {
			inner.Odd = append(inner.Odd, "two syslog headers: the inner one counts")
			return inner, payload
		}
	}
	return h, rest
}

func scan(message string, now time.Time) (Header, string) {
	h := Header{Priority: -1}
	text := h.priority(payload(message))
	if Structured(text) {
		return h, text
	}
	rest, ok := h.rfc5424(text, now)
	if !ok {
		rest, ok = h.timestamp(text, now)
		if h.Priority < 0 && !ok {
			rest = h.hostOnly(text)
			return h, rest
		}
		rest = h.hostAndTag(rest, ok)
	}
	return h, rest
}

// payload takes off what may stand before a payload: blanks, the byte order mark that RFC 5424 has before UTF-8, and the cookie that
// rsyslog's JSON has.
func payload(text string) string {
	text = strings.TrimPrefix(strings.TrimLeft(text, " "), "\uFEFF")
	return strings.TrimLeft(strings.TrimPrefix(text, "@cee:"), " ")
}

// priority reads "<0>" to "<191>" and gives what follows.
func (h *Header) priority(text string) string {
	end := strings.IndexByte(text[:min(len(text), 5)], '>')
	if end < 2 || text[0] != '<' {
		return text
	}
	n := 0
	for _, c := range []byte(text[1:end]) {
		if c < '0' || c > '9' {
			return text
		}
		n = n*10 + int(c-'0')
	}
	if n > 191 {
		h.Odd = append(h.Odd, "priority "+text[:end+1]+" is above 191")
		n = 13 // what RFC 3164 4.3.3 gives to messages without one
	}
	h.Priority = n
	return payload(text[end+1:])
}

// rfc5424 reads "1 TIME HOST APP PROCID MSGID SD MSG".
func (h *Header) rfc5424(text string, now time.Time) (string, bool) {
	rest, ok := strings.CutPrefix(text, "1 ")
	if !ok {
		return text, false
	}
	var parts [5]string
	for i := range parts {
		parts[i], rest, ok = strings.Cut(rest, " ")
		if !ok && i < len(parts)-1 || len(parts[i]) > 512 {
			return text, false
		}
		if parts[i] == "-" {
			parts[i] = ""
		}
	}
	if parts[0] != "" {
		t, _, ok := alarm.ParseTime(parts[0], now)
		if !ok {
			return text, false
		}
		h.Time = t
	} else if h.Priority < 0 {
		return text, false
	}
	h.Version, h.Host, h.App, h.ProcID, h.MsgID = 1, parts[1], parts[2], parts[3], parts[4]
	return payload(h.structuredData(rest)), true
}

// structuredData reads "-" or "[id name="value" …]…" and gives what follows. Data that breaks the grammar is left in the payload.
func (h *Header) structuredData(text string) string {
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		return rest
	}
	for strings.HasPrefix(text, "[") {
		rest, ok := h.element(text[1:])
		if !ok {
			h.Odd = append(h.Odd, "structured data breaks the grammar of RFC 5424")
			return text
		}
		text = rest
	}
	return text
}

func (h *Header) element(text string) (string, bool) {
	end := strings.IndexAny(text, " ]")
	if end <= 0 || end > 64 {
		return text, false
	}
	id := text[:end]
	text = text[end:]
	for {
		text = strings.TrimLeft(text, " ")
		if rest, ok := strings.CutPrefix(text, "]"); ok {
			return rest, true
		}
		name, rest, ok := strings.Cut(text, `="`)
		if !ok || name == "" || len(name) > 64 {
			return text, false
		}
		value, rest, ok := quoted(rest)
		if !ok {
			return text, false
		}
		if len(h.Data) < maxParams {
			h.Data = append(h.Data, Param{id + "." + name, value})
		}
		text = rest
	}
}

// quoted reads a value up to its closing quote; \" \\ and \] are escapes.
func quoted(text string) (value, rest string, ok bool) {
	var b strings.Builder
	from := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i+1 < len(text) && strings.IndexByte(`"\]`, text[i+1]) >= 0 {
				b.WriteString(text[from:i])
				i++
				from = i
			}
		case '"':
			b.WriteString(text[from:i])
			return b.String(), text[i+1:], true
		}
	}
	return "", text, false
}

// timestamp reads "MMM dd [yyyy] HH:mm:ss[.SSS] [zone]", RFC 3339, or "yyyy-MM-dd HH:mm:ss".
func (h *Header) timestamp(text string, now time.Time) (string, bool) {
	if text == "" {
		return text, false
	}
	words, most := 1, 2
	if c := text[0] | 0x20; c >= 'a' && c <= 'z' {
		words, most = 3, 4
	}
	for ; words <= most; words++ {
		end, ok := wordsEnd(text, words)
		if !ok {
			break
		}
		candidate := strings.TrimSuffix(text[:end], ":")
		if strings.IndexByte(candidate, ':') < 0 {
			continue
		}
		if t, _, ok := alarm.ParseTime(candidate, now); ok {
			h.Time = t
			return h.zone(strings.TrimLeft(text[end:], " ")), true
		}
	}
	return text, false
}

// zone skips a time zone that follows the time ("Nov 21 10:00:00 UTC host"); no host is called so.
func (h *Header) zone(text string) string {
	word, rest, _ := strings.Cut(text, " ")
	switch strings.TrimSuffix(word, ":") {
	case "UTC", "GMT", "Z":
	case "CET":
		h.Time = h.Time.Add(-time.Hour)
	case "CEST":
		h.Time = h.Time.Add(-2 * time.Hour)
	default:
		return text
	}
	return rest
}

// wordsEnd finds the end of the n-th word within the first 48 bytes; several blanks are one.
func wordsEnd(text string, n int) (int, bool) {
	text = text[:min(len(text), 48)]
	i := 0
	for ; n > 0; n-- {
		for i < len(text) && text[i] == ' ' {
			i++
		}
		start := i
		for i < len(text) && text[i] != ' ' {
			i++
		}
		if i == start {
			return 0, false
		}
	}
	return i, true
}

// hostAndTag reads the rest of an RFC 3164 header: "HOST TAG[pid]: MSG". Both are often absent.
func (h *Header) hostAndTag(text string, timed bool) string {
	text = payload(text)
	if Structured(text) {
		return text
	}
	if timed {
		if host, rest, ok := strings.Cut(text, " "); ok && isHost(host) {
			h.Host, text = host, payload(rest)
		}
	}
	if Structured(text) {
		return text
	}
	return h.tag(text)
}

// tag reads "name: " or "name[pid]: ", also with the colon behind a blank as in "name[pid] : ".
func (h *Header) tag(text string) string {
	end := strings.IndexAny(text[:min(len(text), 128)], " :[")
	if end <= 0 {
		return text
	}
	name, rest, pid := text[:end], text[end:], ""
	if rest[0] == '[' {
		closing := strings.IndexByte(rest[:min(len(rest), 64)], ']')
		if closing < 0 {
			return text
		}
		pid, rest = rest[1:closing], rest[closing+1:]
	}
	rest, ok := strings.CutPrefix(rest, ":")
	if !ok {
		if after := strings.TrimLeft(rest, " "); !Structured(after) {
			return text
		}
	}
	h.App, h.ProcID = strings.TrimPrefix(name, "%"), pid
	return payload(rest)
}

// hostOnly takes the one word that some senders put before CEF and nothing else.
func (h *Header) hostOnly(text string) string {
	end := strings.IndexByte(text[:min(len(text), 256)], ' ')
	if end <= 0 || !isHost(text[:end]) {
		return text
	}
	rest := payload(text[end:])
	if !Structured(rest) {
		return text
	}
	h.Host = text[:end]
	return rest
}

// isHost accepts names and addresses; a word with a colon at its end is a tag.
func isHost(word string) bool {
	if word == "" || len(word) > 255 || word[len(word)-1] == ':' {
		return false
	}
	for i := 0; i < len(word); i++ {
		c := word[i]
		switch {
		case c >= '0' && c <= '9', c|0x20 >= 'a' && c|0x20 <= 'z', c == '.', c == '-', c == '_', c == ':', c == '/':
		case c >= 0x80:
		default:
			return false
		}
	}
	return true
}
