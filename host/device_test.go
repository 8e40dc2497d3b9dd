package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// command is a package whose module is a plain Go program.
var command = sync.OnceValues(func() ([]byte, error) {
	const source = "testdata/command"
	folder, err := os.MkdirTemp("", "command-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	out := filepath.Join(folder, "command.wasm")
	c := exec.Command("go", "build", "-trimpath", "-o", out, "./"+source)
	c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if said, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(source + "/plugin.yaml")
	if err != nil {
		return nil, err
	}
	manifest, err := bundle.ManifestFromYAML(text, "plugin.yaml")
	if err != nil {
		return nil, err
	}
	assets, err := bundle.PackAssets(map[string][]byte{"README.md": []byte("Read me"), "docs/long.txt": []byte("0123456789"), "docs/a/b.txt": nil,
		"scripts/look": []byte("1"), "scripts/README.md": []byte("another")})
	if err != nil {
		return nil, err
	}
	return bundle.Parts{Manifest: manifest, Assets: assets}.Pack(module)
})

func installCommand(t testing.TB, h *host.Host) *bundle.Bundle {
	t.Helper()
	file, err := command()
	if err != nil {
		t.Fatal(err)
	}
	b := install(t, h, file)
	if !b.Command() || b.Extism() {
		t.Fatal("the module is not seen as a command")
	}
	return b
}

func TestCommand(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body)+" "+r.Header.Get("Authorization"))
		fmt.Fprint(w, "line one\nline two, for ", r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	h := newHost(t, host.Options{})
	b := installCommand(t, h)
	log := &tape.Memory{}
	in := host.Invocation{Bundle: b, Action: "fetch", Tape: log, Settings: json.RawMessage(`{"url":"` + server.URL + `","token":{"secret":"env:TOKEN"}}`),
		Grant: capability.Grant{"site": {}}}
	out := mustRun(t, h, in)
	if out.Fault != nil {
		t.Fatalf("%v %v", out.Fault, out.Logs)
	}
	if got, want := strings.Join(asked, "; "), "GET /one  Bearer correct-horse-battery; POST /two x Bearer correct-horse-battery"; got != want {
		t.Errorf("the server was asked %q, want %q", got, want)
	}
	if strings.Contains(string(out.Output), "correct-horse") || !strings.Contains(string(out.Output), `line one\nline two, for Bearer [secret]`) {
		t.Errorf("output %s", out.Output)
	}
	if len(out.Logs) != 1 || out.Logs[0].Message != "half of it\nis done" || len(out.Emissions) != 1 || out.Stats.HostCalls != 2 || out.Stats.Fuel == 0 {
		t.Errorf("logs %v, emissions %v, stats %+v", out.Logs, out.Emissions, out.Stats)
	}
	t.Logf("stats %+v", out.Stats)

	server.Close()
	replayed := mustRun(t, h, host.Invocation{Bundle: b, Tape: tape.NewReplay(log.Entries(), tape.Exact)})
	if replayed.Fault != nil || string(replayed.Output) != string(out.Output) || replayed.Stats.Fuel != out.Stats.Fuel {
		t.Errorf("replay gave %s, %v, fuel %d instead of %d", replayed.Output, replayed.Fault, replayed.Stats.Fuel, out.Stats.Fuel)
	}
	in.Tape, in.Grant = nil, nil
	fault(t, h, in, abi.Refused, "not granted")
}

// TestCommandSeesItsPackageOnly compares all that a command can find out about the world.
func TestCommandSeesItsPackageOnly(t *testing.T) {
	h := newHost(t, host.Options{})
	b := installCommand(t, h)
	out := mustRun(t, h, host.Invocation{Bundle: b, Action: "look", Settings: json.RawMessage(`{"url":"http://corp.test","token":{"secret":"env:TOKEN"}}`)})
	if out.Fault != nil {
		t.Fatalf("%v %v", out.Fault, out.Logs)
	}
	var got struct {
		Arguments, Environment, Files []string
		Token, Readme, Parts, Now     string
		Refused                       map[string]bool
	}
	if err := json.Unmarshal(out.Output, &got); err != nil {
		t.Fatal(err)
	}
	files := []string{"d--------- . 0", "---------- README.md 7", "d--------- dev 0", "Dc--------- dev/riposte 0", "d--------- docs 0",
		"d--------- docs/a 0", "---------- docs/a/b.txt 0", "---------- docs/long.txt 10", "---------- look 1",
		"d--------- scripts 0", "---------- scripts/README.md 7", "---------- scripts/look 1"}
	if strings.Join(got.Files, "\n") != strings.Join(files, "\n") {
		t.Errorf("files:\n%s", strings.Join(got.Files, "\n"))
	}
	if fmt.Sprint(got.Arguments) != "[command look]" || len(got.Environment) > 0 || got.Token != "" || got.Readme != "Read me" || got.Parts != "23459" ||
		!strings.HasPrefix(got.Now, "2026-01-02T03:04:05.") {
		t.Errorf("%+v", got)
	}
	for what, refused := range got.Refused {
		if !refused {
			t.Error("not refused: ", what)
		}
	}
}

// TestCommandsThatMisbehave tries what a command can do wrong with the device, and otherwise.
func TestCommandsThatMisbehave(t *testing.T) {
	h := newHost(t, host.Options{})
	b := installCommand(t, h)
	for _, test := range []struct {
		action, lines string
		kind          abi.Kind
		message       string
	}{
		{"deny", "", abi.NotFound, "no such address"},
		{"crash", "", abi.Trap, "ended itself with code 2: panic: a bad day"},
		{"late", "", abi.Trap, "ended itself with code 2: panic: too late"},
		{"loop", "", abi.Timeout, ""},
		{"devour", "", abi.Limit, "more than 16 MiB of memory"},
		{"open", "", abi.Limit, "more than 256 files open"},
		{"wait", "", abi.Trap, "read /dev/riposte where there was no answer"},
		{"lines", "", abi.Trap, "without a result"},
		{"lines", `{"output":1}`, abi.Trap, "a line to /dev/riposte without an end"},
		{"lines", "{\"output\":1}\n{\"output\":2}\n", abi.Trap, "after its result"},
		{"lines", "{\"output\":1,\"fault\":{\"kind\":\"failed\",\"message\":\"x\"}}\n", abi.Trap, "or both"},
		{"lines", "{\"output\":1,\"fn\":\"log.write\"}\n", abi.Trap, "it is both"},
		{"lines", "{\"request\":{}}\n", abi.Trap, "fn"},
		{"lines", "{}\n", abi.Trap, "neither an output nor a fault"},
		{"lines", "[]\n", abi.Trap, "neither a request nor a result"},
		{"lines", "\x00\x00\x00\x0c{\"output\":1}\n", abi.Trap, "neither a request nor a result"},
		{"lines", "{\"output\":1} {}\n", abi.Trap, "something behind its end"},
		{"lines", "{\"fn\":\"log.write\",\"request\":{}}\n{\"fn\":\"log.write\"}\n", abi.Trap, "before it had read the answer"},
		{"lines", strings.Repeat("x", 3<<20), abi.Trap, "without an end"},
		{"lines", "\n \r\n{\"output\":{\"x\":1}}\r\n", "", `{"x":1}`},
	} {
		parameters, err := json.Marshal(map[string]string{"text": test.lines})
		if err != nil {
			t.Fatal(err)
		}
		in := host.Invocation{Bundle: b, Action: test.action, Parameters: parameters}
		if test.action == "loop" {
			in.Timeout = 1e8
		}
		if test.kind != "" {
			fault(t, h, in, test.kind, test.message)
		} else if out := mustRun(t, h, in); out.Fault != nil || string(out.Output) != test.message {
			t.Errorf("%q gave %s, %v", test.lines, out.Output, out.Fault)
		}
	}
	for range 3 {
		if out := mustRun(t, h, host.Invocation{Bundle: b, Action: "count"}); string(out.Output) != "1" {
			t.Fatalf("counted to %s, %v", out.Output, out.Fault)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := h.Run(ctx, host.Invocation{Bundle: b, Action: "echo"}); err != nil || out.Fault == nil || out.Fault.Kind != abi.Cancelled {
		t.Errorf("%v %v", out.Fault, err)
	}
}

// TestEverySystemFunctionIsThere compares what the loader lets modules import with what the engine has.
func TestEverySystemFunctionIsThere(t *testing.T) {
	runtime := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer runtime.Close(t.Context())
	module, err := wasi_snapshot_preview1.NewBuilder(runtime).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there := slices.Sorted(maps.Keys(module.ExportedFunctions()))
	allowed := slices.Sorted(slices.Values(bundle.WASI()))
	if !slices.Equal(there, allowed) {
		t.Errorf("the engine has\n%q\nmodules may import\n%q", there, allowed)
	}
}

// TestCommandIsRefusedEverything asks for every host function that needs a right, without one.
func TestCommandIsRefusedEverything(t *testing.T) {
	h := newHost(t, host.Options{})
	b := installCommand(t, h)
	for module, names := range abi.Functions() {
		for _, name := range names {
			kind, _, _ := strings.Cut(strings.TrimPrefix(module, "riposte:"), "/")
			if kind == "log" || kind == "emit" {
				continue
			}
			lines, err := json.Marshal(fmt.Sprintf("{\"fn\":%q,\"request\":%s}\n", kind+"."+name, map[string]string{"kv": `{"key":"k"}`, "http": `{"capability":"site","method":"GET","url":"http://corp.test/"}`,
				"dns": `{"capability":"site","name":"corp.test","type":"A"}`, "tcp": `{"capability":"site","address":"corp.test:1","send":{}}`,
				"sql": `{"capability":"site","statement":"s"}`, "mail": `{"capability":"site","to":["a@corp.test"],"subject":"s","text":"t"}`}[kind]))
			if err != nil {
				t.Fatal(err)
			}
			fault(t, h, host.Invocation{Bundle: b, Action: "lines", Parameters: json.RawMessage(`{"text":` + string(lines) + `,"pass":true}`),
				Settings: json.RawMessage(`{"url":"http://corp.test"}`)}, abi.Refused, "")
		}
	}
}

// TestCommandInC shows that buffered input and output of a C library get along with the device, opened once for both.
func TestCommandInC(t *testing.T) {
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip("NOT TESTED: a command in C: clang-19 is not installed (Debian packages clang-19, lld-19, wasi-libc, libclang-rt-19-dev-wasm32)")
	}
	out := filepath.Join(t.TempDir(), "stdio.wasm")
	if said, err := exec.Command(clang, "--target=wasm32-wasi", "-O1", "-o", out, "testdata/stdio.c").CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED: a command in C: clang-19 cannot compile it (Debian packages lld-19, wasi-libc, libclang-rt-19-dev-wasm32): %v %s", err, said)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, host.Options{})
	b := install(t, h, pack(t, module, abi.Manifest{Plugin: "stdio", Version: "1.0.0", Title: "C",
		Actions: map[string]abi.Action{"act": {Kind: abi.Enrich, Title: "Log", Effect: abi.Pure}}}))
	result := mustRun(t, h, host.Invocation{Bundle: b, Action: "act"})
	if result.Fault != nil || string(result.Output) != "2" || len(result.Logs) != 2 || result.Logs[1].Message != "act 1" {
		t.Errorf("%s %v %v", result.Output, result.Fault, result.Logs)
	}
	t.Logf("stats %+v", result.Stats)
}
