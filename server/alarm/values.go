package alarm

import "math"

// value is what an alarm holds of one known field. Alarms are parsed far more often than their documents are looked at, so values lie flat
// and without boxes; Alarm.Doc makes the objects.
type value struct {
	field *Field
	text  string   // of the kinds that are texts
	bits  uint64   // of Integer and Port an int64, of Number a float64, of Bool 0 or 1
	list  []string // of List
}

// plain gives the value as documents hold it: see Kind.
func (v *value) plain() any {
	switch v.field.Kind {
	case Integer, Port:
		return int64(v.bits)
	case Number:
		return math.Float64frombits(v.bits)
	case Bool:
		return v.bits != 0
	case List:
		list := make([]any, len(v.list))
		for i, item := range v.list {
			list[i] = item
		}
		return list
	default:
		return v.text
	}
}

// valueOf takes a value of a document; ok is false if it is of another type than the field.
func valueOf(f *Field, plain any) (v value, ok bool) {
	v.field = f
	switch plain := plain.(type) {
	case string:
		v.text = plain
		return v, f.Kind != List && !f.Kind.isNumber() && f.Kind != Bool
	case int64:
		v.bits = uint64(plain)
		return v, f.Kind == Integer || f.Kind == Port
	case float64:
		v.bits = math.Float64bits(plain)
		return v, f.Kind == Number
	case bool:
		if plain {
			v.bits = 1
		}
		return v, f.Kind == Bool
	case []any:
		for _, item := range plain {
			text, isText := item.(string)
			if !isText {
				return v, false
			}
			v.list = append(v.list, text)
		}
		return v, f.Kind == List
	}
	return v, false
}

func (k Kind) isNumber() bool { return k == Integer || k == Port || k == Number }

// find gives the value of a field, or nil.
func (a *Alarm) find(f *Field) *value {
	for i := range a.values {
		if a.values[i].field == f {
			return &a.values[i]
		}
	}
	return nil
}

// pair is a key with its text. An empty text is a place that is taken: the key came first without a value, or has become a label.
type pair struct{ key, text string }

// texts are keys with their texts, in the order in which they came.
type texts struct {
	pairs []pair
	at    map[string]int // where a key stands, once there are many
	held  int            // pairs with a text
}

// manyTexts is where looking through all keys becomes dearer than a map.
const manyTexts = 24

// find gives the place of a key, or -1.
func (t *texts) find(key string) int {
	if t.at != nil {
		if i, ok := t.at[key]; ok {
			return i
		}
		return -1
	}
	for i := range t.pairs {
		if t.pairs[i].key == key {
			return i
		}
	}
	return -1
}

// add appends a key that is not there yet.
func (t *texts) add(key, text string) {
	if t.pairs == nil {
		t.pairs = make([]pair, 0, 4)
	}
	t.pairs = append(t.pairs, pair{key, text})
	if text != "" {
		t.held++
	}
	switch {
	case t.at != nil:
		t.at[key] = len(t.pairs) - 1
	case len(t.pairs) > manyTexts:
		t.at = make(map[string]int, 2*len(t.pairs))
		for i := range t.pairs {
			t.at[t.pairs[i].key] = i
		}
	}
}

// clear takes the text of a key away; its place stays taken.
func (t *texts) clear(at int) {
	t.pairs[at].text = ""
	t.held--
}

// plain gives the texts as documents hold them.
func (t *texts) plain() map[string]any {
	doc := make(map[string]any, t.held+1)
	for i := range t.pairs {
		if t.pairs[i].text != "" {
			doc[t.pairs[i].key] = t.pairs[i].text
		}
	}
	return doc
}
