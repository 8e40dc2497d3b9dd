package layers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const securityPage = "docs/security-model.md"

// TestEveryPromiseIsHeldByATest looks for each test that the tables of the security model name: `FILE TEST`, or a script.
func TestEveryPromiseIsHeldByATest(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	tests := map[string][]string{} // of each file that was read
	promises, named := 0, 0
	for _, cells := range promisesOf(t) {
		promises++
		holders := codes(cells[1])
		if len(holders) == 0 {
			t.Errorf("%s: no test holds this: %s", securityPage, cells[0])
		}
		for _, holder := range holders {
			named++
			file, test, _ := strings.Cut(holder, " ")
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: %s is not there", securityPage, file)
				continue
			}
			if filepath.Ext(file) == ".txtar" && test == "" {
				continue
			}
			if _, ok := tests[file]; !ok {
				for _, m := range declared.FindAllStringSubmatch(readText(t, file), -1) {
					tests[file] = append(tests[file], m[1])
				}
			}
			if !strings.Contains(" "+strings.Join(tests[file], " ")+" ", " "+test+" ") || test == "" {
				t.Errorf("%s: %s has no test %q", securityPage, file, test)
			}
		}
	}
	if promises < 30 {
		t.Errorf("only %d promises were found in %s", promises, securityPage)
	}
	t.Logf("%d promises, held by tests named %d times", promises, named)
}

// promisesOf gives the rows of all tables with a promise and what holds it.
func promisesOf(t *testing.T) (rows [][]string) {
	t.Helper()
	parts := strings.Split(readText(t, securityPage), "| promise | held by |")
	for _, part := range parts[1:] {
		for line := range strings.Lines(strings.TrimPrefix(part, "\n")) {
			line = strings.TrimSpace(line)
			cells := strings.Split(strings.Trim(line, "|"), "|")
			if !strings.HasPrefix(line, "|") {
				break
			}
			if len(cells) != 2 {
				t.Errorf("%s: a promise is a row of two cells, not %q", securityPage, line)
			} else if !strings.HasPrefix(cells[0], "---") {
				rows = append(rows, []string{strings.TrimSpace(cells[0]), cells[1]})
			}
		}
	}
	return rows
}
