package plugins_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/plugins/author"
)

// Some of the shipped plugins are written in other languages too, in plugins/LANGUAGE/NAME: the same manifest, the same tests.

// inEach runs a test with a plugin in every language that it is written in.
func inEach(t *testing.T, plugin string, test func(t *testing.T, b *bundle.Bundle)) {
	t.Run("go", func(t *testing.T) { test(t, shared.plugin(t, plugin)) })
	for _, folder := range otherLanguages(t, plugin) {
		t.Run(filepath.Base(filepath.Dir(folder)), func(t *testing.T) { test(t, shared.inFolder(t, folder)) })
	}
}

// otherLanguages lists the folders of a plugin, or of all with "*", in languages other than Go.
func otherLanguages(t *testing.T, plugin string) (folders []string) {
	t.Helper()
	files, err := filepath.Glob("../../plugins/*/" + plugin + "/plugin.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d folders of %s: %v", len(files), plugin, err)
	}
	for _, file := range files {
		folders = append(folders, filepath.Dir(file))
	}
	return folders
}

// inFolder builds and installs the plugin in a folder.
func (b *bench) inFolder(t *testing.T, folder string) *bundle.Bundle {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if found, ok := b.bundles[folder]; ok {
		return found
	}
	_, head, err := author.ReadManifest(filepath.Join(folder, author.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	l, err := author.LanguageOf(head, folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Missing(); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	p, err := author.Build(t.Context(), folder, author.Options{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.host.Install(t.Context(), p.Bundle); err != nil {
		t.Fatal(err)
	}
	b.bundles[folder] = p.Bundle
	return p.Bundle
}

func TestOtherLanguagesHaveTheSameManifest(t *testing.T) {
	read := func(file string) *abi.Manifest {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := bundle.ManifestFromYAML(text, file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := bundle.ParseManifest(raw)
		if err != nil {
			t.Fatal(err)
		}
		m.Languages, m.Runtime, m.Entry = nil, "", ""
		return m
	}
	for _, folder := range otherLanguages(t, "*") {
		if name := filepath.Base(folder); !reflect.DeepEqual(read(filepath.Join(folder, author.ManifestFile)), read("../../plugins/"+name+"/plugin.yaml")) {
			t.Errorf("%s promises something else than plugins/%s", folder, name)
		}
	}
}
