package alarm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of what one message can make of an alarm.
const (
	MaxExt      = 1024 // keys under ext, and under ext.labels
	MaxWarnings = 32
	MaxKey      = 256 // bytes of a key under ext
)

// Builder fills an alarm for a decoder. It keeps four promises: a known field has its registered type, or its text goes to ext with a
// warning; the first value of a field or key wins, even if that was empty or broken, so that a later one that was smuggled in
// cannot take its place; everything odd becomes a warning; and the alarm is bounded, whatever the message holds.
type Builder struct {
	alarm   *Alarm
	seen    [maxFields / 64]uint64
	objects []held
	first   [12]held // what objects begins with
	ext     map[string]any
	labels  map[string]any
	blank   map[string]struct{} // keys of ext that came first without a value
	named   []custom            // "…Label" keys, in their order
	more    int                 // warnings beyond MaxWarnings
	full    bool                // ext had no room for a key
}

// held is an object of the registry that the alarm has.
type held struct {
	at     int
	fields map[string]any
}

// custom is the key "<base>Label" with its text.
type custom struct{ base, text string }

// NewBuilder begins an alarm that was received now; it gives it a UID and the unknown severity.
func NewBuilder(now time.Time, in Intake, raw string) *Builder {
	b := &Builder{alarm: &Alarm{UID: NewUID(now), Received: now.UTC(), Intake: in, Raw: raw,
		Severity: Severity{Name: Unknown}, Fields: make(map[string]any, 12)}}
	b.objects = append(b.first[:0], held{0, b.alarm.Fields})
	return b
}

// Received is the time that the alarm was begun with.
func (b *Builder) Received() time.Time { return b.alarm.Received }

// Warn records something odd. Texts from the message belong in it quoted, see Quote.
func (b *Builder) Warn(format string, args ...any) {
	if len(b.alarm.Parse.Warnings) == MaxWarnings-1 {
		b.more++
		return
	}
	b.alarm.Parse.Warnings = append(b.alarm.Parse.Warnings, fmt.Sprintf(format, args...))
}

// Quote shows a piece of a message in a warning or an error, shortened.
func Quote(text string) string { return strconv.Quote(clip(text)) }

// Severity sets the severity.
func (b *Builder) Severity(s Severity) { b.alarm.Severity = s }

// Seen marks a field and reports whether it had been marked before.
func (b *Builder) Seen(f *Field) bool {
	word, bit := &b.seen[f.index/64], uint64(1)<<(f.index%64)
	was := *word&bit != 0
	*word |= bit
	return was
}

// Text sets a known field from the text that the message has under key. A value of the wrong type goes to ext.<key>; of several
// values the first stays. An empty text sets nothing, but counts as the first.
func (b *Builder) Text(f *Field, key, text string) {
	if b.Seen(f) {
		b.again(f, key, text)
		return
	}
	if text == "" {
		return
	}
	v, odd, err := typed(f.Kind, text, b.alarm.Received)
	if err != nil {
		b.Warn("%s: %s is %v; kept as ext.%s", clip(key), Quote(text), err, clip(key))
		b.Ext(key, text)
		return
	}
	if odd != "" {
		b.Warn("%s: %s", clip(key), odd)
	}
	b.put(f, v)
}

// Typed sets a known field from a text, and tells why it cannot, instead of keeping the text elsewhere. It is for decoders that asked
// Seen.
func (b *Builder) Typed(f *Field, text string) error {
	v, odd, err := typed(f.Kind, text, b.alarm.Received)
	if err != nil {
		return err
	}
	if odd != "" {
		b.Warn("%s: %s", f.Path, odd)
	}
	b.put(f, v)
	return nil
}

// Set puts a value of the field's Go type, whatever was there before. It is for decoders that asked Seen.
func (b *Builder) Set(f *Field, v any) { b.put(f, v) }

// List puts the values of a field of kind List; see Set.
func (b *Builder) List(f *Field, values []string) {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	b.put(f, list)
}

// again notes a further value of a field. One that differs makes the alarm doubtful: nobody can tell which is the sender's own.
func (b *Builder) again(f *Field, key, text string) {
	if held, ok := b.find(f.object)[f.leaf]; ok && fmt.Sprint(held) == text {
		return
	}
	b.Warn("%s: given again as %s; the first value stays", clip(key), Quote(text))
}

func (b *Builder) put(f *Field, v any) { b.object(f.object)[f.leaf] = v }

// find gives an object that the alarm has already, or nil.
func (b *Builder) find(at int) map[string]any {
	for i := range b.objects {
		if b.objects[i].at == at {
			return b.objects[i].fields
		}
	}
	return nil
}

// object gives an object, and makes it if need be.
func (b *Builder) object(at int) map[string]any {
	if fields := b.find(at); fields != nil {
		return fields
	}
	o := registry.objects[at]
	fields := make(map[string]any, 4)
	b.object(o.parent)[o.name] = fields
	b.objects = append(b.objects, held{at, fields})
	return fields
}

// Ext keeps a text under ext.<key>; the first one stays. The key "labels" is a label, since ext.labels is their object.
func (b *Builder) Ext(key, text string) {
	if key == "labels" {
		b.Label(key, text)
		return
	}
	if held, ok := b.ext[key]; ok {
		if held != text {
			b.Warn("%s: given again as %s; the first value stays", clip(key), Quote(text))
		}
		return
	}
	if _, ok := b.blank[key]; ok {
		if text != "" {
			b.Warn("%s: given again as %s; the first, empty, value stays", clip(key), Quote(text))
		}
		return
	}
	if !b.room(b.ext, key) {
		return
	}
	if text == "" {
		if b.blank == nil {
			b.blank = map[string]struct{}{}
		}
		if len(b.blank) < MaxExt {
			b.blank[key] = struct{}{}
		}
		return
	}
	if b.ext == nil {
		b.ext = make(map[string]any, 4)
	}
	b.ext[key] = text
}

// room warns once when a key finds no place.
func (b *Builder) room(m map[string]any, key string) bool {
	if len(m) < MaxExt && len(key) <= MaxKey {
		return true
	}
	if !b.full {
		b.full = true
		b.Warn("more than %d keys, or a key of more than %d bytes: the rest is in raw only", MaxExt, MaxKey)
	}
	return false
}

// Label keeps a text under ext.labels.<label>; the first one stays, and it tells whether this was the first.
func (b *Builder) Label(label, text string) bool {
	if held, ok := b.labels[label]; ok {
		if held != text {
			b.Warn("label %s: given again as %s; the first value stays", Quote(label), Quote(text))
		}
		return false
	}
	if !b.room(b.labels, label) {
		return false
	}
	if b.labels == nil {
		b.labels = make(map[string]any, 4)
	}
	b.labels[label] = text
	return true
}

// Custom keeps a key that is no known field: "<base>Label" gives a name to the key <base>, which Build then moves to
// ext.labels.<name>; any other is kept by Ext.
func (b *Builder) Custom(key, text string) {
	base, isLabel := strings.CutSuffix(key, "Label")
	if !isLabel || base == "" || len(b.named) == 64 {
		b.Ext(key, text)
		return
	}
	for _, c := range b.named {
		if c.base == base {
			if c.text != text {
				b.Warn("%s: given again as %s; the first value stays", clip(key), Quote(text))
			}
			return
		}
	}
	b.named = append(b.named, custom{base, text})
}

// Build ends the alarm as parsed in this format.
func (b *Builder) Build(format Format) *Alarm {
	for _, c := range b.named {
		value, ok := b.ext[c.base].(string)
		switch _, blank := b.blank[c.base]; {
		case ok && c.text != "":
			if b.Label(c.text, value) {
				delete(b.ext, c.base)
			}
		case !ok && !blank:
			b.Ext(c.base+"Label", c.text)
		}
	}
	if b.labels != nil {
		if b.ext == nil {
			b.ext = make(map[string]any, 1)
		}
		b.ext["labels"] = b.labels
	}
	if len(b.ext) > 0 {
		b.alarm.Fields["ext"] = b.ext
	}
	if b.more > 0 {
		b.alarm.Parse.Warnings = append(b.alarm.Parse.Warnings, fmt.Sprintf("and %d more", b.more))
	}
	b.alarm.Parse.Format = format
	b.alarm.Parse.Clean = format != Unparsed && len(b.alarm.Parse.Warnings) == 0
	return b.alarm
}

// Fail ends the alarm as unparsed, for this reason.
func (b *Builder) Fail(reason error) *Alarm {
	b.alarm.Parse.Error = reason.Error()
	return b.Build(Unparsed)
}

// Sanitize makes text of a message: bytes that are no UTF-8 become U+FFFD, what is longer than MaxRaw is cut. The notes say so.
func Sanitize(message []byte) (raw string, notes []string) {
	if len(message) > MaxRaw {
		notes = append(notes, fmt.Sprintf("cut at %d of %d bytes", MaxRaw, len(message)))
		message = message[:MaxRaw]
	}
	if utf8.Valid(message) {
		return string(message), notes
	}
	raw = strings.ToValidUTF8(string(message), "\uFFFD")
	for len(raw) > MaxRaw {
		raw = strings.ToValidUTF8(raw[:MaxRaw], "")
	}
	return raw, append(notes, "bytes that are no UTF-8 were replaced by U+FFFD")
}
