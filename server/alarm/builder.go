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
	alarm *Alarm
	seen  [maxFields / 64]uint64
	named []custom // "…Label" keys, in their order
	more  int      // warnings beyond MaxWarnings
	full  bool     // ext had no room for a key
}

// custom is the key "<base>Label" with its text.
type custom struct{ base, text string }

// NewBuilder begins an alarm that was received now; it gives it a UID and the unknown severity.
func NewBuilder(now time.Time, in Intake, raw string) *Builder {
	return &Builder{alarm: &Alarm{UID: NewUID(now), Received: now.UTC(), Intake: in, Raw: raw,
		Severity: Severity{Name: Unknown}, values: make([]value, 0, 20)}}
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
	v, odd, err := typed(f, text, b.alarm.Received)
	if err != nil {
		b.Warn("%s: %s is %v; kept as ext.%s", clip(key), Quote(text), err, clip(key))
		b.Ext(key, text)
		return
	}
	if odd != "" {
		b.Warn("%s: %s", clip(key), odd)
	}
	b.put(v)
}

// Typed sets a known field from a text, and tells why it cannot, instead of keeping the text elsewhere. It is for decoders that asked
// Seen.
func (b *Builder) Typed(f *Field, text string) error {
	v, odd, err := typed(f, text, b.alarm.Received)
	if err != nil {
		return err
	}
	if odd != "" {
		b.Warn("%s: %s", f.Path, odd)
	}
	b.put(v)
	return nil
}

// Set puts a value of the field's Go type, see Kind; of any other it puts nothing. It is for callers that asked Seen.
func (b *Builder) Set(f *Field, plain any) {
	if v, ok := valueOf(f, plain); ok {
		b.put(v)
	}
}

// List puts the values of a field of kind List; see Set.
func (b *Builder) List(f *Field, values []string) { b.put(value{field: f, list: values}) }

// again notes a further value of a field. One that differs makes the alarm doubtful: nobody can tell which is the sender's own.
func (b *Builder) again(f *Field, key, text string) {
	if v := b.alarm.find(f); v != nil && fmt.Sprint(v.plain()) == text {
		return
	}
	b.Warn("%s: given again as %s; the first value stays", clip(key), Quote(text))
}

// put keeps the value of a field that has none.
func (b *Builder) put(v value) { b.alarm.values = append(b.alarm.values, v) }

// Ext keeps a text under ext.<key>; the first one stays. The key "labels" is a label, since ext.labels is their object.
func (b *Builder) Ext(key, text string) {
	if key == "labels" {
		b.Label(key, text)
		return
	}
	b.keep(&b.alarm.ext, key, text)
}

// keep adds a key to ext or to its labels, unless it is there, and tells whether it did.
func (b *Builder) keep(t *texts, key, text string) bool {
	if at := t.find(key); at >= 0 {
		name := clip(key)
		if t == &b.alarm.labels {
			name = "label " + Quote(key)
		}
		switch first := t.pairs[at].text; {
		case first == text:
		case first == "":
			b.Warn("%s: given again as %s; the first, empty, value stays", name, Quote(text))
		default:
			b.Warn("%s: given again as %s; the first value stays", name, Quote(text))
		}
		return false
	}
	if len(t.pairs) >= MaxExt || len(key) > MaxKey { // say so once
		if !b.full {
			b.full = true
			b.Warn("more than %d keys, or a key of more than %d bytes: the rest is in raw only", MaxExt, MaxKey)
		}
		return false
	}
	t.add(key, text)
	return true
}

// Label keeps a text under ext.labels.<label>; the first one stays, and it tells whether this was the first.
func (b *Builder) Label(label, text string) bool {
	return b.keep(&b.alarm.labels, label, text)
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
	ext := &b.alarm.ext
	for _, c := range b.named {
		switch at := ext.find(c.base); {
		case at < 0:
			b.Ext(c.base+"Label", c.text)
		case c.text != "" && ext.pairs[at].text != "" && b.Label(c.text, ext.pairs[at].text):
			ext.clear(at)
		}
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
