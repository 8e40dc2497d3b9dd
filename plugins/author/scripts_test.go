package author_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
)

func newPlugin(t *testing.T, lang string) string {
	t.Helper()
	l, err := author.Find(lang)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "x")
	if _, err := author.New(dir, "x", l); err != nil {
		t.Fatal(err)
	}
	return dir
}

func needsEngine(t *testing.T, lang string) {
	t.Helper()
	l, err := author.Find(lang)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Missing(); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestUnitTestsOfTheScriptTemplates runs them natively, where the kits stand in for the host.
func TestUnitTestsOfTheScriptTemplates(t *testing.T) {
	for lang, command := range map[string][]string{"python": {"python3", "-m", "unittest"}, "js": {"node", "--test"}, "lua": {"lua5.4", "plugin_test.lua"}, "perl": {"prove", "-I.", "plugin.t"}} {
		t.Run(lang, func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skip("NOT TESTED: ", err)
			}
			c := exec.Command(command[0], command[1:]...)
			c.Dir = newPlugin(t, lang)
			if said, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, said)
			}
		})
	}
}

func TestScriptsOfAFolder(t *testing.T) {
	needsEngine(t, "js")
	dir := newPlugin(t, "js")
	for _, name := range []string{"lib/more.mjs", "data/table.bin", "data/deep/list.json", ".hidden/x.js", "node_modules/y/index.js", "docs/z.js", "notes.txt"} {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), "// "+name)
	}
	p, err := author.Build(t.Context(), dir, author.Options{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := p.Scripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plugin.js", "riposte.js", "lib/more.mjs", "data/table.bin", "data/deep/list.json"} {
		if !strings.Contains(string(raw), `"`+name+`":`) {
			t.Errorf("%s is not in the package", name)
		}
	}
	for _, name := range []string{"hidden", "node_modules", "docs/z.js", "notes.txt", "plugin.test.js", "riposte.d.ts", "package.json"} {
		if strings.Contains(string(raw), name) {
			t.Errorf("%s is in the package", name)
		}
	}
}

func TestMistakesInScriptsAreFoundByTheBuild(t *testing.T) {
	for _, test := range []struct{ lang, file, text, place, want string }{
		{"python", "plugin.py", "import riposte\n\ndef f(:\n", "plugin.py:3:7", "SyntaxError"},
		{"python", "plugin.py", "import riposte\nimport requests\n", "plugin.py:2", "No module named 'requests'"},
		{"python", "plugin.py", "x = 1\n", "plugin.py", "import riposte"},
		{"python", "plugin.py", "from riposte import action\n@action\ndef lookup(call, p): pass\n", "$.actions.look-up", "did you mean lookup?"},
		{"lua", "plugin.lua", "require 'riposte'\nlocal = 1\n", "plugin.lua:2", "<name> expected"},
		{"lua", "plugin.lua", "require 'nothing'\n", "plugin.lua:1", "there is no module nothing"},
		{"lua", "plugin.lua", "local x = 1\n", "plugin.lua", "import the kit"},
		{"lua", "plugin.lua", "require 'riposte'.action('lookup', print)\n", "$.actions.look-up", "did you mean lookup?"},
		{"perl", "plugin.pl", "use Riposte;\nmy = 1;\n", "plugin.pl:2", "syntax error"},
		{"perl", "plugin.pl", "use Riposte;\nuse LWP;\n", "plugin.pl:2", "Can't locate LWP.pm"},
		{"perl", "plugin.pl", "my $x = 1;\n", "plugin.pl", "use the kit"},
		{"perl", "plugin.pl", "use Riposte;\naction lookup => sub {};\n", "$.actions.look-up", "did you mean lookup?"},
		{"js", "plugin.js", "import './riposte.js';\nlet = ;\n", "plugin.js:2:", "SyntaxError"},
		{"js", "plugin.js", "import './nothing.js';\n", "", "there is no file nothing.js"},
		{"js", "plugin.js", "let x;\n", "plugin.js", "import the kit"},
	} {
		t.Run(test.lang+" "+test.want, func(t *testing.T) {
			needsEngine(t, test.lang)
			dir := newPlugin(t, test.lang)
			write(t, filepath.Join(dir, test.file), test.text)
			_, err := author.Build(t.Context(), dir, author.Options{})
			if err == nil || !strings.Contains(err.Error(), test.place) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s at %s", err, test.want, test.place)
			}
		})
	}
}

func TestManifestsThatDoNotFitTheScripts(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		{"entry: plugin.js", "entry: plugn.js", "plugin.yaml: invalid: there is no file plugn.js to enter by (entry: did you mean plugin.js?)"},
		{"runtime: js@es2023", "runtime: js@es9", "plugin.yaml: not_found: the engine js@es9 is not in "},
		{"languages: [js]", "languages: [python]", ": invalid: there is no file that ends in .py (the first of languages in plugin.yaml says"},
	} {
		needsEngine(t, "js")
		needsEngine(t, "python")
		dir := newPlugin(t, "js")
		file := filepath.Join(dir, author.ManifestFile)
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), test.from) {
			t.Fatalf("%v: no %q in\n%s", err, test.from, text)
		}
		write(t, file, strings.Replace(string(text), test.from, test.to, 1))
		if _, err := author.Build(t.Context(), dir, author.Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.to, err, test.want)
		}
	}
}

func TestWithoutAnEngine(t *testing.T) {
	dir := newPlugin(t, "python")
	t.Setenv(engines.DirEnv, t.TempDir())
	l, err := author.Find("python")
	if err != nil {
		t.Fatal(err)
	}
	_, built := author.Build(t.Context(), dir, author.Options{})
	for _, err := range []error{l.Missing(), built} {
		if err == nil || abi.AsFault(err).Kind != abi.NotFound || !strings.Contains(err.Error(), "python@3.11") || !strings.Contains(err.Error(), "make engines") {
			t.Errorf("got %v", err)
		}
	}
}
