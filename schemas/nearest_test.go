package schemas

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"all", "size", "startsWith", "endsWith", "timeout", "retry", "needs"}
	for word, want := range map[string]string{
		"siz": "size", "startWith": "startsWith", "foo": "", "tiemout": "timeout", "need": "needs", "Retry": "retry", "TIMEOUT": "timeout", "": "", "x": "", "completely": "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
