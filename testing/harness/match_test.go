package harness

import (
	"testing"

	"github.com/riposte-soar/riposte/server/document"
)

func TestFind(t *testing.T) {
	v := decode([]byte(`{"a": [{"b": 1}, {"b": [true]}], "c.d": {"e'": "x"}, "": 2}`))
	for path, want := range map[string]string{
		"$": `{"":2,"a":[{"b":1},{"b":[true]}],"c.d":{"e'":"x"}}`, "$.a[0].b": "1", "$.a[-1].b[0]": "true", `$['c.d']["e'"]`: `"x"`, "$['']": "2",
		"$.x": "", "$.a[2]": "", "$.a[-3]": "", "$.a.b": "", "$.a[0][0]": "",
	} {
		got, there, err := find(v, path)
		if err != nil || there != (want != "") || there && text(got) != want {
			t.Errorf("%s gives %s %v %v, want %s", path, text(got), there, err, want)
		}
	}
	for _, path := range []string{"", "a", "$a", "$.", "$[", "$[x]", "$['a", "$..a", "$[*]", "$[1"} {
		if _, _, err := find(v, path); err == nil {
			t.Errorf("%q was read", path)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"$", "$.a[0].b", "$['a'][\"b\"]", "$[-1]", "$[", "$.a..b"} {
		f.Add(seed)
	}
	v := decode([]byte(`{"a": [{"b": 1}], "": null}`))
	f.Fuzz(func(_ *testing.T, path string) {
		_, _, _ = find(v, path) // nothing is wrong enough to panic
	})
}

func TestMatchers(t *testing.T) {
	value := decode([]byte(`{"s": "text here", "n": 5, "f": 2.5, "big": 12345678901234567890, "l": [1, {"a": "x"}], "o": {"a": 1, "b": null}, "t": true}`))
	for _, test := range []struct {
		want string
		ok   bool
	}{
		{`{s: text here, n: 5, f: 2.5, t: true, o: {a: 1, b: null}}`, true}, {`{n: 5.0}`, true}, {`{n: 6}`, false}, {`{n: "5"}`, false}, {`{t: "true"}`, false},
		{`{l: [1, {a: x}]}`, true}, {`{l: [1]}`, false}, {`{l: [{a: x}, 1]}`, false}, {`{o: [1]}`, false}, {`{o: {c: null}}`, false},
		{`{s: {$matches: "^te.t"}}`, true}, {`{n: {$matches: "5"}}`, false}, {`{s: {$contains: here}}`, true}, {`{l: {$contains: {a: x}}}`, true}, {`{l: {$contains: 2}}`, false},
		{`{s: {$length: 9}, l: {$length: 2}, o: {$length: 2}}`, true}, {`{n: {$length: 1}}`, false}, {`{n: {$type: integer}, f: {$type: number}, o: {$type: object}}`, true},
		{`{f: {$type: integer}}`, false}, {`{x: {$absent: true}}`, true}, {`{s: {$absent: true}}`, false}, {`{s: {$any: true}}`, true}, {`{x: {$any: true}}`, false},
		{`{n: {$not: 6}}`, true}, {`{n: {$not: 5}}`, false}, {`{n: {$not: {$type: string}}}`, true},
	} {
		want, problems := document.Parse("x", []byte(test.want))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if differs := match(want, value, "$", false); (len(differs) == 0) != test.ok {
			t.Errorf("%s: %v", test.want, differs)
		}
	}
}
