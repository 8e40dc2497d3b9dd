package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/host/trust"
	"github.com/riposte-soar/riposte/plugins/author"
	"github.com/riposte-soar/riposte/server"
)

func TestMain(m *testing.M) {
	host.WorkerMain()
	testscript.Main(m, map[string]func(){"riposte": main})
}

// TestScripts runs testdata/*.txtar over the real command. Beside testscript's commands there are:
//
//	serve FLAG…    start a server on $WORK/site, and wait until it takes alarms; sets RIPOSTE_SERVER and RIPOSTE_TOKEN
//	stop           end it
//	flip FILE N    change a bit of the byte N of a file, counted from its end
//
// and the condition [engine:RUNTIME], which says whether this machine has an engine.
//
// $ROOT is the root of the repository, $REGISTRY an OCI registry, and small.wasm a module with the functions block, blocked and unblock.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Setup:              setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serveSite, "stop": stopServer, "flip": flip,
		},
		Condition: func(name string) (bool, error) {
			runtime, isEngine := strings.CutPrefix(name, "engine:")
			if !isEngine {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			folder, err := engines.Default()
			if err != nil {
				return false, err
			}
			_, err = folder.Newest(runtime)
			return err == nil, nil
		},
	})
}

type serverKey struct{}

// running is the server of a script.
type running struct{ cmd *exec.Cmd }

func (r *running) stop() error {
	if r.cmd == nil {
		return nil
	}
	cmd := r.cmd
	r.cmd = nil
	return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
}

func setup(env *testscript.Env) error {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return err
	}
	module, err := os.ReadFile(filepath.Join(root, "host", "bundle", "testdata", "small.wasm"))
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	registry := httptest.NewServer(newRegistry())
	site := &running{}
	env.Values[serverKey{}] = site
	env.Defer(func() {
		registry.Close()
		if err := site.stop(); err != nil {
			env.T().Log("the server: ", err)
		}
	})
	env.Setenv("ROOT", root)
	env.Setenv("REGISTRY", registry.Listener.Addr().String())
	env.Setenv("XDG_CACHE_HOME", cache) // compiled modules, and Go's build cache
	return os.WriteFile(filepath.Join(env.WorkDir, "small.wasm"), module, 0o644)
}

func serveSite(ts *testscript.TestScript, _ bool, args []string) {
	site := ts.Value(serverKey{}).(*running)
	name := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "riposte")
	work := ts.Getenv("WORK")
	cmd := exec.Command(name, append([]string{"serve", "--content", filepath.Join(work, "site"), "--data", filepath.Join(work, "data"), "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	site.cmd = cmd
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		_, rest, found := strings.Cut(lines.Text(), "http://")
		if !found {
			continue
		}
		token, err := os.ReadFile(filepath.Join(work, "data", "token"))
		ts.Check(err)
		ts.Setenv("RIPOSTE_SERVER", "http://"+strings.Fields(rest)[0])
		ts.Setenv("RIPOSTE_TOKEN", strings.TrimSpace(string(token)))
		go func() { _, _ = io.Copy(io.Discard, out) }()
		return
	}
	_ = cmd.Wait() // it ended
	site.cmd = nil
	ts.Fatalf("the server did not start:\n%s", said.String())
}

func stopServer(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value(serverKey{}).(*running).stop())
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE N")
	}
	name := ts.MkAbs(args[0])
	content, err := os.ReadFile(name)
	ts.Check(err)
	n := 0
	for _, digit := range args[1] {
		n = 10*n + int(digit-'0')
	}
	content[len(content)-n] ^= 1
	ts.Check(os.WriteFile(name, content, 0o644))
}

// TestPagesForAuthors runs the commands of pages, one block after the other, each page in an empty folder. That from an empty folder to a running
// action is run for every language whose tools are here; what it says of plugins without a kit is in Go.
func TestPagesForAuthors(t *testing.T) {
	page := func(name, file string, edit *strings.Replacer, leadsTo ...string) {
		t.Run(name, func(t *testing.T) {
			out := runPage(t, file, edit)
			for _, want := range leadsTo {
				if !strings.Contains(out, want) {
					t.Errorf("the page does not lead to %q:\n%s", want, out)
				}
			}
		})
	}
	page("testing-plugins.md", "testing-plugins.md", strings.NewReplacer(), "3 passed", "18 passed", "6 passed")
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "plugins.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, bare, found := strings.Cut(string(text), "\n## Without a kit\n")
	bare, _, end := strings.Cut(bare, "\n## ")
	if !found || !end {
		t.Fatal("docs/plugins.md does not tell of plugins without a kit any more")
	}
	for _, l := range author.Languages() {
		name, edit := "plugins.md/"+l.Name, []string{"--lang go", "--lang " + l.Name}
		if l.Name != "go" {
			edit = append(edit, bare, "")
		}
		if err := l.Missing(); err != nil {
			t.Run(name, func(t *testing.T) { t.Skip("NOT TESTED: ", err) })
			continue
		}
		page(name, "plugins.md", strings.NewReplacer(edit...), "3 passed", "hello@0.1.0 is installed", "content is sound", "signed by me", `"reason": "scans ports"`)
	}
}

// TestPagesOfLanguages runs those of the page of each language whose tools are here. What AssemblyScript needs of npm is a tool too.
func TestPagesOfLanguages(t *testing.T) {
	for _, l := range author.Languages() {
		page := "languages/" + l.Name + ".md"
		if _, err := os.Stat(filepath.Join("..", "..", "docs", page)); err != nil && l.Name == "go" {
			continue // of which plugins.md tells
		}
		t.Run(l.Name, func(t *testing.T) {
			if err := l.Missing(); err != nil {
				t.Skip("NOT TESTED: ", err)
			}
			if out := runPage(t, page, strings.NewReplacer("npm install\n", "")); !strings.Contains(out, "acme-list.wasm: acme-list@0.1.0") || !strings.Contains(out, "3 passed") {
				t.Errorf("the page does not lead to a plugin that passes its cases:\n%s", out)
			}
		})
	}
}

func runPage(t *testing.T, name string, edit *strings.Replacer) (out string) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("NOT TESTED: bash is not installed")
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	script := strings.Builder{}
	script.WriteString("trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n") // what the page starts and leaves
	for _, block := range strings.Split(edit.Replace(string(page)), "```sh\n")[1:] {
		commands, _, closed := strings.Cut(block, "```")
		if !closed {
			t.Fatalf("a block of docs/%s has no end", name)
		}
		script.WriteString(commands)
	}
	bin := filepath.Dir(command(t))
	port, other := freePort(t), freePort(t)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, shell, "-eu", "-o", "pipefail", "-c", strings.NewReplacer("8080", port, "8081", other).Replace(script.String()))
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "RIPOSTE_SERVER=http://127.0.0.1:"+port, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return string(said)
}

// command gives the path of a riposte that is this program.
func command(t *testing.T) string {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "riposte") // testscript's Main looks at the name that it is called by
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// freePort gives a port that nobody listens on, for a server that is told one.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestNameOfBuiltIn: a plugin that takes the name of a built-in one is held against what that asks for, since connectors grant it already.
func TestNameOfBuiltIn(t *testing.T) {
	builtIn, err := server.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	whois := builtIn["whois"]
	if whois == nil {
		t.Skip("NOT TESTED: the plugins are not built (go run ./plugins/build)")
	}
	lock := trust.NewLock()
	if known, err := knows(lock, "no-such-plugin"); known || err != nil || len(lock.Plugins) > 0 {
		t.Errorf("a plugin that nobody knows: %t, %v", known, err)
	}
	if known, err := knows(lock, "whois"); !known || err != nil {
		t.Fatalf("a built-in plugin: %t, %v", known, err)
	}
	if changes := trust.Compare(lock.Plugins["whois"].Granted, trust.AsksOf(&whois.Manifest)); len(changes) > 0 || len(lock.Plugins["whois"].Granted.Requires) == 0 {
		t.Errorf("the built-in plugin differs from itself: %v", changes)
	}
}
