// Package author makes plugins: a new folder from the template of a language, and the package of a folder. The programs that compile are
// those of the author's machine; what is missing is named, with the way to get it.
package author

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// ManifestFile is what an author writes beside the program.
const ManifestFile = "plugin.yaml"

// Language is how plugins in one language are made.
type Language struct {
	// Name is what the manifest's languages and `plugin new --lang` say.
	Name, Title string
	// Also are other names that people try.
	Also []string
	// Template is the language's folder in kits.Files.
	Template string
	// Kit says what of kits.Files comes with a new plugin: files and folders, and where they lie below KitFolder.
	Kit map[string]string
	// Extra are further lines of the manifest of a new plugin, such as "runtime: python@3.11".
	Extra []string
	// Sources are the paths in this repository of what plugins that lie in it are made of, besides their own folder.
	Sources []string
	// Tools are the programs that must be on the author's machine.
	Tools []Tool
	// Ready, if it is set, gives a fault for what is missing beside them, with the way to get it.
	Ready func() error
	// Compile makes the module.
	Compile func(ctx context.Context, p *Project) (*Made, error)
}

// Tool is a program that a language needs.
type Tool struct {
	Name string // as it stands in PATH
	Get  string // how to get it: one sentence
}

// Languages lists what plugins can be written in.
func Languages() []Language {
	return []Language{golang(), rust(), python(), javascript(), lua(), perl(), c(), assemblyscript()}
}

// Find gives the language of this name, title or other name.
func Find(name string) (Language, error) {
	var names []string
	for _, l := range Languages() {
		if slices.Contains(append(l.Also, l.Name, strings.ToLower(l.Title)), strings.ToLower(name)) {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return Language{}, abi.NewFault(abi.Invalid, fmt.Sprintf("there is no kit for the language %q", name),
		"there is one for "+strings.Join(names, ", ")+"; a module of any other is packed with riposte plugin pack")
}

// LanguageOf gives the language that a manifest names first; file is where it stands.
func LanguageOf(head *abi.Manifest, file string) (Language, error) {
	if len(head.Languages) == 0 {
		return Language{}, &abi.Fault{Kind: abi.Invalid, Message: "languages is missing", Where: file, Hint: "it says what the plugin is written in: languages: [go]"}
	}
	l, err := Find(head.Languages[0])
	if err != nil {
		fault := *abi.AsFault(err)
		fault.Where = file
		return l, &fault
	}
	return l, nil
}

// Missing gives a fault that names what the language needs and this machine lacks, or nil.
func (l Language) Missing() error {
	if err := l.missingTool(); err != nil || l.Ready == nil {
		return err
	}
	return l.Ready()
}

// missingTool is Missing without Ready: that finds what Compile finds too, and runs compilers for it.
func (l Language) missingTool() error {
	var names, ways []string
	for _, t := range l.Tools {
		if found, _ := lookPath(t.Name); found == "" {
			names, ways = append(names, t.Name), append(ways, t.Get)
		}
	}
	if names == nil {
		return nil
	}
	return abi.NewFault(abi.Failed, fmt.Sprintf("%s needs %s, which is not in PATH", l.Title, strings.Join(names, " and ")), strings.Join(ways, "; "))
}

// Project is a plugin's folder that is being built.
type Project struct {
	Dir      string
	Manifest abi.Manifest
	// Scratch is an empty folder that is gone after the build.
	Scratch string
	// Quick asks for a module soon rather than for a small or a fast one, where the compiler knows the difference.
	Quick bool
	// Kept is a folder for what the next build of this plugin can use again; empty: there is none.
	Kept string
	// Bare says that there will be no bill of materials.
	Bare bool
	// Say tells the author what is going on; it is for what takes long.
	Say func(what string)
}

// Made is what a compiler made.
type Made struct {
	Module []byte
	// Assets go into the package beside README, LICENSE, CHANGELOG, docs, tests and scripts: for example the files of a script.
	Assets map[string][]byte
	// Engine is the digest of what the scripts run in; empty for a module that is compiled.
	Engine string
	// Parts are what it was made of, for the bill of materials, if the compiler knows; of a module in Go they are read out of the module.
	Parts []bundle.Component
}

// Package is a plugin that was built, and checked as a server checks it.
type Package struct {
	*bundle.Bundle
	File []byte
	Took time.Duration
}

// Options of a build.
type Options struct {
	// Say is called with what is going on, if it is set.
	Say func(what string)
	// Quick is for a module that is tried out while it is written: it is there soon, but larger and slower, and its instructions are others.
	Quick bool
	// Kept is a folder for what the next build of the same plugin can use again, if it is set. What lies there came from the same plugin.
	Kept string
	// Bare leaves assets and bill of materials out.
	Bare bool
	// Unchecked leaves it to the caller, who installs the package at once, to find out what is wrong with scripts.
	Unchecked bool
}

// Build makes the package of the plugin in a folder. Errors name the file, and the line where there is one.
func Build(ctx context.Context, dir string, o Options) (*Package, error) {
	began := time.Now()
	raw, head, err := ReadManifest(filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, err
	}
	l, err := LanguageOf(head, filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, err
	}
	made, err := l.Make(ctx, dir, head, o)
	if err != nil {
		return nil, err
	}
	parts := bundle.Parts{Manifest: raw, Engine: made.Engine}
	if o.Bare {
		if len(made.Assets) > 0 {
			parts.Assets, err = bundle.PackAssets(made.Assets)
		}
	} else if parts.Assets, err = packAssets(dir, made.Assets); err == nil {
		if made.Parts != nil {
			parts.SBOM, err = bundle.Bill(head, made.Parts)
		} else {
			parts.SBOM, err = bundle.SBOM(made.Module, head)
		}
	}
	if err != nil {
		return nil, err
	}
	p, err := pack(made.Module, parts)
	if err == nil && p.Engine() != "" && !o.Unchecked {
		err = check(ctx, p.Bundle)
	}
	if err != nil {
		return nil, err
	}
	p.Took = time.Since(began)
	return p, nil
}

// Make compiles the plugin in a folder.
func (l Language) Make(ctx context.Context, dir string, head *abi.Manifest, o Options) (*Made, error) {
	if err := l.missingTool(); err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "riposte-build-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	if o.Say == nil {
		o.Say = func(string) {}
	}
	return l.Compile(ctx, &Project{Dir: dir, Manifest: *head, Scratch: scratch, Quick: o.Quick, Kept: o.Kept, Bare: o.Bare, Say: o.Say})
}

// Pack packs a module that was compiled by other means, with the manifest in a file, and checks the package. Parts of it that are missing are
// filled in: the manifest, and the bill of materials of a module in Go.
func Pack(module []byte, manifestFile string, parts bundle.Parts) (*Package, error) {
	raw, head, err := ReadManifest(manifestFile)
	if err != nil {
		return nil, err
	}
	parts.Manifest = raw
	if parts.SBOM == nil {
		if parts.SBOM, err = bundle.SBOM(module, head); err != nil {
			return nil, err
		}
	}
	return pack(module, parts)
}

func pack(module []byte, parts bundle.Parts) (*Package, error) {
	file, err := parts.Pack(module)
	if err != nil {
		return nil, err
	}
	b, err := bundle.Open(file)
	if err != nil {
		return nil, err
	}
	return &Package{Bundle: b, File: file}, nil
}

// ReadManifest reads plugin.yaml, as JSON and decoded.
func ReadManifest(file string) ([]byte, *abi.Manifest, error) {
	text, err := ReadBounded(file, bundle.MaxManifest)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil, abi.NewFault(abi.NotFound, "there is no "+file, "run this in a plugin's folder, or name one; riposte plugin new makes one")
	}
	if err != nil {
		return nil, nil, err
	}
	raw, err := bundle.ManifestFromYAML(text, file)
	if err != nil {
		return nil, nil, err
	}
	var head abi.Manifest
	return raw, &head, json.Unmarshal(raw, &head)
}

// ReadBounded reads a file that may have at most limit bytes.
func ReadBounded(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, abi.NewFault(abi.TooLarge, fmt.Sprintf("%s has %d KiB, at most %d are possible", name, info.Size()>>10, limit>>10), "")
	}
	return os.ReadFile(name)
}
