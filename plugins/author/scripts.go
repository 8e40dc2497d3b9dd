package author

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/engines"
	kits "github.com/riposte-soar/riposte/pdk"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
)

func python() Language {
	return scriptLanguage("python@3.11", Language{Name: "python", Title: "Python", Also: []string{"py", "python3"}, Kit: map[string]string{"python/riposte.py": "../riposte.py"}}, ".py")
}

func javascript() Language {
	return scriptLanguage("js@es2023", Language{Name: "js", Title: "JavaScript",
		Kit: map[string]string{"js/riposte.js": "../riposte.js", "js/riposte.d.ts": "../riposte.d.ts"}}, ".js", ".mjs")
}

func lua() Language {
	return scriptLanguage("lua@5.4", Language{Name: "lua", Title: "Lua",
		Kit: map[string]string{"lua/riposte.lua": "../riposte.lua", "lua/riposte/codec.lua": "../riposte/codec.lua"}}, ".lua")
}

func perl() Language {
	return scriptLanguage("perl@5.42", Language{Name: "perl", Title: "Perl",
		Kit: map[string]string{"perl/Riposte.pm": "../Riposte.pm", "perl/Riposte/Codec.pm": "../Riposte/Codec.pm"}}, ".pl", ".pm")
}

// scriptLanguage completes a language whose programs are files with these endings, for an engine. The kit lies beside them, where the native
// interpreter finds it too; a folder without it gets that of this program.
func scriptLanguage(runtime string, l Language, endings ...string) Language {
	l.Template = l.Name + "/template"
	l.Extra = []string{"runtime: " + runtime, "entry: plugin" + endings[0]}
	l.Ready = func() error { _, err := newestEngine(runtime); return err }
	var kit []string // that goes into the package
	for from := range l.Kit {
		l.Sources = append(l.Sources, "pdk/"+from)
		if slices.Contains(endings, path.Ext(from)) {
			kit = append(kit, strings.TrimPrefix(from, l.Name+"/"))
		}
	}
	slices.Sort(l.Sources)
	slices.Sort(kit)
	l.Compile = func(_ context.Context, p *Project) (*Made, error) {
		if p.Manifest.Runtime == "" {
			return nil, &abi.Fault{Kind: abi.Invalid, Message: "runtime and entry are missing", Where: filepath.Join(p.Dir, ManifestFile),
				Hint: strings.Join(l.Extra, ", ")}
		}
		made := &Made{Module: bundle.Blank()}
		var err error
		manifest := filepath.Join(p.Dir, ManifestFile)
		if made.Engine, err = newestEngine(p.Manifest.Runtime); err != nil {
			fault := *abi.AsFault(err)
			fault.Where = manifest
			return nil, &fault
		}
		if made.Assets, err = scriptFiles(p.Dir, endings); err != nil {
			return nil, err
		}
		if names := slices.Sorted(maps.Keys(made.Assets)); made.Assets[p.Manifest.Entry] == nil {
			fault := &abi.Fault{Kind: abi.Invalid, Message: "there is no file " + p.Manifest.Entry + " to enter by", Where: manifest, Hint: "there are " + strings.Join(names, ", ")}
			if near := schemas.Nearest(p.Manifest.Entry, names); near != "" {
				fault.Hint = "entry: did you mean " + near + "?"
			}
			return nil, fault
		}
		for _, name := range kit {
			if made.Assets[name] != nil {
				continue
			}
			if made.Assets[name], err = kits.Files.ReadFile(l.Name + "/" + name); err != nil {
				return nil, err
			}
		}
		module, err := engines.After().Read(made.Engine)
		if err != nil {
			return nil, err
		}
		engine, err := bundle.EngineComponent(p.Manifest.Runtime, module)
		if err != nil {
			return nil, err
		}
		made.Parts = []bundle.Component{engine}
		for _, name := range kit {
			made.Parts = append(made.Parts, bundle.FileComponent(name, made.Assets[name]))
		}
		return made, nil
	}
	return l
}

func newestEngine(runtime string) (string, error) {
	folder, err := engines.Default()
	if err != nil {
		return "", err
	}
	return folder.Newest(runtime)
}

// dataFolder is the folder whose files go into a package of scripts, whatever they are.
const dataFolder = "data"

// scriptFiles reads what a package of scripts is made of: the files with these endings, and all in the folder data. Tests, documents, hidden
// files and links stay behind.
func scriptFiles(dir string, endings []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		base := path.Base(name)
		if entry.IsDir() {
			if strings.HasPrefix(base, ".") || base == "__pycache__" || base == "node_modules" || bundle.IsDocument(name+"/") {
				return fs.SkipDir
			}
			return nil
		}
		wanted := strings.HasPrefix(name, dataFolder+"/") || slices.Contains(endings, path.Ext(name)) && !isTest(base)
		if !wanted || !entry.Type().IsRegular() || strings.HasPrefix(base, ".") {
			return nil
		}
		files[name], err = ReadBounded(filepath.Join(dir, filepath.FromSlash(name)), bundle.MaxAssets)
		return err
	})
	if err == nil && len(files) == 0 {
		err = &abi.Fault{Kind: abi.Invalid, Message: fmt.Sprintf("there is no file that ends in %s", strings.Join(endings, " or ")), Where: dir,
			Hint: "the first of languages in " + ManifestFile + " says what the plugin is written in"}
	}
	return files, err
}

// isTest tells files that the test runners of Python and Node look for.
func isTest(base string) bool {
	stem := strings.TrimSuffix(base, path.Ext(base))
	return strings.HasPrefix(stem, "test_") || strings.HasSuffix(stem, "_test") || strings.HasSuffix(stem, ".test")
}
