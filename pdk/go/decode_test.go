package pdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type label string

type shouted string

func (s *shouted) UnmarshalText(b []byte) error { *s = shouted("!" + string(b)); return nil }

type inner struct {
	A, B  string
	Count *int64 `json:"count,omitempty"`
	Tags  []string
}

type sample struct {
	Text     string            `json:"text"`
	Word     label             `json:"word,omitempty"`
	Shouted  shouted           `json:"shouted"`
	On       bool              `json:"on"`
	Raw      json.RawMessage   `json:"raw"`
	Number   int               `json:"number"`
	Small    int8              `json:"small,omitempty"`
	Natural  uint16            `json:"natural"`
	Ratio    float64           `json:"ratio"`
	Coarse   float32           `json:"coarse,omitempty"`
	Exact    json.Number       `json:"exact,omitempty"`
	List     []string          `json:"list"`
	Rows     []json.RawMessage `json:"rows,omitempty"`
	Inners   []inner           `json:"inners"`
	Nested   [][]int           `json:"nested,omitempty"`
	Map      map[string]any    `json:"map"`
	Texts    map[string]string `json:"texts,omitempty"`
	Counts   map[string]int    `json:"counts,omitempty"`
	Any      any               `json:"any"`
	Bytes    []byte            `json:"bytes"`
	Inner    inner
	Pointer  *string    `json:"pointer"`
	Behind   *inner     `json:"behind,omitempty"`
	At       time.Time  `json:"at"`
	Until    *time.Time `json:"until"`
	Hidden   string     `json:"-"`
	Dash     string     `json:"-,"` //nolint:staticcheck // the name is meant
	Children []*sample  `json:"children,omitempty"`
	own      string
}

var documents = []string{
	`{"text":"a\"b\\\u00e9\u2028","word":"w","shouted":"s","on":true,"raw":{"x":[1,"}"]},"number":5,"list":["a"],"map":{"k":null},"Inner":{"A":"a","b":"c"},"pointer":"p","at":"2026-01-02T03:04:05Z"}`,
	`{"text":null,"word":null,"on":null,"raw":null,"number":null,"pointer":null,"list":null,"map":null,"any":null,"Inner":null,"behind":null,"bytes":null,"ratio":null,"texts":null}`,
	`{"TEXT":"other case","oN":true}`, `{"text":1}`, `{"on":"true"}`, `{"number":"x"}`, `{"unknown":{"a":[1]},"text":"t"}`, `{"text":"a","text":"b"}`, `{"-":"x","Hidden":"x","own":"x"}`,
	`[]`, `null`, `"x"`, `{}`, `{"at":"never"}`, `{"text":"\ud83d\ude00"}`, `{"small":128}`, `{"natural":-1}`, `{"number":1.0}`, `{"number":1e3}`, `{"coarse":1e39}`, `{"exact":12.50}`, `{"exact":"x"}`,
	`{"inners":[{"A":"x","count":7,"Tags":["a","b"]},null,{}],"nested":[[1,2],[],null],"rows":[{"a":1}, 2 ,"x"],"any":{"a":[1,-0,1.5e3,true,false,null,"\u003c"]}}`,
	` { "behind" : { "B" : "b" , "count" : -12345678901234567 } , "texts" : { "a" : "b" } , "counts" : { "a" : 1 } , "bytes" : "/wA=" } `,
	`{"inners":[{"A":"1"}],"inners":[{"B":"2"}]}`, `{"behind":{"A":"1"},"behind":{"B":"2"}}`, `{"texts":{"a":"b"},"texts":{"c":"d"}}`, `{"any":[1],"any":"x"}`,
	`{"children":[{"text":"c","children":[{"text":"d"}]}]}`, `{"text":"unfinished`, `{"text":"x",}`, `{"list":["a",]}`, `{"number":01}`, `{"number":-}`, `{"on":tru}`, `{"text":"a` + "\n" + `"}`,
	`{"text":"\x"}`, `{"text":"\u12g4"}`, `{"text":"` + "\xff\xc3" + `é"}`, `{"te` + "\u017f" + `xt":"folded"}`, `{"unknown":"` + "\x01" + `"}`, `{"a":1} 2`, `{"text":"\b000000` + "\xea" + `"}`, `{"a":[1}`, `{"small":9223372036854775808}`,
	`{"any":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, `{"any":` + strings.Repeat(`{"a":`, 12000) + "1" + strings.Repeat("}", 12000) + `}`,
}

// FuzzDecode: every document is decoded as encoding/json does it, with the same error, into an empty struct and into one that was filled.
func FuzzDecode(f *testing.F) {
	for _, seed := range documents {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		filled := func() *sample {
			text := "was"
			return &sample{Text: text, Raw: json.RawMessage("1"), Map: map[string]any{"was": true}, Texts: map[string]string{"was": "so"}, List: []string{"was", "is"}, Any: 1,
				Inners: []inner{{A: "was"}}, Pointer: &text, Behind: &inner{A: "was"}, Inner: inner{B: "was"}, own: "kept"}
		}
		for _, fresh := range []func() any{func() any { return new(sample) }, func() any { return filled() }, func() any { return new(any) }, func() any { return new([]inner) },
			func() any { return new(map[string]any) }, func() any { return new(map[string]string) }, func() any { return new(json.RawMessage) }, func() any { return new(int64) }} {
			want, got := fresh(), fresh()
			wantErr, gotErr := json.Unmarshal(document, want), Unmarshal(document, got)
			if (wantErr == nil) != (gotErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() {
				t.Fatalf("%s: %v, encoding/json says %v", document, gotErr, wantErr)
			}
			var syntax *json.SyntaxError
			if !errors.As(wantErr, &syntax) && !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %+v, encoding/json gives %+v", document, got, want)
			}
		}
	})
}

// FuzzEncode: every value is written as encoding/json does it, with the same error.
func FuzzEncode(f *testing.F) {
	for _, seed := range documents {
		f.Add([]byte(seed), []byte(`{"a": "<"}`))
	}
	f.Add([]byte(`{}`), []byte(` {"a":1}`))
	f.Add([]byte(`{}`), []byte("{\"a\":\"\u2028\"}"))
	f.Add([]byte(`{}`), []byte(`{"a":[1,"x y",{}]}`))
	f.Add([]byte(`{}`), []byte(`{"a":`))
	f.Add([]byte(`{}`), []byte(`{"0": "00000"}`))
	f.Fuzz(func(t *testing.T, document, raw []byte) {
		var s sample
		var a any
		_ = json.Unmarshal(document, &s) // what was decoded before an error is a value as well
		_ = json.Unmarshal(document, &a)
		s.Shouted, s.Hidden, s.own = "", "no", "no"
		s.Rows = append(s.Rows, raw)
		type plain struct {
			Text  string            `json:"text"`
			Inner inner             `json:"inner"`
			Rows  []json.RawMessage `json:"rows,omitempty"`
			Raw   json.RawMessage   `json:"raw,omitempty"`
			Any   any               `json:"any"`
			Bytes []byte
			Ratio float64
			At    time.Time
		}
		p := plain{string(raw) + s.Text, s.Inner, s.Rows, raw, a, raw, s.Ratio, s.At}
		for _, v := range []any{s, &s, p, &p, []plain{p}, map[string]plain{"p": p}, a, s.Inners, s.Pointer, s.Behind, json.RawMessage(raw), string(raw), s.Texts, s.List, s.Ratio, nil} {
			want, wantErr := json.Marshal(v)
			got, gotErr := Marshal(v)
			if (wantErr == nil) != (gotErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() || wantErr == nil && !bytes.Equal(got, want) {
				t.Fatalf("%T %+v was written as\n%s, %v\nand not\n%s, %v", v, v, got, gotErr, want, wantErr)
			}
		}
	})
}

type loud string

func (l *loud) MarshalText() ([]byte, error) { return []byte(string(*l) + "!"), nil }

func TestMethodsOfPointersAreHeeded(t *testing.T) {
	type list struct {
		A loud
		B []loud
		C *loud
	}
	l := loud("c")
	for _, v := range []any{list{"a", []loud{"b"}, &l}, &list{"a", []loud{"b"}, &l}, []list{{A: "x"}}} {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Marshal(v); err != nil || string(got) != string(want) {
			t.Errorf("%s, %v, not %s", got, err, want)
		}
	}
}

func TestSimpleTypesAreNotLeftToEncodingJSON(t *testing.T) {
	if shapeOf(reflect.TypeFor[inner]()).form != object || shapeOf(reflect.TypeFor[sample]()).form != object {
		t.Error("a simple struct is left to encoding/json")
	}
	for _, complicated := range []any{time.Time{}, struct{ sample }{}, struct {
		A int `json:"a,string"`
	}{}, struct {
		A string `json:"a"`
		B string `json:"A"`
	}{}, map[string]int{}, json.Number("1")} {
		if shapeOf(reflect.TypeOf(complicated)).form != other {
			t.Errorf("%T is not left to encoding/json", complicated)
		}
	}
}
