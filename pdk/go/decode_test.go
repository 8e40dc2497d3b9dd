package pdk

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type word string

type shouted string

func (s *shouted) UnmarshalText(b []byte) error { *s = shouted("!" + string(b)); return nil }

type sample struct {
	Text    string          `json:"text"`
	Word    word            `json:"word,omitempty"`
	Shouted shouted         `json:"shouted"`
	On      bool            `json:"on"`
	Raw     json.RawMessage `json:"raw"`
	Number  int             `json:"number"`
	List    []string        `json:"list"`
	Map     map[string]any  `json:"map"`
	Inner   struct{ A, B string }
	Pointer *string   `json:"pointer"`
	At      time.Time `json:"at"`
	Hidden  string    `json:"-"`
	own     string
}

// FuzzDecode: what the host can write is decoded as encoding/json does, with the same error, into an empty struct and into one that was filled.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"text":"a\"b\\\u00e9\u2028","word":"w","shouted":"s","on":true,"raw":{"x":[1,"}"]},"number":5,"list":["a"],"map":{"k":null},"Inner":{"A":"a","b":"c"},"pointer":"p","at":"2026-01-02T03:04:05Z"}`,
		`{"text":null,"word":null,"on":null,"raw":null,"number":null,"pointer":null}`, `{"TEXT":"other case","oN":true}`, `{"text":1}`, `{"on":"true"}`,
		`{"number":"x"}`, `{"unknown":{"a":[1]},"text":"t"}`, `{"text":"a","text":"b"}`, `{"-":"x","Hidden":"x","own":"x"}`, `[]`, `null`, `"x"`, `{}`, `{"at":"never"}`, `{"text":"\ud83d\ude00"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		document, err := json.Marshal(json.RawMessage(raw)) // an error if it is not JSON; compact, as the host writes it, with members in any order
		if err != nil {
			return
		}
		filled := func() sample {
			return sample{Text: "was", Raw: json.RawMessage("1"), Map: map[string]any{"was": true}, own: "kept"}
		}
		for _, want := range []sample{{}, filled()} {
			got := want
			if want.Map != nil {
				got = filled()
			}
			wantErr, gotErr := json.Unmarshal(document, &want), decode(document, &got)
			if (wantErr == nil) != (gotErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %+v %v, encoding/json gives %+v %v", document, got, gotErr, want, wantErr)
			}
		}
	})
}

func TestDecodeKinds(t *testing.T) {
	if fieldsOf(reflect.TypeFor[sample]()) == nil {
		t.Error("a simple struct is left to encoding/json")
	}
	for _, complicated := range []any{time.Time{}, struct{ sample }{}, struct {
		A int `json:"a,string"`
	}{}, struct{ A, a string }{}.a, map[string]string{}} {
		if fieldsOf(reflect.TypeOf(complicated)) != nil {
			t.Errorf("%T is not left to encoding/json", complicated)
		}
	}
}
