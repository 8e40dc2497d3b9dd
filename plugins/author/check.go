package author

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
)

// check evaluates the scripts of a package as a server does when it installs it, so that a mistake is known when the plugin is built, with file
// and line. The compiled engine stays in the user's cache, which servers of the same user share.
func check(ctx context.Context, b *bundle.Bundle) (err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		if cache, err = os.MkdirTemp("", "riposte-cache-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(cache)) }()
	}
	folder := filepath.Join(cache, "riposte", "modules")
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		return err
	}
	h, err := host.New(host.Options{CacheDir: folder})
	if err != nil {
		return err
	}
	return errors.Join(h.Check(ctx, b), h.Close())
}
