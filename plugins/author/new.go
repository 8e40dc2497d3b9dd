package author

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	kits "github.com/riposte-soar/riposte/pdk"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// KitFolder is where the kit lies in a plugin's folder.
const KitFolder = "riposte-pdk"

// templateSuffix ends the names of templates.
const templateSuffix = ".tmpl"

// Data is what templates know.
type Data struct {
	Name                    string // of the plugin: lower-case letters, digits and dashes
	Ident                   string // the same as a name in a program: dashes are underscores
	Title                   string // the same for people
	Language, LanguageTitle string
	Extra                   []string // further lines of the manifest
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// New makes the folder of a new plugin: the template that all languages share, that of the language, and the kit. It gives the names of the
// files, relative to dir, which must not be there or be empty.
func New(dir, name string, l Language) ([]string, error) {
	if !validName.MatchString(name) || len(name) > 64 {
		return nil, abi.NewFault(abi.Invalid, fmt.Sprintf("%q is no name for a plugin", name), "use lower-case letters, digits and dashes, such as acme-edr")
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, abi.NewFault(abi.Conflict, dir+" is there, and not empty", "choose another name, or remove it")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := map[string][]byte{}
	title := strings.ReplaceAll(name, "-", " ")
	data := Data{Name: name, Ident: strings.ReplaceAll(name, "-", "_"), Title: strings.ToUpper(title[:1]) + title[1:],
		Language: l.Name, LanguageTitle: l.Title, Extra: l.Extra}
	for _, from := range []string{"template", l.Template} {
		if err := fill(files, from, data); err != nil {
			return nil, err
		}
	}
	for from, to := range l.Kit {
		if err := copyKit(files, from, path.Join(KitFolder, to)); err != nil {
			return nil, err
		}
	}
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(target, files[name], 0o644); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// fill adds the files of a template.
func fill(files map[string][]byte, from string, data Data) error {
	return fs.WalkDir(kits.Files, from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := kits.Files.ReadFile(name)
		if err != nil {
			return err
		}
		target, templated := strings.CutSuffix(strings.TrimPrefix(name, from+"/"), templateSuffix)
		if !templated {
			files[target] = text
			return nil
		}
		t, err := template.New(name).Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var out bytes.Buffer
		err = t.Execute(&out, data)
		files[target] = out.Bytes()
		return err
	})
}

// copyKit adds a file or a folder of a kit, without its tests and its template.
func copyKit(files map[string][]byte, from, to string) error {
	return fs.WalkDir(kits.Files, from, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "template":
			return fs.SkipDir
		case entry.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := kits.Files.ReadFile(name)
		files[path.Join(to, strings.TrimPrefix(name, from))] = text
		return err
	})
}
