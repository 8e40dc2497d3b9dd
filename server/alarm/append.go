package alarm

import (
	"slices"
	"strconv"
	"strings"
)

// AppendJSON appends the document, as Doc gives it, as JSON with its keys in order.
func (a *Alarm) AppendJSON(to []byte) []byte {
	var room [32]*value
	values := room[:0]
	for i := range a.values {
		values = append(values, &a.values[i])
	}
	slices.SortFunc(values, func(x, y *value) int { return x.field.index - y.field.index }) // by path, which is the order of the keys of nested objects too
	envelope := []string{"ext", "intake", "parse", "raw", "received", "severity", "uid"}
	w := nested{to: append(to, '{')}
	for _, v := range values {
		for len(envelope) > 0 && envelope[0] < v.field.Path {
			w.enter(0)
			w.to = a.appendEnvelope(w.to, envelope[0])
			envelope = envelope[1:]
		}
		w.enter(v.field.object)
		w.to = appendValue(appendKey(w.to, v.field.leaf), v.plain())
	}
	w.enter(0)
	for _, name := range envelope {
		w.to = a.appendEnvelope(w.to, name)
	}
	return append(w.to, '}')
}

// nested writes objects of the registry inside each other.
type nested struct {
	to   []byte
	open []int // the objects that are open, without the outermost
}

// enter closes and opens objects until this one is the innermost.
func (w *nested) enter(object int) {
	if object == w.innermost() {
		return
	}
	if i := slices.Index(w.open, object); i >= 0 || object == 0 {
		for len(w.open) > i+1 {
			w.leave()
		}
		return
	}
	o := registry.objects[object]
	w.enter(o.parent)
	w.to = append(appendKey(w.to, o.name), '{')
	w.open = append(w.open, object)
}

func (w *nested) innermost() int {
	if len(w.open) == 0 {
		return 0
	}
	return w.open[len(w.open)-1]
}

func (w *nested) leave() {
	w.to = append(w.to, '}')
	w.open = w.open[:len(w.open)-1]
}

// appendKey appends the key of a member, behind a comma unless it is the first.
func appendKey(to []byte, name string) []byte {
	if to[len(to)-1] != '{' {
		to = append(to, ',')
	}
	return append(appendString(to, name), ':')
}

func (a *Alarm) appendEnvelope(to []byte, name string) []byte {
	if name == "ext" {
		return a.appendExt(to)
	}
	to = appendKey(to, name)
	switch name {
	case "intake":
		to = appendString(append(to, `{"peer":`...), a.Intake.Peer)
		to = appendString(append(to, `,"source":`...), string(a.Intake.Source))
	case "parse":
		to = strconv.AppendBool(append(to, `{"clean":`...), a.Parse.Clean)
		if a.Parse.Error != "" {
			to = appendString(append(to, `,"error":`...), a.Parse.Error)
		}
		to = appendString(append(to, `,"format":`...), string(a.Parse.Format))
		to = append(to, `,"warnings":[`...)
		for i, text := range a.Parse.Warnings {
			if i > 0 {
				to = append(to, ',')
			}
			to = appendString(to, text)
		}
		to = append(to, ']')
	case "raw":
		return appendString(to, a.Raw)
	case "received":
		return appendString(to, stamp(a.Received))
	case "severity":
		to = appendString(append(to, `{"name":`...), a.Severity.Name)
		to = strconv.AppendInt(append(to, `,"score":`...), int64(a.Severity.Score), 10)
	case "uid":
		return appendString(to, a.UID)
	}
	return append(to, '}')
}

// appendExt appends what no field is known for, with the labels among it.
func (a *Alarm) appendExt(to []byte) []byte {
	if a.ext.held+a.labels.held == 0 {
		return to
	}
	to = append(appendKey(to, "ext"), '{')
	const labels = "labels"
	written := a.labels.held == 0
	write := func() {
		to = append(appendKey(to, labels), '{')
		for _, p := range a.labels.inOrder() {
			to = appendString(appendKey(to, p.key), p.text)
		}
		to, written = append(to, '}'), true
	}
	for _, p := range a.ext.inOrder() {
		if !written && p.key >= labels {
			write()
			if p.key == labels {
				continue
			}
		}
		to = appendString(appendKey(to, p.key), p.text)
	}
	if !written {
		write()
	}
	return append(to, '}')
}

// inOrder gives those that have a text, by key.
func (t *texts) inOrder() []pair {
	held := make([]pair, 0, t.held)
	for _, p := range t.pairs {
		if p.text != "" {
			held = append(held, p)
		}
	}
	slices.SortFunc(held, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	return held
}
