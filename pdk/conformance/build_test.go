package conformance_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
)

// reference is the language that the others are compared with.
const reference = "go"

// languages are those that have a kit, the reference first.
func languages(t *testing.T) []author.Language {
	t.Helper()
	all := author.Languages()
	for i, l := range all {
		if l.Name == reference {
			all[0], all[i] = all[i], all[0]
		}
	}
	return all
}

// build makes the plugin of a language, so many times, and each time the same. The folder has no manifest of its own: that of this package goes
// for all.
func build(t testing.TB, l author.Language, times int) *bundle.Bundle {
	t.Helper()
	if err := l.Missing(); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	folder, err := filepath.Abs(l.Name)
	if err != nil {
		t.Fatal(err)
	}
	yaml, err := os.ReadFile("plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := bundle.ManifestFromYAML(append(yaml, strings.Join(l.Extra, "\n")+"\n"...), "plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	head, err := bundle.ParseManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	first := compile(t, l, folder, head)
	for range times - 1 {
		if again := compile(t, l, folder, head); !bytes.Equal(first.Module, again.Module) {
			t.Error("two builds differ")
		}
	}
	parts := bundle.Parts{Manifest: manifest, Engine: first.Engine}
	if len(first.Assets) > 0 {
		if parts.Assets, err = bundle.PackAssets(first.Assets); err != nil {
			t.Fatal(err)
		}
	}
	packed, err := parts.Pack(first.Module)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d KiB", l.Title, len(packed)>>10)
	return b
}

func compile(t testing.TB, l author.Language, folder string, head *abi.Manifest) *author.Made {
	t.Helper()
	made, err := l.Make(t.Context(), folder, head, author.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}
