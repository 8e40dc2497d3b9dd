// Package leef reads the Log Event Extended Format of IBM QRadar: "LEEF:1.0|vendor|product|version|event|" and attributes that a
// tab separates, or "LEEF:2.0|vendor|product|version|event|delimiter|" with a delimiter of the sender's choice, given as one
// character or as its hexadecimal code (0x5E, x5E).
//
// An attribute's key ends at its first "="; nothing is escaped. The first occurrence of a key wins, as in package cef.
package leef

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
)

// Parse reads one message that begins with "LEEF:" into the builder. It fails when the header is cut or its version is unknown.
func Parse(text string, b *alarm.Builder) error {
	text, ok := strings.CutPrefix(text, "LEEF:")
	if !ok {
		return errors.New(`LEEF: expected the word "LEEF:" at the beginning`)
	}
	var head [5]string
	for i, name := range [...]string{"version", "vendor", "product", "product version", "event"} {
		if head[i], text, ok = strings.Cut(text, "|"); !ok {
			return fmt.Errorf("LEEF: the header ends in part %d of 5 (%s): expected version|vendor|product|version|event|", i+1, name)
		}
		head[i] = strings.TrimSpace(head[i])
	}
	delimiter := "\t"
	switch head[0] {
	case "1.0", "1":
	case "2.0", "2":
		delimiter, text = chosen(text, b)
	default:
		return fmt.Errorf("LEEF: version %s is neither 1.0 nor 2.0", alarm.Quote(head[0]))
	}
	for i, path := range [...]string{"observer.vendor", "observer.product", "observer.version", "rule.id"} {
		f, _ := alarm.Lookup(path)
		b.Text(f, path, head[i+1])
	}
	if delimiter == "\t" && strings.IndexByte(text, '\t') < 0 && strings.Contains(text, "#011") {
		b.Warn("a relay wrote the tabs as #011")
		delimiter = "#011"
	}
	attributes(text, delimiter, b)
	return nil
}

// chosen reads the delimiter of LEEF 2.0. Senders that leave its part out are found by the "=" in its place.
func chosen(text string, b *alarm.Builder) (delimiter, rest string) {
	word, rest, ok := strings.Cut(text, "|")
	if !ok || len(word) > 8 || strings.Contains(word, "=") && len(word) > 1 {
		b.Warn("LEEF 2.0 without its part for the delimiter: taken as a tab")
		return "\t", text
	}
	switch hex := strings.TrimPrefix(strings.ToLower(word), "0"); {
	case word == "":
		return "\t", rest
	case len(hex) > 1 && hex[0] == 'x':
		if code, err := strconv.ParseUint(hex[1:], 16, 21); err == nil && code > 0 {
			return string(rune(code)), rest
		}
		b.Warn("delimiter %s is no hexadecimal code: taken as a tab", alarm.Quote(word))
		return "\t", rest
	case word == `\t`:
		return "\t", rest
	}
	return word, rest
}

// attributes reads "key=value" between delimiters.
func attributes(text, delimiter string, b *alarm.Builder) {
	late := map[string]string{} // what is read when all attributes are known
	for text != "" {
		var item string
		item, text, _ = strings.Cut(text, delimiter)
		item = strings.Trim(item, " \r\n\t")
		if item == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok || key == "":
			b.Warn("%s is no key=value", alarm.Quote(item))
		case key == "devTime" || key == "devTimeFormat" || key == "sev":
			if held, again := late[key]; !again {
				late[key] = value
			} else if held != value {
				b.Warn("%s: given again as %s; the first value stays", key, alarm.Quote(value))
			}
		default:
			attribute(key, value, b)
		}
	}
	if sev := late["sev"]; sev != "" {
		severity(sev, b)
	}
	if devTime := late["devTime"]; devTime != "" {
		deviceTime(devTime, late["devTimeFormat"], b)
	}
}

func attribute(key, value string, b *alarm.Builder) {
	f, ok := alarm.Lookup(path(key))
	if !ok {
		b.Custom(key, value)
		return
	}
	b.Text(f, key, value)
}

// path maps the predefined attributes of the LEEF guide to known fields.
func path(key string) string {
	switch key {
	case "cat":
		return "event.category"
	case "proto":
		return "network.transport"
	case "src":
		return "source.ip"
	case "dst":
		return "destination.ip"
	case "srcPort":
		return "source.port"
	case "dstPort":
		return "destination.port"
	case "srcPostNAT":
		return "source.nat.ip"
	case "dstPostNAT":
		return "destination.nat.ip"
	case "srcPostNATPort":
		return "source.nat.port"
	case "dstPostNATPort":
		return "destination.nat.port"
	case "usrName":
		return "user.name"
	case "domain":
		return "user.domain"
	case "groupID":
		return "group.id"
	case "srcMAC":
		return "source.mac"
	case "dstMAC":
		return "destination.mac"
	case "srcBytes":
		return "source.bytes"
	case "dstBytes":
		return "destination.bytes"
	case "srcPackets":
		return "source.packets"
	case "dstPackets":
		return "destination.packets"
	case "totalPackets":
		return "network.packets"
	case "identSrc":
		return "host.ip"
	case "identHostName":
		return "host.name"
	case "identMAC":
		return "host.mac"
	case "url":
		return "url.original"
	case "policy":
		return "rule.name"
	case "msg":
		return "message"
	}
	return ""
}

// severity reads 1 to 10 or a word.
func severity(text string, b *alarm.Builder) {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 10 {
		b.Severity(alarm.SeverityOfScore(n * 10))
		return
	}
	s, ok := alarm.SeverityOfWord(text)
	if !ok {
		b.Warn("severity %s is neither 1–10 nor a known word", alarm.Quote(text))
	}
	b.Severity(s)
}

// deviceTime reads devTime by the Java pattern in devTimeFormat if it has one without a zone's name (Go takes those for UTC), or else
// as any time that devices write.
func deviceTime(text, pattern string, b *alarm.Builder) {
	f, _ := alarm.Lookup("event.created")
	if layout, ok := goLayout(pattern); ok && !strings.Contains(pattern, "z") {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 0 {
			text = t.UTC().Format(time.RFC3339Nano)
		}
	}
	b.Text(f, "devTime", text)
}

// goLayout writes a pattern of Java's SimpleDateFormat as one of Go's.
func goLayout(pattern string) (string, bool) {
	var layout strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		if c == '\'' {
			end := strings.IndexByte(pattern[i+1:], '\'')
			if end < 0 {
				return "", false
			}
			layout.WriteString(pattern[i+1 : i+1+end])
			i += end + 2
			continue
		}
		n := 1
		for i+n < len(pattern) && pattern[i+n] == c {
			n++
		}
		piece, ok := goPiece(c, n)
		if !ok {
			return "", false
		}
		layout.WriteString(piece)
		i += n
	}
	return layout.String(), true
}

func goPiece(letter byte, n int) (string, bool) {
	switch {
	case letter == 'y' && n == 2:
		return "06", true
	case letter == 'y':
		return "2006", true
	case letter == 'M':
		return [...]string{"1", "01", "Jan", "January"}[min(n, 4)-1], true
	case letter == 'd':
		return [...]string{"2", "02"}[min(n, 2)-1], true
	case letter == 'H':
		return "15", true
	case letter == 'h':
		return [...]string{"3", "03"}[min(n, 2)-1], true
	case letter == 'm':
		return [...]string{"4", "04"}[min(n, 2)-1], true
	case letter == 's':
		return [...]string{"5", "05"}[min(n, 2)-1], true
	case letter == 'S':
		return strings.Repeat("0", min(n, 9)), true
	case letter == 'a':
		return "PM", true
	case letter == 'E':
		return [...]string{"Mon", "Monday"}[n/4&1], true
	case letter == 'Z':
		return "-0700", true
	case letter == 'X':
		return [...]string{"Z07", "Z0700", "Z07:00"}[min(n, 3)-1], true
	case letter >= 'A' && letter <= 'Z', letter >= 'a' && letter <= 'z':
		return "", false
	}
	return strings.Repeat(string(letter), n), true
}
