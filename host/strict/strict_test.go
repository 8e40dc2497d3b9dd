package strict_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/strict"
)

type document struct {
	Name  string            `json:"name"`
	Count json.Number       `json:"count"`
	Any   any               `json:"any"`
	Raw   json.RawMessage   `json:"raw"`
	More  map[string]string `json:"more"`
}

func TestReadIsStrict(t *testing.T) {
	var r strict.Reader
	for text, wrong := range map[string]string{
		`{"name":"a","any":12345678901234567890}`: "",
		` {"raw": [1, 2] } ` + "\n":               "",
		`{"nam":"a"}`:                             "unknown field",
		`{"name":"a"} {}`:                         "behind its end",
		`{"name":"a"}}`:                           "behind its end",
		`{"name":"a"`:                             "unexpected EOF",
		`{"name":1}`:                              "cannot unmarshal",
		``:                                        "EOF",
	} {
		var d document
		switch err := r.Read([]byte(text), &d); {
		case wrong == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)):
			t.Errorf("%s: %v, not %s", text, err, wrong)
		}
	}
}

// TestLargeDocumentsMakeNoGarbage reads a document of 1 MiB whose bytes nobody keeps.
func TestLargeDocumentsMakeNoGarbage(t *testing.T) {
	var r strict.Reader
	large := []byte(`{"count":` + strings.Repeat(" ", 1<<20) + `1}`)
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var d document
			if err := r.Read(large, &d); err != nil || d.Count != "1" {
				b.Fatal(d.Count, err)
			}
		}
	})
	if each := result.AllocedBytesPerOp(); each > int64(len(large)/2) { // a collection empties the pool
		t.Errorf("reading made %d bytes of garbage", each)
	}
}

// FuzzRead reads two documents by one reader: what it makes of the second, and whether it takes it, is the same as without the first.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"name":"a"}`, `{"name":"a"} `, `{} {`, `{"name`, `[1`, `{"any":{"x":[1,2,{}]},"more":{"a":"b"}}`, "\xff", ``, `1 2`, `null`} {
		f.Add([]byte(seed), []byte(`{"name":"b","count":1.50}`))
		f.Add([]byte(`{"name":"b","raw":null}`), []byte(seed))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var r strict.Reader
		var d document
		_ = r.Read(first, &d)
		var got, want document
		err := r.Read(second, &got)
		j := json.NewDecoder(bytes.NewReader(second))
		j.DisallowUnknownFields()
		j.UseNumber()
		wrong := j.Decode(&want)
		if _, end := j.Token(); wrong == nil && !errors.Is(end, io.EOF) {
			wrong = errors.New("more")
		}
		if (err == nil) != (wrong == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("after %q, %q gives %v, %v; by itself %v, %v", first, second, got, err, want, wrong)
		}
	})
}
