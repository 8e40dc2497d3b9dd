package meter_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/riposte-soar/riposte/host/meter"
)

// crash runs a WASI command that traps, and gives the engine's account of it.
func crash(t *testing.T, module []byte) string {
	t.Helper()
	ctx := context.Background()
	runtime := wazero.NewRuntime(ctx)
	defer runtime.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
	b := runtime.NewHostModuleBuilder(meter.ImportModule)
	b.NewFunctionBuilder().WithFunc(func(int64) int64 { return 1 << 40 }).Export(meter.ImportRefill)
	b.NewFunctionBuilder().WithFunc(func() {}).Export(meter.ImportOverflow)
	if _, err := b.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := runtime.Instantiate(ctx, module)
	if err == nil {
		t.Fatal("it did not trap")
	}
	return err.Error()
}

var (
	frame  = regexp.MustCompile(`(?m)^\t\.?\S+\(.*$`)
	offset = regexp.MustCompile(`^\s*0x([0-9a-f]+): `)
	where  = regexp.MustCompile(`([^/\s]+:\d+(:\d+)?)( \(inlined\))?$`)
)

// theirLines reads the places that the engine gives for the original module: for each frame "file:line:column", innermost first.
func theirLines(said string) (frames [][]string) {
	_, said, _ = strings.Cut(said, "wasm stack trace:\n")
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\n")
		if frame.MatchString(line) {
			frames = append(frames, nil)
		} else if found := where.FindStringSubmatch(line); found != nil {
			frames[len(frames)-1] = append(frames[len(frames)-1], found[1])
		}
	}
	return frames
}

// ourLines does the same for the rewritten module.
func ourLines(t *testing.T, original []byte, said string) (frames [][]string) {
	t.Helper()
	_, said, _ = strings.Cut(said, "wasm stack trace:\n")
	var offsets []uint64
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\n")
		if frame.MatchString(line) {
			offsets = append(offsets, 0)
		} else if found := offset.FindStringSubmatch(line); found != nil {
			n, err := strconv.ParseUint(found[1], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			offsets[len(offsets)-1] = n
		}
	}
	places, err := meter.Places(original, meter.Options{}, offsets)
	if err != nil {
		t.Fatal(err)
	}
	for _, all := range places {
		var texts []string
		for _, p := range all {
			text := path.Base(p.File) + ":" + strconv.Itoa(p.Line)
			if p.Column > 0 {
				text += ":" + strconv.Itoa(p.Column)
			}
			texts = append(texts, text)
		}
		frames = append(frames, texts)
	}
	return frames
}

// TestPlacesAreThoseOfTheOriginal lets programs in four languages trap, as they are and rewritten, and expects the same lines of source.
func TestPlacesAreThoseOfTheOriginal(t *testing.T) {
	for _, language := range []string{"tinygo", "zig", "zig-cc", "rust"} {
		t.Run(language, func(t *testing.T) {
			original := trapping(t, language)
			metered, err := meter.Instrument(original, meter.Options{})
			if err != nil {
				t.Fatal(err)
			}
			want, got := theirLines(crash(t, original)), ourLines(t, original, crash(t, metered))
			if language == "tinygo" { // where the engine takes what is inlined for something that was removed; llvm-symbolizer has it as we have
				want[0] = append(want[0], "panic.go:52:7")
			}
			if len(want) == 0 || len(want[0])+len(want[1]) == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got\n%q, want\n%q", got, want)
			}
		})
	}
}

// trapping reads a program of wazero's own tests.
func trapping(t *testing.T, language string) []byte {
	t.Helper()
	file := filepath.Join(wazeroDir(t), "internal", "testing", "dwarftestdata", "testdata", language, "main.wasm")
	module, err := os.ReadFile(file)
	if err == nil {
		return module
	}
	if module, err = exec.Command("xz", "-dc", file+".xz").Output(); err != nil {
		t.Skip("NOT TESTED: source lines of ", language, ": the module cache has no such program, or there is no xz: ", err)
	}
	return module
}

// TestPlacesOfC compiles a program with the newest DWARF, and expects each of its lines.
func TestPlacesOfC(t *testing.T) {
	const source = `static int divide(int a, int b) {
  volatile int zero = b;
  return a /
         zero;
}
__attribute__((noinline)) int outer(int n) {
  int sum = 0;
  for (int i = 0; i < 100; i++) sum += i;
  return divide(sum, n);
}
void _start(void) {
  outer(0);
  outer(1);
}
`
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip("NOT TESTED: source lines of C with DWARF 5: clang-19 is not installed (Debian packages clang-19 and lld-19)")
	}
	for _, flags := range [][]string{{"-O0", "-gdwarf-4"}, {"-O2", "-gdwarf-5"}} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "program.c"), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(clang, append(flags, "--target=wasm32", "-g", "-nostdlib", "-o", "program.wasm", "program.c")...)
		c.Dir = dir
		if said, err := c.CombinedOutput(); err != nil {
			t.Skipf("NOT TESTED: source lines of C with DWARF 5: clang-19 does not compile for WebAssembly (Debian package lld-19): %v %s", err, said)
		}
		original, err := os.ReadFile(filepath.Join(dir, "program.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		metered, err := meter.Instrument(original, meter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(ourLines(t, original, crash(t, metered)))
		want := "[[program.c:3:12] [program.c:9:10] [program.c:12:3]]"
		if flags[0] == "-O2" {
			want = "[[program.c:3:12 program.c:9:10] [program.c:12:3]]"
		}
		if got != want {
			t.Errorf("%v: got %s, want %s", flags, got, want)
		}
	}
}

// TestPlacesThatAreNotThere asks for lines that a module cannot have.
func TestPlacesThatAreNotThere(t *testing.T) {
	plain := guest(t)
	places, err := meter.Places(plain, meter.Options{}, []uint64{1, 2, 1 << 60})
	if err != nil || len(places) != 3 || places[0] != nil {
		t.Errorf("%v %v", places, err)
	}
	metered, err := meter.Instrument(plain, meter.Options{})
	if err != nil || bytes.Contains(metered, []byte(".debug_")) {
		t.Error("a module without lines got some")
	}
	if _, err := meter.Places([]byte("no module"), meter.Options{}, nil); err == nil {
		t.Error("places of what is no module")
	}
}

// withDebug is a module of one function that traps, with debug sections.
func withDebug(sections map[string][]byte) []byte {
	module := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x05\x01\x03\x00\x00\x0b")
	for name, content := range sections {
		body := append(append(binary.AppendUvarint(nil, uint64(len(name))), name...), content...)
		module = append(append(append(module, 0), binary.AppendUvarint(nil, uint64(len(body)))...), body...)
	}
	return module
}

// debugSections gives those of a module that have to do with lines.
func debugSections(module []byte) map[string][]byte {
	all := map[string][]byte{}
	for at := 8; at < len(module); {
		id := module[at]
		size, n := binary.Uvarint(module[at+1:])
		body := module[at+1+n:][:size]
		at += 1 + n + int(size)
		if id == 0 {
			length, n := binary.Uvarint(body)
			if name := string(body[n:][:length]); strings.HasPrefix(name, ".debug_") {
				all[name] = body[n+int(length):]
			}
		}
	}
	return all
}

// FuzzPlaces gives debug sections that are anything: nothing may crash, hang or take much memory.
func FuzzPlaces(f *testing.F) {
	seed := func(sections map[string][]byte) {
		f.Add(sections[".debug_abbrev"], sections[".debug_info"], sections[".debug_line"], sections[".debug_ranges"], sections[".debug_str"])
	}
	// What Instrument writes is DWARF as well.
	metered, err := meter.Instrument(withDebug(map[string][]byte{".debug_info": {0}, ".debug_line": {0}}), meter.Options{})
	if err != nil {
		f.Fatal(err)
	}
	seed(debugSections(metered))
	if module, err := os.ReadFile(filepath.Join(wazeroDir(f), "internal/testing/dwarftestdata/testdata/zig-cc/main.wasm")); err == nil {
		seed(debugSections(module))
	}
	// DWARF 5, with more folders than there is memory.
	giant := "\x40\x00\x00\x00\x05\x00\x04\x00\x20\x00\x00\x00\x01\x01\x01\x00\x01\x0a\x00\x01\x01\x01\x01\x00\x00\x00\x01\x01\x01\x08\xff\xff\xff\xff\x7f/\x00"
	tampered := debugSections(metered)
	tampered[".debug_line"] = []byte(giant)
	seed(tampered)
	f.Fuzz(func(t *testing.T, abbrev, info, line, ranges, str []byte) {
		module := withDebug(map[string][]byte{".debug_abbrev": abbrev, ".debug_info": info, ".debug_line": line, ".debug_ranges": ranges, ".debug_str": str,
			".debug_line_str": str, ".debug_rnglists": ranges, ".debug_addr": ranges, ".debug_str_offsets": str})
		places, err := meter.Places(module, meter.Options{}, []uint64{7, 8, 9, 10, 1000})
		if err != nil || len(places) != 5 {
			t.Fatalf("%d places, %v", len(places), err)
		}
	})
}
