// Package engines finds the engines that scripts run in. An engine is a WebAssembly module, known by its digest; a package of scripts says
// which one it was made for, and runs in no other. Engines lie in a folder:
//
//	sha256-HEX.wasm    an engine, by its digest
//	python@3.11        for each runtime the digest of its newest engine, for whoever makes a package
//
// `make engines` builds them. Wherever one comes from, it is held against the digest when it is read, so nobody need trust where it lay.
package engines

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Folder is where engines lie.
type Folder string

// Folders are looked through in order.
type Folders []Folder

// DirEnv is the environment variable that names the folder.
const DirEnv = "RIPOSTE_ENGINES"

// Default is the folder that DirEnv names, or else riposte/engines in the user's cache.
func Default() (Folder, error) {
	if dir := os.Getenv(DirEnv); dir != "" {
		return Folder(dir), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for engines: %w; set %s", err, DirEnv)
	}
	return Folder(filepath.Join(cache, "riposte", "engines")), nil
}

// After gives these folders, and after them the default one, if there is one.
func After(folders ...Folder) Folders {
	if folder, err := Default(); err == nil {
		folders = append(folders, folder)
	}
	return folders
}

// MaxEngine bounds an engine, in bytes.
const MaxEngine = 64 << 20

const maxIndex = 1 << 10

var validDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

var validRuntime = regexp.MustCompile(`^[a-z]+@[a-z0-9][a-z0-9.-]*$`)

// Newest gives the digest of the newest engine for a runtime, such as "python@3.11".
func (f Folder) Newest(runtime string) (string, error) {
	if !validRuntime.MatchString(runtime) {
		return "", abi.NewFault(abi.Invalid, fmt.Sprintf("%q is no runtime", runtime), "a runtime is a name and a version, such as python@3.11")
	}
	text, err := f.read(runtime, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		name, _, _ := strings.Cut(runtime, "@")
		hint := "build it with `make engines ENGINES=" + name + "` in a checkout of Riposte"
		if others := f.runtimes(); others != nil {
			hint = "there is " + strings.Join(others, ", ") + "; " + hint
		}
		return "", abi.NewFault(abi.NotFound, fmt.Sprintf("the engine %s is not in %s", runtime, f), hint)
	}
	digest := strings.TrimSpace(string(text))
	if err == nil && !validDigest.MatchString(digest) {
		err = fmt.Errorf("%s does not hold the digest of an engine", filepath.Join(string(f), runtime))
	}
	return digest, err
}

// runtimes lists those that the folder has an engine for.
func (f Folder) runtimes() (names []string) {
	entries, _ := os.ReadDir(string(f)) // without a folder there are none
	for _, entry := range entries {
		if name := entry.Name(); validRuntime.MatchString(name) && !strings.HasSuffix(name, ".inputs") { // a licence is in capitals
			names = append(names, name)
		}
	}
	return names
}

// Read gives the engine with a digest.
func (f Folder) Read(digest string) ([]byte, error) {
	if !validDigest.MatchString(digest) {
		return nil, abi.NewFault(abi.Invalid, fmt.Sprintf("%q is not the digest of an engine", digest), "")
	}
	module, err := f.read(File(digest), MaxEngine)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Folders{f}.missing(digest)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(module); hex.EncodeToString(sum[:]) != strings.TrimPrefix(digest, "sha256:") {
		return nil, &abi.Fault{Kind: abi.Conflict, Message: "the file of an engine is damaged: it does not have the digest that its name says", Where: filepath.Join(string(f), File(digest)),
			Hint: "remove it, and install the plugin that needs it again"}
	}
	return module, nil
}

// File is the name of an engine's file in a folder.
func File(digest string) string { return strings.Replace(digest, ":", "-", 1) + ".wasm" }

// Read gives the engine with a digest, from the first folder that has it.
func (f Folders) Read(digest string) ([]byte, error) {
	for _, folder := range f {
		module, err := folder.Read(digest)
		if err == nil || abi.AsFault(err).Kind != abi.NotFound {
			return module, err
		}
	}
	return nil, f.missing(digest)
}

func (f Folder) read(name string, limit int64) ([]byte, error) {
	path := filepath.Join(string(f), name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, abi.NewFault(abi.TooLarge, fmt.Sprintf("%s has %d KiB, at most %d are possible", path, info.Size()>>10, limit>>10), "")
	}
	return os.ReadFile(path)
}

func (f Folders) missing(digest string) error {
	var names []string
	for _, folder := range f {
		names = append(names, string(folder))
	}
	return abi.NewFault(abi.NotFound, fmt.Sprintf("the engine %s is not in %s", digest, strings.Join(names, ", nor in ")),
		"where the plugin was built, `riposte plugin engine FILE` writes it beside the package, from where install takes it")
}
