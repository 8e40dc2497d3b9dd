// Package jsonl reads alarms in JSON: our own document form (schemas/alarm.schema.json), ECS documents, or flat objects with dotted
// names ("source.ip": "10.0.0.1"), also mixed. What is no known field is kept as text under ext by its dotted name.
//
// JSON is held to its rules: depth, a name given twice and broken syntax are refused with their place. The envelope's uid, received,
// intake, parse and raw belong to the server: a sender's uid becomes event.id, its received event.ingested, its raw event.original.
package jsonl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
)

// MaxDepth is how deeply objects and arrays may nest.
const MaxDepth = 64

// Parse reads one JSON object into the builder. When strict, a value of the wrong type is refused too; otherwise it is kept under
// ext with a warning. The fault's Where is a JSON path.
func Parse(text string, strict bool, b *alarm.Builder) *abi.Fault {
	r := &reader{text: text, decoder: json.NewDecoder(strings.NewReader(text)), b: b, strict: strict}
	r.decoder.UseNumber()
	token, fault := r.token("$")
	if fault != nil {
		return fault
	}
	if token != json.Delim('{') {
		return r.fault("$", "an alarm is a JSON object, this is "+describe(token), "")
	}
	if fault := r.object("", 1); fault != nil {
		return fault
	}
	if strings.TrimSpace(text[r.decoder.InputOffset():]) != "" {
		return r.fault("$", "text after the end of the object", "one object a message; several in one body are NDJSON or an array")
	}
	r.severity()
	r.origin()
	return nil
}

// reader walks one document once.
type reader struct {
	text    string
	decoder *json.Decoder
	b       *alarm.Builder
	strict  bool
	level   [3]string // severity as a word, a number, and event.severity
	theirs  [3]string // the sender's uid, received and raw
}

// fault names a place by path, line and column.
func (r *reader) fault(path, message, hint string) *abi.Fault {
	offset := min(int(r.decoder.InputOffset()), len(r.text))
	line := 1 + strings.Count(r.text[:offset], "\n")
	column := offset - strings.LastIndexByte(r.text[:offset], '\n')
	f := abi.NewFault(abi.Invalid, message+fmt.Sprintf(" (line %d, column %d)", line, column), hint)
	f.Where = path
	return f
}

func (r *reader) token(path string) (json.Token, *abi.Fault) {
	token, err := r.decoder.Token()
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return token, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.fault(path, "the JSON ends too early", "was the message cut?")
	case errors.As(err, &syntax):
		return nil, r.fault(path, "broken JSON: "+syntax.Error(), "")
	default:
		return nil, r.fault(path, "broken JSON: "+err.Error(), "")
	}
}

// object reads the members of an object whose "{" was read; prefix is its dotted name with a dot behind it, or empty.
func (r *reader) object(prefix string, depth int) *abi.Fault {
	if depth > MaxDepth {
		return r.fault(place(prefix), fmt.Sprintf("nested more than %d deep", MaxDepth), "")
	}
	names := map[string]struct{}{}
	for r.decoder.More() {
		token, fault := r.token(place(prefix))
		if fault != nil {
			return fault
		}
		name, _ := token.(string) // the decoder accepts nothing else here
		path := prefix + name
		if _, again := names[name]; again {
			return r.fault(place(path), "the name "+alarm.Quote(name)+" is given twice", "keep one of them: which one counts would be a guess")
		}
		names[name] = struct{}{}
		if fault := r.value(path, depth); fault != nil {
			return fault
		}
	}
	_, fault := r.token(place(prefix))
	return fault
}

// value reads what stands under a name.
func (r *reader) value(path string, depth int) *abi.Fault {
	token, fault := r.token(place(path))
	if fault != nil {
		return fault
	}
	switch token {
	case json.Delim('{'):
		if len(path) < alarm.MaxKey {
			return r.object(path+".", depth+1)
		}
		return r.whole(path, depth)
	case json.Delim('['):
		return r.array(path, depth)
	}
	return r.scalar(path, scalarText(token), token == nil)
}

// whole keeps an object whose name is too long to go on with, as its JSON text.
func (r *reader) whole(path string, depth int) *abi.Fault {
	start := int(r.decoder.InputOffset()) - 1
	if fault := r.skip(path, depth+1); fault != nil {
		return fault
	}
	r.b.Ext(strings.TrimPrefix(path, "ext."), r.text[start:r.decoder.InputOffset()])
	return nil
}

// array reads an array: for a field of kind List its texts, for any other field its only element; all else is kept as JSON text.
func (r *reader) array(path string, depth int) *abi.Fault {
	start := int(r.decoder.InputOffset()) - 1
	if depth+1 > MaxDepth {
		return r.fault(place(path), fmt.Sprintf("nested more than %d deep", MaxDepth), "")
	}
	items, plain := []string{}, true
	for r.decoder.More() {
		at := path + "[" + strconv.Itoa(len(items)) + "]"
		token, fault := r.token(place(at))
		if fault != nil {
			return fault
		}
		if _, nested := token.(json.Delim); nested {
			plain = false
			if fault := r.rest(token, at, depth+1); fault != nil {
				return fault
			}
		}
		items = append(items, scalarText(token))
	}
	if _, fault := r.token(place(path)); fault != nil {
		return fault
	}
	f, known := alarm.Lookup(path)
	switch {
	case known && plain && f.Kind == alarm.List && len(items) <= alarm.MaxExt:
		if r.b.Seen(f) {
			return r.again(path)
		}
		r.b.List(f, items)
		return nil
	case known && plain && len(items) == 1:
		return r.scalar(path, items[0], false)
	case known && len(items) > 0 && r.strict:
		return r.fault(place(path), "expected one value, not a list", "")
	case len(items) == 0:
		return nil
	case known:
		r.b.Seen(f)
		r.b.Warn("%s: a list where one value was expected; kept as ext[%q]", path, path)
	}
	r.b.Ext(strings.TrimPrefix(path, "ext."), r.text[start:r.decoder.InputOffset()])
	return nil
}

// rest skips the object or array that token opened, and still refuses a name given twice.
func (r *reader) rest(token json.Token, path string, depth int) *abi.Fault {
	if token == json.Delim('{') {
		return r.skip(path, depth+1)
	}
	if depth+1 > MaxDepth {
		return r.fault(place(path), fmt.Sprintf("nested more than %d deep", MaxDepth), "")
	}
	for r.decoder.More() {
		if fault := r.skipValue(path, depth+1); fault != nil {
			return fault
		}
	}
	_, fault := r.token(place(path))
	return fault
}

// skip reads an object whose "{" was read without keeping its values.
func (r *reader) skip(path string, depth int) *abi.Fault {
	if depth > MaxDepth {
		return r.fault(place(path), fmt.Sprintf("nested more than %d deep", MaxDepth), "")
	}
	names := map[string]struct{}{}
	for r.decoder.More() {
		token, fault := r.token(place(path))
		if fault != nil {
			return fault
		}
		name, _ := token.(string)
		if _, again := names[name]; again {
			return r.fault(place(path), "the name "+alarm.Quote(name)+" is given twice", "keep one of them: which one counts would be a guess")
		}
		names[name] = struct{}{}
		if fault := r.skipValue(path, depth); fault != nil {
			return fault
		}
	}
	_, fault := r.token(place(path))
	return fault
}

func (r *reader) skipValue(path string, depth int) *abi.Fault {
	token, fault := r.token(place(path))
	if fault != nil {
		return fault
	}
	if _, nested := token.(json.Delim); nested {
		return r.rest(token, path, depth)
	}
	return nil
}

// scalar keeps one value where it belongs.
func (r *reader) scalar(path, text string, null bool) *abi.Fault {
	if null {
		return nil
	}
	if head, _, _ := strings.Cut(path, "."); alarm.Reserved(head) {
		r.envelope(path, text)
		return nil
	}
	if label, ok := strings.CutPrefix(path, "labels."); ok { // ECS has its free labels there
		r.b.Label(label, text)
		return nil
	}
	f, ok := alarm.Lookup(path)
	if !ok {
		r.b.Ext(path, text)
		return nil
	}
	if path == "event.severity" {
		r.level[2] = text
	}
	if r.strict && r.b.Seen(f) {
		return r.again(path)
	}
	if !r.strict {
		r.b.Text(f, path, text)
		return nil
	}
	if err := r.b.Typed(f, text); err != nil {
		return r.fault(place(path), fmt.Sprintf("%s is %v", alarm.Quote(text), err), "leave the field out, or send it under ext as text")
	}
	return nil
}

// again refuses a field that stands both in an object and under its dotted name.
func (r *reader) again(path string) *abi.Fault {
	if !r.strict {
		r.b.Warn("%s: given again; the first value stays", path)
		return nil
	}
	return r.fault(place(path), "the field "+path+" is given twice", "either nested or dotted, not both")
}

// envelope takes what a sender may say about the envelope.
func (r *reader) envelope(path, text string) {
	switch path {
	case "severity", "severity.name":
		r.level[0] = text
	case "severity.score":
		r.level[1] = text
	case "uid":
		r.theirs[0] = text
	case "received":
		r.theirs[1] = text
	case "raw":
		r.theirs[2] = text
	default:
		if label, ok := strings.CutPrefix(path, "ext.labels."); ok {
			r.b.Label(label, text)
		} else if key, ok := strings.CutPrefix(path, "ext."); ok {
			r.b.Ext(key, text)
		}
	}
}

// origin keeps what the sender said of its own envelope, unless its fields say the same.
func (r *reader) origin() {
	for i, path := range [...]string{"event.id", "event.ingested", "event.original"} {
		f, _ := alarm.Lookup(path)
		if text := r.theirs[i]; text != "" && !r.b.Seen(f) && r.b.Typed(f, text) != nil {
			r.b.Ext(path, text)
		}
	}
}

// severity reads the word, or the number from 0 to 100; without either, event.severity.
func (r *reader) severity() {
	for _, text := range []string{r.level[1], r.level[0], r.level[2]} {
		if text == "" {
			continue
		}
		if s, ok := alarm.SeverityOfWord(text); ok {
			r.b.Severity(s)
			return
		}
		if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 && n <= 100 {
			s := alarm.SeverityOfScore(int(n))
			if named, ok := alarm.SeverityOfWord(r.level[0]); ok {
				s.Name = named.Name
			}
			r.b.Severity(s)
			return
		}
		r.b.Warn("severity %s is neither 0–100 nor a known word", alarm.Quote(text))
	}
}

// place writes a dotted name as a JSON path.
func place(path string) string {
	if path = strings.TrimSuffix(path, "."); path == "" {
		return "$"
	}
	return "$." + path
}

func scalarText(token json.Token) string {
	switch t := token.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	case bool:
		return strconv.FormatBool(t)
	}
	return ""
}

func describe(token json.Token) string {
	switch token.(type) {
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	case json.Delim:
		return "an array"
	}
	return "null"
}
