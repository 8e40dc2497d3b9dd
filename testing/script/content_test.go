package script_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/riposte-soar/riposte/testing/lab"
	"github.com/riposte-soar/riposte/testing/lab/content"
)

// overlay writes the lab's content into dir, except for files that are there already. Places for addresses of the lab, such as {{.sink}}, are
// filled in these too.
func overlay(dir string, l *lab.Lab) error {
	base := dir + ".lab"
	if err := content.Write(base, l.Addresses(), l.Secrets()); err != nil {
		return err
	}
	err := filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		target := filepath.Join(dir, strings.TrimPrefix(path, base))
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "secrets": // connectors know where they lie
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		}
		if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Rename(path, target)
	})
	if err != nil {
		return err
	}
	return fill(dir, l, filepath.Join(base, "secrets"))
}

// fill puts the addresses of the lab into the connectors of a folder.
func fill(dir string, l *lab.Lab, secrets string) error {
	pairs := []string{"{{.secrets}}", secrets}
	for name, address := range l.Addresses() {
		pairs = append(pairs, "{{."+name+"}}", address)
	}
	r := strings.NewReplacer(pairs...)
	files, err := filepath.Glob(filepath.Join(dir, "connectors", "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(r.Replace(string(text))), 0o644); err != nil {
			return err
		}
	}
	return nil
}
