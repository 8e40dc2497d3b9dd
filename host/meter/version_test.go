package meter_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/riposte-soar/riposte/host/meter"
)

// madeBy is the version that the digest below is of, and the digest itself.
const madeBy, madeDigest = "meter/5", "be5b803b0cedac1d82a91fc9b6888157b158872f0f8505fe1054458ff44b9dae"

// TestVersion: caches of rewritten modules, and the fuel on tapes, are told apart by meter.Version alone, so whoever changes what a rewrite gives must
// raise it, also for a state that is never committed: what it left in a cache is taken for that of the next.
func TestVersion(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(wazeroDir(t), "internal/integration_test/spectest/v2/testdata/*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("NOT TESTED: the module cache has no official tests")
	}
	modules := slices.Concat(shapes, [][]byte{tight().module("", "\x00\x01"), dispatching(8, around)})
	for _, file := range files {
		module, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, module)
	}
	all, rewritten := sha256.New(), 0
	for _, module := range modules {
		out, err := meter.Instrument(module, meter.Options{ExportGlobals: true})
		if err != nil {
			continue
		}
		rewritten++
		all.Write(out)
	}
	if rewritten < len(modules)/4 {
		t.Errorf("%d of %d modules could be rewritten", rewritten, len(modules))
	}
	t.Logf("%d of %d modules", rewritten, len(modules))
	digest := hex.EncodeToString(all.Sum(nil))
	switch {
	case meter.Version != madeBy:
		t.Errorf("the version is %s: write it here with the digest %s", meter.Version, digest)
	case digest != madeDigest:
		t.Errorf("%s gives other bytes than before: raise meter.Version, and write it here with the digest %s", madeBy, digest)
	}
}
