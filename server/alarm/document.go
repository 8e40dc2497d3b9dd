package alarm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fields are what the alarm says, without the envelope: nested by ECS name ("source" → "ip"), and holding only string, int64, float64,
// bool, []any of strings, and map[string]any. Each known field has its registered type. The result is the caller's own.
func (a *Alarm) Fields() map[string]any {
	doc := make(map[string]any, 14) // with room for the envelope; from 15 on it takes twice as much
	var objects [maxObjects]map[string]any
	objects[0] = doc
	for i := range a.values {
		v := &a.values[i]
		objectAt(&objects, v.field.object)[v.field.leaf] = v.plain()
	}
	if a.ext.held+a.labels.held > 0 {
		ext := a.ext.plain()
		if a.labels.held > 0 {
			ext["labels"] = a.labels.plain()
		}
		doc["ext"] = ext
	}
	return doc
}

// objectAt gives an object of the registry, and makes it and those around it if need be.
func objectAt(objects *[maxObjects]map[string]any, at int) map[string]any {
	if objects[at] == nil {
		o := registry.objects[at]
		objects[at] = make(map[string]any, 4)
		objectAt(objects, o.parent)[o.name] = objects[at]
	}
	return objects[at]
}

// Doc is the alarm as one document: its fields at the top, and beside them the envelope: uid, received, severity{name,score},
// parse{format,clean,warnings,error}, raw, intake{source,peer}. The result is the caller's own. schemas/alarm.schema.json describes it.
func (a *Alarm) Doc() map[string]any {
	doc := a.Fields()
	warnings := make([]any, len(a.Parse.Warnings))
	for i, w := range a.Parse.Warnings {
		warnings[i] = w
	}
	parse := map[string]any{"format": string(a.Parse.Format), "clean": a.Parse.Clean, "warnings": warnings}
	if a.Parse.Error != "" {
		parse["error"] = a.Parse.Error
	}
	doc["uid"] = a.UID
	doc["received"] = stamp(a.Received)
	doc["severity"] = map[string]any{"name": a.Severity.Name, "score": int64(a.Severity.Score)}
	doc["parse"] = parse
	doc["raw"] = a.Raw
	doc["intake"] = map[string]any{"source": string(a.Intake.Source), "peer": a.Intake.Peer}
	return doc
}

// Get finds a value by its dotted path in the document: "source.ip", "severity.name", "ext.labels.Rule". What stands behind "ext."
// or "ext.labels." is one key, dots and all.
func (a *Alarm) Get(path string) (any, bool) {
	if f, ok := Lookup(path); ok {
		if v := a.find(f); v != nil {
			return v.plain(), true
		}
		return nil, false
	}
	doc := a.Doc()
	for {
		if v, ok := doc[path]; ok {
			return v, true
		}
		head, rest, ok := strings.Cut(path, ".")
		inner, isObject := doc[head].(map[string]any)
		if !ok || !isObject {
			return nil, false
		}
		doc, path = inner, rest
	}
}

// Fingerprint is the key by which equal alarms are joined: the same for two alarms when the values at all these paths are equal (a
// value that is absent is equal to nothing but absence). The order of paths does not matter. It is 32 hexadecimal digits, or empty
// when none of the paths has a value: such an alarm has no key and must not be joined to others.
func (a *Alarm) Fingerprint(by []string) string {
	paths := slices.Compact(slices.Sorted(slices.Values(by)))
	var text []byte
	found := false
	for _, path := range paths {
		text = append(appendString(text, path), ':')
		if v, ok := a.Get(path); ok {
			found = true
			text = appendValue(text, v)
		}
		text = append(text, '\n')
	}
	if !found {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// MarshalJSON writes the document with its keys in order, so that equal alarms are equal bytes.
func (a *Alarm) MarshalJSON() ([]byte, error) { return a.AppendJSON(nil), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (a *Alarm) UnmarshalJSON(data []byte) error {
	var envelope struct {
		UID      string
		Received time.Time
		Intake   struct {
			Source Source
			Peer   string
		}
		Severity struct {
			Name  string
			Score int
		}
		Parse struct {
			Format   Format
			Clean    bool
			Warnings []string
			Error    string
		}
		Raw string
	}
	if err := json.Unmarshal(data, &envelope); err != nil {
		return fmt.Errorf("alarm: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		return fmt.Errorf("alarm: %w", err)
	}
	if len(envelope.Parse.Warnings) == 0 {
		envelope.Parse.Warnings = nil
	}
	*a = Alarm{UID: envelope.UID, Received: envelope.Received, Intake: Intake(envelope.Intake),
		Severity: Severity(envelope.Severity), Parse: Parse(envelope.Parse), Raw: envelope.Raw}
	ext, _ := fields["ext"].(map[string]any)
	labels, _ := ext["labels"].(map[string]any)
	maps.DeleteFunc(fields, func(name string, _ any) bool { return Reserved(name) })
	delete(ext, "labels")
	if err := a.restore(fields, ""); err != nil {
		return err
	}
	return errors.Join(a.ext.restore(ext, "ext."), a.labels.restore(labels, "ext.labels."))
}

// restore takes the values of a decoded document.
func (a *Alarm) restore(object map[string]any, prefix string) error {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		path, plain := prefix+name, object[name]
		if inner, ok := plain.(map[string]any); ok {
			if err := a.restore(inner, path+"."); err != nil {
				return err
			}
			continue
		}
		f, ok := Lookup(path)
		if !ok { // it was known when the alarm was stored
			a.ext.add(path, fmt.Sprint(plain))
			continue
		}
		if number, ok := plain.(json.Number); ok {
			var err error
			if f.Kind == Number {
				plain, err = number.Float64()
			} else {
				plain, err = number.Int64()
			}
			if err != nil {
				return fmt.Errorf("alarm: %s: %w", path, err)
			}
		}
		v, ok := valueOf(f, plain)
		if !ok {
			return fmt.Errorf("alarm: %s has a value of another type", path)
		}
		a.values = append(a.values, v)
	}
	return nil
}

// restore takes the texts of a decoded document.
func (t *texts) restore(object map[string]any, prefix string) error {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		text, ok := object[key].(string)
		if !ok {
			return fmt.Errorf("alarm: %s%s is no text", prefix, key)
		}
		t.add(key, text)
	}
	return nil
}

// appendValue writes a value of the kinds that an alarm holds as JSON, the keys of objects in order.
func appendValue(to []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(to, v)
	case int64:
		return strconv.AppendInt(to, v, 10)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return append(to, "null"...)
		}
		return strconv.AppendFloat(to, v, 'g', -1, 64)
	case bool:
		return strconv.AppendBool(to, v)
	case []any:
		to = append(to, '[')
		for i, item := range v {
			if i > 0 {
				to = append(to, ',')
			}
			to = appendValue(to, item)
		}
		return append(to, ']')
	case map[string]any:
		var room [16]string
		names := room[:0]
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		to = append(to, '{')
		for i, name := range names {
			if i > 0 {
				to = append(to, ',')
			}
			to = append(appendString(to, name), ':')
			to = appendValue(to, v[name])
		}
		return append(to, '}')
	default:
		return append(to, "null"...)
	}
}

// appendString writes a JSON string; the plain ones without a detour.
func appendString(to []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return appendQuoted(to, s)
		}
	}
	to = append(to, '"')
	to = append(to, s...)
	return append(to, '"')
}

func appendQuoted(to []byte, s string) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil { // a string always encodes
		return append(to, `""`...)
	}
	return append(to, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
