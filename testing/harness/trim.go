package harness

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Limits of the cache of modules that are tried out: each build makes a new module, of some 10 MB when it is compiled.
const (
	maxTrials = 1 << 30
	inUse     = time.Hour // what was written since then may be in use
)

// Trim removes the oldest compiled modules of a folder while there are too many.
func Trim(dir string, now time.Time) error {
	type file struct {
		name string
		info fs.FileInfo
	}
	var files []file
	total := int64(0)
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process removed it, or there is nothing yet
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files = append(files, file{name, info})
			total += info.Size()
		}
		return nil
	})
	slices.SortFunc(files, func(a, b file) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, f := range files {
		if total <= maxTrials || now.Sub(f.info.ModTime()) < inUse {
			break
		}
		if err := os.Remove(f.name); err == nil {
			total -= f.info.Size()
		}
	}
	return err
}
