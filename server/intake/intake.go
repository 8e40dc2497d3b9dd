// Package intake turns bytes into alarms. Decode takes one message and never fails: what cannot be parsed becomes an unparsed alarm
// with the reason. DecodeBody takes the body of an HTTP request and is strict, because there somebody reads the answer. The listeners
// (package syslog) hand each alarm to a Sink.
package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/intake/cef"
	"github.com/riposte-soar/riposte/server/intake/header"
	"github.com/riposte-soar/riposte/server/intake/jsonl"
	"github.com/riposte-soar/riposte/server/intake/leef"
)

// Bounds of one HTTP body; one alarm in it may have alarm.MaxRaw bytes.
const (
	MaxBody  = 16 << 20
	MaxBatch = 10_000
)

// Sink takes alarms. Accept blocks while its queue is full: that is the back-pressure, since a listener reads nothing meanwhile.
// It calls done, from any goroutine, once the alarm is on disk (nil) or failed; after ctx has ended it may refuse by done(ctx.Err()).
type Sink interface {
	Accept(ctx context.Context, a *alarm.Alarm, done func(error))
}

// Decode makes an alarm of one message: CEF, LEEF, JSON or plain text, behind a syslog header or none. notes are the warnings of
// who framed the message.
func Decode(now time.Time, in alarm.Intake, message []byte, notes ...string) *alarm.Alarm {
	raw, odd := alarm.Sanitize(bytes.Trim(message, "\x00\r\n"))
	if strings.IndexByte(raw, 0) >= 0 {
		odd = append(odd, "the message holds NUL bytes")
	}
	h, payload := header.Scan(raw, now)
	for _, note := range append(odd, h.Odd...) {
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	b := begin(now, in, raw, &h, notes)
	format, err := decode(&h, payload, b)
	if err != nil { // nothing of a payload that broke off is kept but the text
		return begin(now, in, raw, &h, notes).Fail(err)
	}
	afterwards(&h, format, payload, b)
	return b.Build(format)
}

// Redecode decodes an alarm's raw message again, for example after a decoder was mended. What was odd about it when it arrived (a
// lying octet count, a cut, bytes that are no UTF-8) cannot be seen in Raw any more, so an unparsed alarm's warnings are kept: it
// does not become clean by being looked at twice. The new alarm has a new UID and was received now.
func Redecode(now time.Time, a *alarm.Alarm) *alarm.Alarm {
	var notes []string
	if a.Parse.Format == alarm.Unparsed {
		notes = slices.Clone(a.Parse.Warnings)
	}
	return Decode(now, a.Intake, []byte(a.Raw), notes...)
}

// The fields of a header, looked up once.
var (
	headerFields = fields("log.syslog.hostname", "log.syslog.appname", "log.syslog.procid", "log.syslog.msgid")
	priority     = fields("log.syslog.priority")[0]
	created      = fields("event.created")[0]
)

func fields(paths ...string) []*alarm.Field {
	found := make([]*alarm.Field, len(paths))
	for i, path := range paths {
		found[i], _ = alarm.Lookup(path)
	}
	return found
}

// begin keeps the header, which the sending program wrote, before anything in the payload can claim its fields.
func begin(now time.Time, in alarm.Intake, raw string, h *header.Header, notes []string) *alarm.Builder {
	b := alarm.NewBuilder(now, in, raw)
	for _, note := range notes {
		b.Warn("%s", note)
	}
	for i, text := range [...]string{h.Host, h.App, h.ProcID, h.MsgID} {
		if text != "" {
			b.Text(headerFields[i], headerFields[i].Path, text)
		}
	}
	if h.Priority >= 0 && !b.Seen(priority) {
		b.Set(priority, int64(h.Priority))
	}
	for _, p := range h.Data {
		b.Ext(p.Name, p.Value)
	}
	return b
}

func decode(h *header.Header, payload string, b *alarm.Builder) (alarm.Format, error) {
	switch {
	case strings.Trim(payload, " \t\r\n\x00") == "":
		return alarm.Unparsed, errors.New("the message is empty")
	case header.IsCEF(payload):
		return alarm.CEF, cef.Parse(payload, b)
	case strings.HasPrefix(payload, "LEEF:"):
		return alarm.LEEF, leef.Parse(payload, b)
	case payload[0] == '{':
		if fault := jsonl.Parse(payload, false, b); fault != nil {
			return alarm.JSON, fault
		}
		return alarm.JSON, nil
	case h.Found():
		return alarm.Syslog, nil
	case strings.HasPrefix(payload, "CEF:"):
		return alarm.Unparsed, errors.New(`CEF: expected a version and "|" after "CEF:"`)
	}
	return alarm.Unparsed, errors.New("neither CEF, LEEF, a JSON object, nor a syslog header")
}

// afterwards fills from the header what the payload left open: the time; for plain syslog also message, host, process and severity.
func afterwards(h *header.Header, format alarm.Format, payload string, b *alarm.Builder) {
	if !h.Time.IsZero() && !b.Seen(created) {
		b.Set(created, h.Time.Format(time.RFC3339Nano))
	}
	if format != alarm.Syslog {
		return
	}
	for path, text := range map[string]string{"message": payload, "host.name": h.Host, "process.name": h.App} {
		if f, ok := alarm.Lookup(path); ok {
			b.Text(f, path, text)
		}
	}
	if strings.Contains(payload, "CEF:0|") {
		b.Warn("CEF stands inside the text, not at its beginning: not read, since the text may be an attacker's")
	}
	if h.Priority >= 0 {
		words := [8]string{"emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"}
		s, _ := alarm.SeverityOfWord(words[h.Priority&7])
		b.Severity(s)
	}
}

// DecodeBody makes the alarms of an HTTP body: one JSON alarm, an array of them, NDJSON, or, as text, one message a line. Either all
// of the body is taken or, with a fault that says where and why, nothing of it.
func DecodeBody(now time.Time, in alarm.Intake, contentType string, body []byte) ([]*alarm.Alarm, *abi.Fault) {
	if len(body) > MaxBody {
		return nil, abi.NewFault(abi.TooLarge, fmt.Sprintf("the body has %d bytes, at most %d are taken", len(body), MaxBody),
			"send the alarms in several requests")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, abi.NewFault(abi.Invalid, "the body is empty", "send a JSON alarm, an array of them, NDJSON, or CEF lines")
	}
	if isJSON(contentType, body) {
		return decodeJSON(now, in, body)
	}
	return decodeLines(now, in, body)
}

// isJSON goes by the type that the sender gives; when that says nothing, by the first character.
func isJSON(contentType string, body []byte) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	switch {
	case len(media) >= len("json") && strings.EqualFold(media[len(media)-len("json"):], "json"):
		return true
	case strings.EqualFold(media, "text/plain"):
		return false
	}
	first := bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\uFEFF")), " \t\r\n")
	return len(first) > 0 && (first[0] == '{' || first[0] == '[')
}

func decodeJSON(now time.Time, in alarm.Intake, body []byte) ([]*alarm.Alarm, *abi.Fault) {
	documents, fault := jsonl.Split(body, MaxBatch)
	if fault != nil {
		return nil, fault
	}
	alarms := make([]*alarm.Alarm, len(documents))
	for i, d := range documents {
		if len(d.Text) > alarm.MaxRaw {
			f := abi.NewFault(abi.TooLarge, fmt.Sprintf("the alarm has %d bytes, at most %d are taken", len(d.Text), alarm.MaxRaw), "")
			f.Where = d.Where
			return nil, f
		}
		raw, odd := alarm.Sanitize(d.Text)
		b := alarm.NewBuilder(tick(now, i), in, raw)
		for _, note := range odd {
			b.Warn("%s", note)
		}
		if fault := jsonl.Parse(raw, true, b); fault != nil {
			if len(documents) > 1 {
				fault.Where = d.Where + " " + fault.Where
			}
			return nil, fault
		}
		alarms[i] = b.Build(alarm.JSON)
	}
	if len(alarms) == 0 {
		return nil, abi.NewFault(abi.Invalid, "the body holds no alarm", "")
	}
	return alarms, nil
}

func decodeLines(now time.Time, in alarm.Intake, body []byte) ([]*alarm.Alarm, *abi.Fault) {
	var alarms []*alarm.Alarm
	n := 0
	for line := range bytes.Lines(body) {
		n++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var fault *abi.Fault
		switch {
		case len(alarms) == MaxBatch:
			fault = abi.NewFault(abi.TooLarge, fmt.Sprintf("more than %d alarms in one body", MaxBatch), "send them in several requests")
		case len(line) > alarm.MaxRaw:
			fault = abi.NewFault(abi.TooLarge, fmt.Sprintf("the line has %d bytes, at most %d are taken", len(line), alarm.MaxRaw), "")
		}
		if fault != nil {
			fault.Where = "line " + strconv.Itoa(n)
			return nil, fault
		}
		alarms = append(alarms, Decode(tick(now, len(alarms)), in, line))
	}
	return alarms, nil
}

// tick gives the alarms of one body times that keep their order, and so their UIDs.
func tick(now time.Time, i int) time.Time { return now.Add(time.Duration(i)) }

// Explained is one message of a file and the alarm that it would make.
type Explained struct {
	Line  int          `json:"line"` // counted from 1
	Alarm *alarm.Alarm `json:"alarm"`
}

// Explain shows what a file's messages would become, one a line; a file that is one JSON document is one message. It never fails:
// the reasons and warnings are in the alarms' Parse.
func Explain(now time.Time, data []byte) []Explained {
	in := alarm.Intake{Source: alarm.File}
	if documents, fault := jsonl.Split(data, MaxBatch); fault == nil {
		explained := make([]Explained, len(documents))
		for i, d := range documents {
			explained[i] = Explained{Line: d.Line, Alarm: Decode(tick(now, i), in, d.Text)}
		}
		return explained
	}
	var explained []Explained
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if len(bytes.TrimSpace(line)) > 0 {
			explained = append(explained, Explained{Line: n, Alarm: Decode(tick(now, n), in, line)})
		}
	}
	return explained
}
