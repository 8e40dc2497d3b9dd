package main

import (
	"bufio"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/trust"
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
// $ROOT is the root of the repository, $REGISTRY an OCI registry, and small.wasm a module with the functions block, blocked and unblock.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Setup:              setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serveSite, "stop": stopServer, "flip": flip,
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

// TestPageForAuthors runs the commands of docs/plugins.md, one block after the other, in an empty folder.
func TestPageForAuthors(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("NOT TESTED: bash is not installed")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "plugins.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, block := range strings.Split(string(page), "```sh\n")[1:] {
		commands, _, closed := strings.Cut(block, "```")
		if !closed {
			t.Fatal("a block of docs/plugins.md has no end")
		}
		script.WriteString(commands)
	}
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "riposte")); err != nil { // testscript's Main looks at the name that it is called by
		t.Fatal(err)
	}
	cmd := exec.Command(shell, "-eu", "-o", "pipefail", "-c", script.String())
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "RIPOSTE_SOURCE="+root, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"hello@1.0.0 is installed", "content is sound", "signed by me"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the page does not lead to %q:\n%s", want, out)
		}
	}
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
