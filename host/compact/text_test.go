package compact

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzText: a text is what encoding/json makes of it, and what stands behind its backslashes can be read again.
func FuzzText(f *testing.F) {
	f.Add([]byte("plain"))
	for i := range 20 { // in each place of eight that are read at a time
		for _, c := range []string{"\"", "\\", "\x1f", "\x80", "ö"} {
			f.Add([]byte("01234567890123456789"[:i] + c + "01234567890123456789"[i:]))
		}
	}
	f.Add([]byte("a <b> & \"c\" \\ \b\f\n\r\t \x00 \x1f \x7f \u2028\u2029 \xff \xe2\x80 ö € 😀 \ufffd"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(string(text)); err != nil {
			t.Fatal(err)
		}
		want := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
		if got := AppendText([]byte("x"), text); string(got) != "x"+string(want) {
			t.Errorf("%s, not %s", got, want)
		}
		if got := AppendText(nil, string(text)); !bytes.Equal(got, want) {
			t.Errorf("as a string %s, not %s", got, want)
		}
		for _, c := range text {
			if written := AppendText(nil, []byte{c}); len(written) == len(`"\n"`) && Unescaped(written[2]) != c {
				t.Errorf("%s means %q", written, Unescaped(written[2]))
			}
		}
	})
}
