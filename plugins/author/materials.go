package author

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// What a plugin is made of, where the module does not say it: sources and libraries by their digests, compilers and packages by their versions.

// kitName is what bills of materials call the kit.
const kitName = "riposte-pdk"

// sourceParts names files by their paths below a folder, behind a prefix.
func sourceParts(prefix, below string, files []string) ([]bundle.Component, error) {
	parts := []bundle.Component{}
	for _, file := range files {
		content, err := ReadBounded(file, bundle.MaxBytes)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(below, file)
		if err != nil {
			return nil, err
		}
		part := bundle.FileComponent(path.Join(prefix, filepath.ToSlash(name)), content)
		part.Type = "file"
		parts = append(parts, part)
	}
	return parts, nil
}

// compiler is a program that made the module and is not in it.
func compiler(name, version string) bundle.Component {
	return bundle.Component{Type: "application", Name: name, Version: version, Scope: bundle.Excluded}
}

// clangParts names the sources of a module in C, the kit, what was linked with them, and the compiler.
func (p *Project) clangParts(ctx context.Context, clang, dir, kit string) ([]bundle.Component, error) {
	own, err := filesOf("*.[ch]", dir, filepath.Join(dir, "src"))
	if err != nil {
		return nil, err
	}
	parts, err := sourceParts("", dir, own)
	if err != nil {
		return nil, err
	}
	files, err := filesOf("*.[ch]", kit)
	if err != nil {
		return nil, err
	}
	kitParts, err := sourceParts(KitFolder+"/c", kit, files)
	if err != nil {
		return nil, err
	}
	header, err := ReadBounded(filepath.Join(kit, "riposte.h"), bundle.MaxManifest)
	if err != nil {
		return nil, err
	}
	parts = append(parts, bundle.Component{Type: "library", Name: kitName, Version: definition(string(header), "RIPOSTE_VERSION")})
	parts = append(parts, kitParts...)
	for _, ask := range []string{"-print-file-name=crt1-reactor.o", "-print-file-name=libc.a", "-print-libgcc-file-name"} {
		said, err := p.Output(ctx, nil, clang, cLink()[0], ask)
		if err != nil {
			return nil, err
		}
		file := strings.TrimSpace(string(said))
		content, err := ReadBounded(file, bundle.MaxBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue // clang gives the bare name of what it does not have, and linked without it
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, bundle.FileComponent(filepath.Base(file), content))
	}
	said, err := p.Output(ctx, nil, clang, "--version")
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(said), "\n")
	_, version, _ := strings.Cut(first, "clang version ")
	return append(parts, compiler("clang", version)), nil
}

// definition finds the text that a header defines a name as.
func definition(header, name string) string {
	_, rest, _ := strings.Cut(header, "\n#define "+name+" \"")
	value, _, _ := strings.Cut(rest, "\"")
	return value
}

// ascParts names the sources of a module in AssemblyScript, the kit, the compiler, whose standard library is in the module, and the packages
// that npm installed for them.
func ascParts(asc, dir, kit string) ([]bundle.Component, error) {
	parts, err := typeScripts("", dir, filepath.Join(dir, "assembly"))
	if err != nil {
		return nil, err
	}
	kitParts, err := typeScripts(KitFolder+"/assemblyscript", kit, kit)
	if err != nil {
		return nil, err
	}
	parts = append(parts, bundle.Component{Type: "library", Name: kitName, Version: packageVersion(kit)})
	parts = append(parts, kitParts...)
	if asc, err = filepath.EvalSymlinks(asc); err != nil {
		return nil, err
	}
	home := filepath.Dir(filepath.Dir(asc)) // asc is bin/asc.js of its package
	parts = append(parts, npmPart("assemblyscript", packageVersion(home)))
	own, err := lockedParts(filepath.Join(dir, "package-lock.json"), false)
	if err != nil {
		return nil, err
	}
	tools, err := lockedParts(filepath.Join(home, "..", "..", "package-lock.json"), true)
	if err != nil {
		return nil, err
	}
	for _, part := range slices.Concat(own, tools) {
		same := func(other bundle.Component) bool { return other.PURL == part.PURL }
		if i := slices.IndexFunc(parts, same); i >= 0 {
			parts[i].Hashes = part.Hashes
		} else if part.Name != "assemblyscript" { // of which the one that compiled is named
			parts = append(parts, part)
		}
	}
	return parts, nil
}

// typeScripts names the sources below a folder.
func typeScripts(prefix, below, folder string) ([]bundle.Component, error) {
	var files []string
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "template" || entry.Name() == "toolchain"):
			return fs.SkipDir
		case entry.Type().IsRegular() && (filepath.Ext(name) == ".ts" || filepath.Base(name) == "transform.js"):
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sourceParts(prefix, below, files)
}

// packageVersion reads the version in the package.json of a folder; empty if that does not say.
func packageVersion(folder string) string {
	var head struct {
		Version string `json:"version"`
	}
	text, err := ReadBounded(filepath.Join(folder, "package.json"), bundle.MaxManifest)
	if err != nil || json.Unmarshal(text, &head) != nil {
		return ""
	}
	return head.Version
}

func npmPart(name, version string) bundle.Component {
	part := bundle.Component{Type: "library", Name: name, Version: version, PURL: "pkg:npm/" + strings.Replace(name, "@", "%40", 1)}
	if version != "" {
		part.PURL += "@" + version
	}
	return part
}

// lockedParts reads the packages in a lock file of npm, if it is there: those that only help to compile are not in the module.
// https://docs.npmjs.com/cli/configuring-npm/package-lock-json
func lockedParts(file string, tools bool) ([]bundle.Component, error) {
	text, err := ReadBounded(file, bundle.MaxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct {
			Version, Integrity string
			Dev, Link          bool
		} `json:"packages"`
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return nil, &abi.Fault{Kind: abi.Invalid, Message: "this is no lock file of npm: " + err.Error(), Where: file, Hint: "npm install writes it"}
	}
	parts := []bundle.Component{}
	for place, p := range lock.Packages {
		at := strings.LastIndex(place, "node_modules/")
		if at < 0 || p.Link || p.Version == "" {
			continue
		}
		part := npmPart(place[at+len("node_modules/"):], p.Version)
		if tools || p.Dev {
			part.Scope = bundle.Excluded
		}
		if algorithm, sum, ok := strings.Cut(p.Integrity, "-"); ok && algorithm == "sha512" {
			if raw, err := base64.StdEncoding.DecodeString(sum); err == nil {
				part.Hashes = []bundle.Hash{{Algorithm: "SHA-512", Content: hex.EncodeToString(raw)}}
			}
		}
		parts = append(parts, part)
	}
	slices.SortFunc(parts, func(a, b bundle.Component) int { return strings.Compare(a.PURL, b.PURL) })
	return slices.CompactFunc(parts, func(a, b bundle.Component) bool { return a.PURL == b.PURL }), nil
}
