package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/plugins/author"
)

// writeWhole writes a file so that it is there whole, or as it was before.
func writeWhole(name string, content []byte, mode os.FileMode) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return inFile(name, syscall.EISDIR, "the name of a file to write")
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".part-*")
	if err != nil {
		return cannotWrite(name, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return cannotWrite(name, err)
	}
	return nil
}

// cannotWrite says why a file cannot be written. If its folder is missing, that is named.
func cannotWrite(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return inFile(name, err, "a folder that is there: mkdir -p "+quoted(filepath.Dir(name)))
	}
	return inFile(name, err, "")
}

// aPackage says what a command wants that takes the file of a package.
const aPackage = "a package, as riposte plugin build writes it"

// openPackage opens a package. What is wrong with it names its file; if that is not there, those that are near.
func openPackage(name string) (*bundle.Bundle, error) {
	b, err := bundle.OpenFile(name)
	if err == nil {
		return b, nil
	}
	return nil, inFile(name, err, aPackage+packagesIn(filepath.Dir(name), err)+packagesIn(name, err))
}

// packagesIn lists the packages of a folder, where a package was not there or was a folder.
func packagesIn(dir string, err error) string {
	const most = 5
	found, _ := filepath.Glob(filepath.Join(dir, "*.wasm"))
	if len(found) == 0 || len(found) > most || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EISDIR) {
		return ""
	}
	return "; there is " + strings.Join(found, ", ")
}

// readFile reads a file that the command line names, which should be what is expected.
func readFile(name string, limit int64, expected string) ([]byte, error) {
	text, err := author.ReadBounded(name, limit)
	if err != nil {
		return nil, inFile(name, err, expected)
	}
	return text, nil
}

// written is a file that a command made, and the package that it is, is about or belongs to.
type written struct {
	File   string `json:"file,omitempty"`
	Plugin string `json:"plugin"` // name@version
	Digest string `json:"digest"` // of the package
	Signer string `json:"signer,omitempty"`
	Key    string `json:"key,omitempty"`    // id of the one that signed
	Engine string `json:"engine,omitempty"` // file of the engine
}

// writeNew writes a file that must not be there yet.
func writeNew(name string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return cannotWrite(name, err)
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
