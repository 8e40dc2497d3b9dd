package engines_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/engines"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func TestEnginesAreFoundByRuntimeAndDigest(t *testing.T) {
	dir := t.TempDir()
	f := engines.Folder(dir)
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte("an engine"))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	file := "sha256-" + hex.EncodeToString(sum[:]) + ".wasm"
	write(file, "an engine")
	write("lua@5.4", digest+"\n")
	if got, err := f.Newest("lua@5.4"); err != nil || got != digest {
		t.Errorf("the newest engine is %q, %v", got, err)
	}
	if got, err := f.Read(digest); err != nil || string(got) != "an engine" {
		t.Errorf("the engine is %q, %v", got, err)
	}

	write("bad@1", "sha256:../../etc/passwd")
	write(file, "another engine")
	other := "sha256:" + strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		err  error
		kind abi.Kind
		want string
	}{
		"a runtime without an engine":     {second(f.Newest("lua@9")), abi.NotFound, "there is bad@1, lua@5.4; build it with `make engines ENGINES=lua`"},
		"a runtime that is none":          {second(f.Newest("../lua")), abi.Invalid, "python@3.11"},
		"an index without a digest":       {second(f.Newest("bad@1")), abi.Internal, "bad@1"},
		"an engine that is not there":     {second(f.Read(other)), abi.NotFound, other},
		"a digest that is none":           {second(f.Read("sha256:../x")), abi.Invalid, "sha256:../x"},
		"an engine whose bytes are other": {second(f.Read(digest)), abi.Conflict, file},
	} {
		if test.err == nil || abi.AsFault(test.err).Kind != test.kind || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s with %q", name, test.err, test.kind, test.want)
		}
	}
}

func TestFoldersAreLookedThroughInOrder(t *testing.T) {
	first, last := t.TempDir(), t.TempDir()
	t.Setenv(engines.DirEnv, last)
	sum := sha256.Sum256([]byte("an engine"))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	folders := engines.After(engines.Folder(first))
	if _, err := folders.Read(digest); err == nil || !strings.Contains(err.Error(), "is not in "+first+", nor in "+last) || !strings.Contains(err.Error(), "riposte plugin engine") {
		t.Errorf("an engine that is nowhere: %v", err)
	}
	if err := os.WriteFile(filepath.Join(last, engines.File(digest)), []byte("an engine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := folders.Read(digest); err != nil || string(got) != "an engine" {
		t.Errorf("got %q, %v", got, err)
	}
	// One that was changed is said to be, although another folder has it.
	if err := os.WriteFile(filepath.Join(first, engines.File(digest)), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := folders.Read(digest); err == nil || !strings.Contains(err.Error(), filepath.Join(first, engines.File(digest))) {
		t.Errorf("a changed engine: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
