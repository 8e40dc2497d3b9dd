package document

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func parse(t testing.TB, text string) *Node {
	t.Helper()
	n, problems := Parse("f.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems.Report())
	}
	return n
}

func TestJSON(t *testing.T) {
	got := parse(t, "# comment\na: 1\nb: [x, 2.5, true, null, ~, '']\nc: {d: \"1\", on: yes, 1.0: no}\ne: |\n  one\n  two\nf: >-\n  one\n  two\ng: -7\nh: 0x1f\n").JSON()
	want := map[string]any{"a": int64(1), "b": []any{"x", 2.5, true, nil, nil, ""}, "c": map[string]any{"d": "1", "on": "yes", "1.0": "no"},
		"e": "one\ntwo\n", "f": "one two", "g": int64(-7), "h": int64(31)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
	if got := parse(t, "{\"a\": [1, {\"b\": \"c\\u00e9\\n\"}]}\r\n").JSON(); !reflect.DeepEqual(got, map[string]any{"a": []any{int64(1), map[string]any{"b": "cé\n"}}}) {
		t.Errorf("JSON gives %#v", got)
	}
}

func TestProblems(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1\na: 2\n":                       `f.yaml:2:1: the key "a" stands here twice (it is also in line 1)`,
		"a: {b: 1, b: 2}\n":                  `f.yaml:1:11: the key "b" stands here twice (it is also in line 1)`,
		"a: &x 1\n":                          "f.yaml:1:4: anchors are not allowed (write the value out where it is used)",
		"a: *x\n":                            `f.yaml:1:4: aliases are not allowed (write the value out; text that begins with "*" needs quotes)`,
		"<<: {a: 1}\n":                       "f.yaml:1:1: merge keys are not allowed (write the keys out)",
		"a: !!str 1\n":                       `f.yaml:1:4: tags are not allowed (text that begins with "!" needs quotes)`,
		"%YAML 1.2\n---\na: 1\n":             `f.yaml:1:1: directives are not allowed (text that begins with "%" needs quotes)`,
		"? a\n: 1\n":                         `f.yaml:1:1: complex keys ("?") are not allowed`,
		"a: 1\n---\nb: 2\n":                  "f.yaml:2:1: a second document begins here, a file holds one (put it into a file of its own)",
		"a:\n\tb: 1\n":                       "f.yaml:2:1: a tab stands in the indentation (indent with spaces)",
		"":                                   "f.yaml:1:1: the document is empty",
		"# only a comment\n":                 "f.yaml:1:1: the document is empty",
		"a: 'x\n":                            "f.yaml:1:4: not valid YAML: could not find end character of single-quoted text (is a quote or a bracket missing?)",
		"a: 007\n":                           "f.yaml:1:4: 007 can be read as different numbers (put quotes around it, or write it in plain decimal)",
		"a: .nan\n":                          "f.yaml:1:4: infinity and not-a-number are not allowed (text such as .inf needs quotes)",
		"a: \xff\n":                          "f.yaml:1:1: this line is not UTF-8 (save the file as UTF-8)",
		"a: \x00\n":                          "f.yaml:1:4: a zero byte stands in the text",
		strings.Repeat("[", 100):             "f.yaml:1:49: nested deeper than 48 levels",
		strings.Repeat("- ", 100):            "f.yaml:1:97: nested deeper than 48 levels",
		"a: " + strings.Repeat("x", MaxSize): "f.yaml:1:1: the file has 1048579 bytes, at most 1048576 are read",
		strings.Repeat("a: 1\n", MaxKeys+1):  "f.yaml:10001:2: the file has more than 10000 keys (split it)",
	} {
		n, problems := Parse("f.yaml", []byte(text))
		if len(problems) == 0 || n != nil || problems[0].String() != want {
			t.Errorf("%.30q:\n%s\nwant\n%s", text, problems, want)
		}
	}
}

// A document may begin with "---", and all problems are told at once.
func TestAllProblems(t *testing.T) {
	parse(t, "# comment\n---\na: 1\n")
	_, problems := Parse("f.yaml", []byte("a: 1\na: 2\nb: 010\nc: &x {}\n"))
	if len(problems) != 1 { // features that are left out are told before the rest is read
		t.Errorf("%s", problems)
	}
	_, problems = Parse("f.yaml", []byte("a: 1\na: 2\nb: 010\nb: .inf\n"))
	if len(problems) != 3 {
		t.Errorf("%s", problems)
	}
}

// Each text holds the mark @ once; the place of the mark must be found however the text is written.
func TestPlaces(t *testing.T) {
	for _, text := range []string{
		"a: plain @ text\n",
		"a: blanks behind @   \n",
		"- a: {b: blanks behind @   }\n",
		"a: 'it''s @ quoted'\n",
		"a: \"tab\\t \\u00e9\\x41 \\\"@\\\" x\"\n",
		"a: ünïcode @\n",
		"a: |\n  one\n    two @\n",
		"a: |-\n\n  one\n\n  @\n",
		"a: >-\n  folded\n  text @ here\n",
		"a: plain over\n  two @ lines\n",
		"a: \"double over\n  two @ lines\"\n",
		"a: \"escaped \\\n  break @\"\n",
		"a: 'single over\n\n  three @ lines'\n",
		"a: {b: [x, \"in flow @\"]}\n",
		"a:\n  - b:\n      - deep: \"@\"\n",
	} {
		var leaf *Node
		var walk func(n *Node)
		walk = func(n *Node) {
			if strings.Contains(n.Text(), "@") {
				leaf = n
			}
			for _, e := range n.Items {
				walk(e)
			}
			for _, m := range n.Members {
				walk(m.Value)
			}
		}
		walk(parse(t, text))
		p := leaf.ProblemAt(strings.Index(leaf.Text(), "@"), "here", "")
		lines := strings.Split(text, "\n")
		if p.Line > len(lines) || p.Column > len([]rune(lines[p.Line-1])) || []rune(lines[p.Line-1])[p.Column-1] != '@' {
			t.Errorf("%q: the mark is said to be at %d:%d\n%s", text, p.Line, p.Column, p.Excerpt)
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	n := parse(t, "a: "+strings.Repeat("x", 300)+"@"+strings.Repeat("y", 300)+"\n").Get("a")
	p := n.ProblemAt(300, "here", "")
	line, caret, _ := strings.Cut(p.Excerpt, "\n")
	at := strings.Index(caret, "^")
	if r := []rune(line); len(r) > 125 || r[at] != '@' {
		t.Errorf("the excerpt is\n%s", p.Excerpt)
	}
}

type inner struct {
	Name string `yaml:"name,required"`
	On   bool   `yaml:"on"`
}

type outer struct {
	Text   string            `yaml:"text"`
	Count  int               `yaml:"count"`
	Share  float64           `yaml:"share"`
	Every  time.Duration     `yaml:"every"`
	Words  []string          `yaml:"words"`
	Labels map[string]string `yaml:"labels"`
	One    *inner            `yaml:"one"`
	Many   []inner           `yaml:"many"`
	Any    any               `yaml:"any"`
	Place  *Node             `yaml:"place"`
	Hidden string
}

func TestDecode(t *testing.T) {
	var got outer
	n := parse(t, "text: x\ncount: 3\nshare: 1\nevery: 7d\nwords: [a, b]\nlabels: {k: v}\none: {name: n, on: true}\nmany: [{name: m}]\nany: {z: [1]}\nplace: here\n")
	if problems := n.Decode(&got); len(problems) > 0 {
		t.Fatal(problems.Report())
	}
	if got.Place.Line != 10 || got.Place.Column != 8 || got.Place.Text() != "here" {
		t.Errorf("place is %+v", got.Place)
	}
	got.Place = nil
	want := outer{Text: "x", Count: 3, Share: 1, Every: 7 * 24 * time.Hour, Words: []string{"a", "b"}, Labels: map[string]string{"k": "v"},
		One: &inner{"n", true}, Many: []inner{{"m", false}}, Any: map[string]any{"z": []any{int64(1)}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestDecodeProblems(t *testing.T) {
	var got outer
	problems := parse(t, "text: 1\ncount: many\nshare: much\nevery: 10\nwords: a\nlabels: [x]\none: {on: maybe}\nmany: [{nmae: x}]\nHidden: x\nevry: 1s\n").Decode(&got)
	want := []string{
		"1:7: text is expected here, this is a whole number (put quotes around it)",
		"2:8: a whole number is expected here, this is text",
		"3:8: a number is expected here, this is text",
		"4:8: a duration is expected here, this is a whole number (write it with its unit, such as 30s, 15m, 24h or 7d)",
		"5:8: a list is expected here, this is text (put brackets around it: [a])",
		"6:9: a map is expected here, this is a list",
		"7:11: true or false is expected here, this is text",
		`7:6: the key "name" is missing`,
		`8:9: the key "nmae" is not known here (did you mean "name"?)`,
		`8:8: the key "name" is missing`,
		`9:1: the key "Hidden" is not known here (known are: any, count, every, labels, many, one, place, share, text, words)`,
		`10:1: the key "evry" is not known here (did you mean "every"?)`,
	}
	for i, p := range problems {
		if i >= len(want) || p.String() != "f.yaml:"+want[i] {
			t.Errorf("%s", p)
		}
	}
	if len(problems) != len(want) {
		t.Errorf("%d problems, want %d", len(problems), len(want))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1", "a: [1, {b: c}]", "- |\n  x\n- >-\n  y", "a: \"\\u00e9\"", "a: 'x''y'\nb: &c d", "{\"a\": null}", "---\na: b\n...", "? x\n: y", "a:\n  - b\n -c", "\ufeffa: \r\n b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, problems := Parse("f.yaml", data)
		if (n == nil) != (len(problems) > 0) {
			t.Fatalf("node %v, problems %v", n, problems)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("a problem without place: %+v", p)
			}
		}
		if n == nil {
			return
		}
		_ = fmt.Sprint(n.JSON())
		var walk func(n *Node)
		walk = func(n *Node) {
			if n.Line < 1 || n.Column < 1 {
				t.Errorf("a node without place: %+v", n)
			}
			for i := range n.Text() {
				if p := n.ProblemAt(i, "x", ""); p.Line < 1 || p.Column < 1 {
					t.Errorf("%q at %d is at %d:%d", n.Text(), i, p.Line, p.Column)
				}
			}
			for _, e := range n.Items {
				walk(e)
			}
			for _, m := range n.Members {
				walk(m.Value)
			}
		}
		walk(n)
		var out outer
		n.Decode(&out)
	})
}
