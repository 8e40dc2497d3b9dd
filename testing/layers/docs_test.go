package layers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
)

// page is a Markdown file of the repository.
type page struct {
	name string // such as docs/content.md
	text string
}

// pages are the README and everything in docs and docs/languages.
func pages(t *testing.T) (list []page) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no pages in docs: %v", err)
	}
	list = append(list, page{"README.md", readText(t, "README.md")})
	languages, err := filepath.Glob(filepath.Join(root, "docs", "languages", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, languages...) {
		name = filepath.ToSlash(strings.TrimPrefix(name, filepath.Clean(root)+string(filepath.Separator)))
		list = append(list, page{name, readText(t, name)})
	}
	return list
}

// block is a fenced block of a page.
type block struct {
	page string
	line int
	info string // what stands behind the fence, such as "go plugins/geoip/main.go"
	text string
}

func (p page) blocks() (list []block) {
	var b *block
	n := 0
	for line := range strings.Lines(p.text) {
		n++
		info, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && b == nil:
			b = &block{page: p.name, line: n, info: strings.TrimSpace(info)}
		case fence:
			list = append(list, *b)
			b = nil
		case b != nil:
			b.text += line
		}
	}
	return list
}

// commands gives the lines of a block that a reader would type: up to an unquoted pipe, redirection or comment, without "$ " before it.
func (b block) commands(program string) (list [][]string) {
	text := strings.ReplaceAll(b.text, "\\\n", " ")
	for line := range strings.Lines(text) {
		for part := range strings.SplitSeq(line, "|") {
			words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(part), "$ "))
			if end := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w[:1], "#><;&") }); end >= 0 {
				words = words[:end]
			}
			if len(words) > 0 && (words[0] == program || words[0] == "bin/"+program) {
				list = append(list, words[1:])
			}
		}
	}
	return list
}

// shell says whether a reader would type what stands in a block.
func (b block) shell() bool { return b.info == "sh" || b.info == "console" }

func TestCommandsOfThePagesExist(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "riposte")
	build := exec.Command("go", "build", "-o", binary, "./cmd/riposte")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	targets := regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(readText(t, "Makefile"), -1)
	checked := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			if !b.shell() {
				continue
			}
			for _, words := range b.commands("riposte") {
				checked++
				if why := unknownCommand(binary, words); why != "" {
					t.Errorf("%s:%d: riposte %s: %s", b.page, b.line, strings.Join(words, " "), why)
				}
			}
			for _, words := range b.commands("make") {
				for _, w := range words {
					isTarget := func(m []string) bool { return m[1] == w }
					if !strings.Contains(w, "=") && !slices.ContainsFunc(targets, isTarget) {
						t.Errorf("%s:%d: make %s: the Makefile has no such target", b.page, b.line, w)
					}
				}
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d commands were found in the pages", checked)
	}
}

// unknownCommand asks the program for help on a command line, and says what it does not know of it.
func unknownCommand(binary string, words []string) string {
	cmd := exec.Command(binary, append(slices.Clone(words), "--help")...)
	cmd.Env = append(os.Environ(), "RIPOSTE_TOKEN=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return strings.TrimSpace(string(out))
	}
	usage := regexp.MustCompile(`(?m)^  riposte ?(.*)$`).FindStringSubmatch(string(out))
	if usage == nil {
		return "its help shows no usage"
	}
	known := strings.Fields(usage[1])
	if len(known) > 0 && known[0] == "[command]" && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return "there is no such command"
	}
	for i, w := range known {
		if w == "[command]" && i < len(words) && !strings.HasPrefix(words[i], "-") {
			return "there is no such command: " + strings.Join(words[:i+1], " ")
		}
	}
	return ""
}

func TestCodeOfThePagesIsThatOfTheRepository(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			language, name, named := strings.Cut(b.info, " ")
			if language == "go" && !named {
				t.Errorf("%s:%d: say which file the code is from: ```go path/of/file.go", b.page, b.line)
			}
			if !named {
				continue
			}
			source := readText(t, name)
			for part := range strings.SplitSeq(b.text, "\n// …\n") { // what is left out between two parts
				if !strings.Contains(source, strings.Trim(part, "\n")) {
					t.Errorf("%s:%d: this does not stand in %s any more:\n%s", b.page, b.line, name, part)
				}
			}
		}
	}
}

// TestDocumentsOfThePagesAreValid holds each YAML block that is a whole document of ours against its schema; the first key says which it is.
func TestDocumentsOfThePagesAreValid(t *testing.T) {
	checked := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			if b.info != "yaml" {
				continue
			}
			node, problems := document.Parse(b.page, []byte(b.text))
			if len(problems) > 0 {
				t.Errorf("%s:%d: %v", b.page, b.line, problems)
				continue
			}
			name := node.Members[0].Key
			if name == "plugin" {
				name = "manifest"
			}
			if !slices.Contains(schemas.Names(), name) {
				continue
			}
			raw, err := json.Marshal(node.JSON())
			if err != nil {
				t.Fatal(err)
			}
			var doc any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			checked++
			if err := schemas.Validate(name, doc); err != nil {
				t.Errorf("%s:%d: this is no valid %s: %v", b.page, b.line, name, err)
			}
		}
	}
	if checked < 4 {
		t.Errorf("only %d documents were found in the pages", checked)
	}
}

func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			target := filepath.Join(root, filepath.Dir(p.name), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere", p.name, m[1])
			}
		}
	}
}
