package rule

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

const dashes = "----------\n"

// TestProblems reads pairs of a document and what is wrong with it, from one file each. All documents are called r.yaml; there is a template t.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			pair, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(pair), dashes)
			set, problems := Load([]File{{"r.yaml", []byte(input)}, {"t.yaml", []byte("template: t\ntype: x\ntitle: x\n")}},
				Options{Lists: lists(), Runbooks: []string{"malicious-outbound"}})
			got := problems.Report()
			if *update {
				if err := os.WriteFile(file, []byte(input+dashes+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if len(problems) == 0 || len(set.Rules()) != 0 || len(set.Templates()) != 1 {
				t.Error("the document was taken")
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(outbound))
	f.Add([]byte(outboundTemplate))
	f.Add([]byte("rule: r\nmatch: {source.ip|cidr: 10.0.0.0/8, ext.labels.a b|contains|nocase: [x, Y], tags|not: z}\ntemplate: t\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, problems := Load([]File{{"r.yaml", data}, {"t.yaml", []byte("template: t\ntype: x\ntitle: x\n")}}, Options{Lists: lists()})
		if len(problems) == 0 && len(set.Rules())+len(set.Templates()) != 2 {
			t.Error("no problem, and nothing in the set")
		}
		set.Match(t.Context(), alarm())
	})
}
