package logpoint

import (
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/world"
)

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, value string
		want           bool
	}{
		{"abc", "ABC", true}, {"abc", "abcd", false}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "ac", true}, {"ab*bc", "abc", false},
		{"*b*", "abc", true}, {"a*x*c", "abc", false}, {"*", "", true}, {"", "", true}, {"", "a", false}, {"a**c", "abc", true},
		{"10.20.*", "10x20.1", false},
	} {
		if got := newGlob(tt.pattern).match(tt.value); got != tt.want {
			t.Errorf("%q matches %q: %v", tt.pattern, tt.value, got)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{
		`source_address="10.20.30.40" -destination_address in HOMENET | chart count() by destination_address`,
		`destination_address in ["198.51.100.23", 198.51.100.*, 10.0.0.0/8] | chart sum(x) as n, count() by a, b | order by n desc | limit 3`,
		`(a=b or not c!="d\"e") and f>=-5 "free text" | fields a, b`,
		`a<=1 b<2 c>3 | order by count() asc`, `"`, `|`, `((`, `--a`, "a=\xff*",
	} {
		f.Add(q)
	}
	w := world.Default()
	logs := events(w, time.Unix(1_800_000_000, 0))
	f.Fuzz(func(t *testing.T, q string) {
		p, err := parse(q, lists(w))
		if err != nil {
			if p != nil || strings.TrimSpace(err.Error()) == "" {
				t.Errorf("%q: plan %v, error %q", q, p, err)
			}
			return
		}
		var found []event
		for _, e := range logs {
			if p.where(e) {
				found = append(found, e)
			}
		}
		if rows := p.rows(found, 5); len(rows) > len(logs) {
			t.Errorf("%q: %d rows of %d logs", q, len(rows), len(logs))
		}
	})
}
