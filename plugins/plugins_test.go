package plugins_test

import (
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/plugins"
)

// TestEmbeddedPackagesOpen holds for those that were built; a fresh checkout has none.
func TestEmbeddedPackagesOpen(t *testing.T) {
	count := 0
	for name, read := range plugins.All() {
		b, err := bundle.OpenFunc(read)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b.Manifest.Plugin != name {
			t.Errorf("%s holds the plugin %s", name, b.Manifest.Plugin)
		}
		count++
	}
	if count == 0 {
		t.Skip("no plugin is built: go run ./plugins/build")
	}
}
