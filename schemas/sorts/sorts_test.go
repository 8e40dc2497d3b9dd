package sorts_test

import (
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/schemas/sorts"
)

func TestEverySortIsASchemaAndSatisfiesItself(t *testing.T) {
	names := sorts.Names()
	if len(names) < 5 {
		t.Fatalf("sorts: %v", names)
	}
	for _, name := range names {
		text, ok := sorts.Source(name)
		if !ok {
			t.Fatalf("%s has no text", name)
		}
		if _, err := schemas.Compile(name, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := sorts.Check(name, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	const good = `{"type":"object","required":["ip","names","forward_confirmed"],"properties":{"ip":{"type":"string","format":"ip"},
		"names":{"type":"array","items":{"type":"string"}},"forward_confirmed":{"type":"boolean"},"more":{"type":"integer"}}}`
	for _, test := range []struct{ name, old, new, want string }{
		{"as the sort, and more", "", "", ""},
		{"missing", `"forward_confirmed":{"type":"boolean"},`, "", "$.forward_confirmed: is missing"},
		{"other type", `"type":"boolean"`, `"type":"string"`, "$.forward_confirmed: expected boolean"},
		{"other items", `"items":{"type":"string"}`, `"items":{"type":"integer"}`, "$.names[]: expected string"},
		{"other format", `"format":"ip"`, `"format":"uri"`, "$.ip: expected string ip"},
		{"optional", `"ip","names"`, `"names"`, "$.ip: must be required"},
	} {
		err := sorts.Check("ip.rdns", []byte(strings.Replace(good, test.old, test.new, 1)))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	if err := sorts.Check("ip.rdsn", []byte("{}")); err == nil || !strings.Contains(err.Error(), "ip.rdns") {
		t.Errorf("got %v", err)
	}
	if err := sorts.Check("ip.reputation", []byte(`{"type":"object","properties":{"verdict":{"type":"string","enum":["evil"]}}}`)); err == nil ||
		!strings.Contains(err.Error(), "evil") {
		t.Errorf("got %v", err)
	}
}
