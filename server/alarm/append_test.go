package alarm

import (
	"testing"
	"time"
)

// FuzzAppendJSON: what is appended is the document with its keys in order, whatever fields and texts there are, in whatever order they came.
func FuzzAppendJSON(f *testing.F) {
	all := make([]byte, len(registry.fields))
	for i := range all {
		all[i] = byte(len(all) - 1 - i)
	}
	f.Add([]byte{}, "", "", true)
	f.Add(all, "9", "labels", true)
	f.Add([]byte{1, 100, 3, 80, 7}, "192.0.2.1", "a \"<b>\u2028\xff", false)
	f.Add([]byte{200, 0, 130}, "2026-11-21T09:58:00Z", "zz", true)
	f.Fuzz(func(t *testing.T, fields []byte, text, key string, labels bool) {
		b := NewBuilder(time.Unix(1_700_000_000, 5), Intake{Source: HTTP, Peer: key}, text)
		for _, n := range fields {
			b.Text(&registry.fields[int(n)%len(registry.fields)], key, text)
		}
		b.Ext(key, text)
		b.Ext("labels", text)
		b.Ext("a", "x")
		if labels {
			b.Label(key, text)
			b.Label("b", "y")
			b.Label("a", "z")
		}
		a := b.Build(CEF)
		if len(text)%3 == 0 {
			a.Parse.Error = text
		}
		if got, want := string(a.AppendJSON([]byte("{"))), "{"+string(appendValue(nil, a.Doc())); got != want {
			t.Errorf("appended\n%s, want\n%s", got, want)
		}
	})
}
