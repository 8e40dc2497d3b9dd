// Package engines finds the engines that scripts run in. An engine is a WebAssembly module, known by its digest; a package of scripts says
// which one it was made for, and runs in no other. Engines lie in a folder:
//
//	sha256-HEX.wasm    an engine, by its digest
//	python@3.11        for each runtime the digest of its newest engine, for whoever makes a package
//
// `make engines` builds them.
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

// Limits of what lies in a folder of engines, in bytes.
const (
	maxEngine = 64 << 20
	maxIndex  = 1 << 10
)

var validDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

var validRuntime = regexp.MustCompile(`^[a-z]+@[a-z0-9][a-z0-9.-]*$`)

// Newest gives the digest of the newest engine for a runtime, such as "python@3.11".
func (f Folder) Newest(runtime string) (string, error) {
	if !validRuntime.MatchString(runtime) {
		return "", abi.NewFault(abi.Invalid, fmt.Sprintf("%q is no runtime", runtime), "a runtime is a name and a version, such as python@3.11")
	}
	text, err := f.read(runtime, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return "", f.missing("the engine " + runtime)
	}
	digest := strings.TrimSpace(string(text))
	if err == nil && !validDigest.MatchString(digest) {
		err = fmt.Errorf("%s does not hold the digest of an engine", filepath.Join(string(f), runtime))
	}
	return digest, err
}

// Read gives the engine with a digest.
func (f Folder) Read(digest string) ([]byte, error) {
	if !validDigest.MatchString(digest) {
		return nil, abi.NewFault(abi.Invalid, fmt.Sprintf("%q is not the digest of an engine", digest), "")
	}
	name := strings.Replace(digest, ":", "-", 1) + ".wasm"
	module, err := f.read(name, maxEngine)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.missing("the engine " + digest)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(module); hex.EncodeToString(sum[:]) != strings.TrimPrefix(digest, "sha256:") {
		return nil, &abi.Fault{Kind: abi.Conflict, Message: "the file of an engine is damaged: it does not have the digest that its name says", Where: filepath.Join(string(f), name),
			Hint: "remove it, and build it again with: make engines"}
	}
	return module, nil
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

func (f Folder) missing(what string) error {
	return abi.NewFault(abi.NotFound, what+" is not in "+string(f),
		"build it with `make engines` in a checkout of Riposte, or copy it from a machine that has it")
}
