package runbook

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

const dashes = "----------\n"

// TestProblems reads pairs of a document and what is wrong with it, from one file each. All documents are called r.yaml.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.txt")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			pair, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(pair), dashes)
			set, problems := Load([]File{{Name: "r.yaml", Data: []byte(input)}}, newCatalog(), Options{Lists: []string{"crown_jewels"}})
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
			if len(problems) == 0 || len(set.All()) != 0 {
				t.Error("the runbook was taken")
			}
		})
	}
}
