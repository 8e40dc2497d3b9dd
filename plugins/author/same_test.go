package author_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/plugins/author"
)

// TestShippedPluginsAreTheSameAnywhere builds each plugin that we ship where it lies and in a copy of the repository in another folder.
func TestShippedPluginsAreTheSameAnywhere(t *testing.T) {
	shareCrates(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "Cargo.toml", "Cargo.lock"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(elsewhere, name), text)
	}
	for _, folder := range []string{"pdk", "plugins"} {
		if err := os.CopyFS(filepath.Join(elsewhere, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	var folders []string
	for _, pattern := range []string{"plugins/*/", "plugins/rust/*/", "plugins/python/*/"} {
		found, err := filepath.Glob(filepath.Join(root, pattern, author.ManifestFile))
		if err != nil || len(found) < 2 {
			t.Fatalf("%s: %d plugins, %v", pattern, len(found), err)
		}
		folders = append(folders, found...)
	}
	for _, file := range folders {
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.ToSlash(folder), func(t *testing.T) {
			_, head, err := author.ReadManifest(file)
			if err != nil {
				t.Fatal(err)
			}
			l, err := author.LanguageOf(head, file)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Missing(); err != nil {
				t.Skip("NOT TESTED: ", err)
			}
			var made [2]*author.Package
			for i, root := range []string{root, elsewhere} {
				if made[i], err = author.Build(t.Context(), filepath.Join(root, folder), author.Options{Bare: true}); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(made[0].File, made[1].File) {
				t.Errorf("%s here, %s elsewhere", made[0].Digest, made[1].Digest)
			}
		})
	}
}

// TestKeptObjects: what a build keeps for the next one is used only while it is what that would make.
func TestKeptObjects(t *testing.T) {
	l, err := author.Find("c")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Missing(); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	dir, kept := filepath.Join(t.TempDir(), "acme-list"), t.TempDir()
	if _, err := author.New(dir, "acme-list", l); err != nil {
		t.Fatal(err)
	}
	var first []byte
	for _, o := range []author.Options{{}, {Kept: kept}, {Kept: kept}} {
		p, err := author.Build(t.Context(), dir, o)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, p.File) {
			t.Error("the objects that were kept make another module")
		}
		first = p.File
	}
	if objects, err := filepath.Glob(filepath.Join(kept, "*", "*.o")); err != nil || len(objects) < 2 {
		t.Errorf("%d objects were kept, %v", len(objects), err)
	}
	writeFile(t, filepath.Join(dir, author.KitFolder, "c", "json.c"), []byte("nothing"))
	if _, err := author.Build(t.Context(), dir, author.Options{Kept: kept}); err == nil || !strings.Contains(err.Error(), "json.c:1:1") {
		t.Errorf("the kit is no program, and the build gave %v", err)
	}
}
