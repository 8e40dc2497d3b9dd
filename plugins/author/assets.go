package author

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/riposte-soar/riposte/host/bundle"
)

// CollectAssets archives what of a plugin's folder an operator may want to read: README, LICENSE, CHANGELOG, docs, tests and scripts. Links and
// hidden files stay behind. It is nil if there is nothing.
func CollectAssets(dir string) ([]byte, error) { return packAssets(dir, nil) }

func packAssets(dir string, more map[string][]byte) ([]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		wanted := bundle.IsDocument(name) && !entry.IsDir() || entry.IsDir() && bundle.IsDocument(name+"/")
		switch {
		case entry.IsDir() && (!wanted || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case !wanted || !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), "."):
			return nil
		}
		files[name], err = ReadBounded(filepath.Join(dir, filepath.FromSlash(name)), bundle.MaxAssets)
		return err
	})
	maps.Copy(files, more)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	return bundle.PackAssets(files)
}
