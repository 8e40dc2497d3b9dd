package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// pollEvery is how often a folder is looked at. A plugin's folder is small: to look costs less than a millisecond, needs nothing of the operating
// system, and sees what comes over a network as well.
const pollEvery = 100 * time.Millisecond

// settled is how long a folder must stay as it is before a change counts: an editor empties a file before it writes it.
const settled = 10 * time.Millisecond

// Watch looks at the files of a plugin's folder, and calls fn at once and then after each change, until ctx is over. What happens while fn runs
// counts as a change too, but for files of these names.
func Watch(ctx context.Context, dir string, but []string, fn func()) error {
	seen, err := sight(dir, but)
	for err == nil {
		fn()
		seen, err = change(ctx, dir, but, seen)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// change waits until a folder is not as it was, and gives what it is like then.
func change(ctx context.Context, dir string, but []string, before map[string]string) (map[string]string, error) {
	last, wait := before, pollEvery
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		now, err := sight(dir, but)
		switch {
		case err != nil:
			return nil, err
		case !maps.Equal(last, now):
			last, wait = now, settled
		case !maps.Equal(before, now):
			return now, nil
		default:
			wait = pollEvery
		}
	}
}

// sight tells size and time of each file that a build or a test may read. Hidden files, packages and what compilers leave are none.
func sight(dir string, but []string) (map[string]string, error) {
	seen := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if name != dir && errors.Is(err, fs.ErrNotExist) {
				return nil // it has just gone
			}
			return err
		}
		switch base := entry.Name(); {
		case entry.IsDir() && name != dir && (base[0] == '.' || slices.Contains([]string{"target", "node_modules", "build"}, base)):
			return fs.SkipDir
		case entry.IsDir() || base[0] == '.' || strings.HasSuffix(base, ".wasm") || strings.HasSuffix(base, ".part") || slices.ContainsFunc(but, func(f string) bool { return filepath.Base(f) == base }):
			return nil
		}
		if info, err := entry.Info(); err == nil { // it may be gone by now
			seen[name] = fmt.Sprint(info.Size(), info.ModTime())
		}
		return nil
	})
	return seen, err
}
