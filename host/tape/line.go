package tape

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/riposte-soar/riposte/host/compact"
)

// A tape is written while a write waits for it, so its lines are put together here, a header in a fifth of the time that encoding/json takes for it: what is
// inline is JSON already and is not looked at again. The rare members are left to encoding/json.

// usualLine is enough, in bytes, for most lines.
const usualLine = 1 << 10

// appendEntry appends the canonical form: the members in the order of the type, no spaces, nothing escaped that need not be; what encoding/json writes
// without escaping HTML.
func appendEntry(b []byte, e *Entry) ([]byte, error) {
	l := line{compact.Writer{B: b}}
	l.Text(`{"prev":`, e.Prev)
	l.Text(`,"kind":`, string(e.Kind))
	if e.Header != nil {
		l.header(e.Header)
	}
	l.Count(`,"seq":`, int64(e.Seq))
	if e.Call != nil {
		l.call(e.Call)
	}
	l.body(`,"reply":`, e.Reply)
	l.Count(`,"duration_ns":`, int64(e.Duration))
	if e.Outcome != nil {
		l.outcome(e.Outcome)
	}
	l.Raw("}")
	return l.B, l.Err
}

// line is what was written of a line.
type line struct{ compact.Writer }

func (l *line) body(name string, b *Body) {
	if b == nil {
		return
	}
	l.Raw(name)
	begin := len(l.B)
	if len(b.Inline) > 0 {
		l.Raw(`,"inline":`)
		l.B = append(l.B, b.Inline...)
	}
	l.Filled(`,"blob":`, b.Blob)
	l.Count(`,"size":`, int64(b.Size))
	l.Enclose(begin)
}

func (l *line) header(h *Header) {
	l.Text(`,"header":{"invocation":`, h.Invocation)
	l.Text(`,"key":`, h.Key)
	l.Text(`,"plugin":`, h.Plugin)
	l.Text(`,"action":`, h.Action)
	l.Filled(`,"module":`, h.Module)
	l.Filled(`,"meter":`, h.Meter)
	l.Filled(`,"manifest":`, h.Manifest)
	l.Filled(`,"grant":`, h.Grant)
	l.Filled(`,"settings":`, h.Settings)
	l.Filled(`,"input":`, h.Input)
	l.body(`,"document":`, h.Document)
	if len(h.Secrets) > 0 {
		l.Other(`,"secrets":`, h.Secrets)
	}
	l.B = strconv.AppendUint(append(l.B, `,"seed":`...), h.Seed, 10)
	l.Time(`,"start":`, h.Start)
	l.Raw("}")
}

func (l *line) call(c *Call) {
	l.Text(`,"call":{"fn":`, c.Function)
	l.Filled(`,"capability":`, c.Capability)
	l.Filled(`,"effect":`, string(c.Effect))
	l.Text(`,"digest":`, c.Digest)
	l.Filled(`,"key":`, c.Key)
	l.Filled(`,"summary":`, c.Summary)
	l.body(`,"request":`, c.Request)
	l.Raw("}")
}

func (l *line) outcome(o *Outcome) {
	l.Raw(`,"outcome":`)
	begin := len(l.B)
	l.Filled(`,"output":`, o.Output)
	if o.Fault != nil {
		l.Other(`,"fault":`, o.Fault)
	}
	l.Filled(`,"logs":`, o.Logs)
	l.Filled(`,"emissions":`, o.Emissions)
	l.Count(`,"fuel":`, o.Fuel)
	l.Flag(`,"cut":`, o.Cut)
	l.Enclose(begin)
}

// oneLine takes the line breaks out of a document that was laid out for people.
func oneLine(document []byte) []byte {
	if bytes.IndexByte(document, '\n') < 0 && bytes.IndexByte(document, '\r') < 0 {
		return document
	}
	var b bytes.Buffer
	if json.Compact(&b, document) != nil {
		return document // a line that cannot be read is an error when it is
	}
	return b.Bytes()
}
