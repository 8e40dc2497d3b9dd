package harness

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits of the cache of modules that are tried out: each build makes a new module, of some 10 MB when it is compiled.
const (
	maxTrials = 1 << 30
	inUse     = 5 * time.Minute // what was written since then may be about to be loaded
)

// imageSuffix ends the names of images: the state in which modules begin.
const imageSuffix = ".riposte-image"

// trial is a file of the cache.
type trial struct {
	name    string
	size    int64
	written time.Time
}

// Trim makes room in a folder of compiled modules when there are too many: it removes the images, which are soon made again, and then the oldest
// code. Code never goes while images of it stay: they would count as installed.
func Trim(dir string, now time.Time) error {
	images, code, err := trials(dir)
	total := int64(0)
	for _, f := range slices.Concat(images, code) {
		total += f.size
	}
	if total <= maxTrials {
		return err
	}
	for _, f := range images {
		if os.Remove(f.name) == nil {
			total -= f.size
		}
	}
	slices.SortFunc(code, func(a, b trial) int { return a.written.Compare(b.written) })
	for _, f := range code {
		if total <= maxTrials || now.Sub(f.written) < inUse {
			break
		}
		if os.Remove(f.name) == nil {
			total -= f.size
		}
	}
	return err
}

// trials lists the images and the other files below a folder.
func trials(dir string) (images, code []trial, err error) {
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another process removed it, or there is nothing yet
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return nil // the same
		}
		list := &code
		if strings.HasSuffix(name, imageSuffix) {
			list = &images
		}
		*list = append(*list, trial{name, info.Size(), info.ModTime()})
		return nil
	})
	return images, code, err
}
