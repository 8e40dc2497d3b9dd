package bundle

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// Limits of the assets of a package.
const (
	MaxAssets     = 16 << 20 // bytes of the archive
	MaxAssetFiles = 1000
	maxAssetName  = 100 // what an ustar header has room for without tricks
)

// Asset is a file that lies in a package beside the code: documentation, a test, a script.
type Asset struct {
	Name string `json:"name"` // a relative path with slashes, see io/fs.ValidPath
	Size int    `json:"size"`
	Data []byte `json:"-"`
}

// PackAssets writes files, by name, as the archive of AssetsSection: POSIX ustar without compression, in the order of names, with neither
// times nor owners, so that the same files give the same bytes and any tar can list them.
func PackAssets(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i, name := range keysOf(files) {
		if why := badAsset(name, i); why != "" {
			return nil, invalid(name, why, "")
		}
		if out.Len()+len(files[name]) > MaxAssets {
			return nil, invalid(name, fmt.Sprintf("the assets are larger than %d MiB", MaxAssets>>20), "leave out what an operator does not need")
		}
		if err := w.WriteHeader(assetHeader(name, len(files[name]))); err != nil {
			return nil, invalid(name, err.Error(), "")
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func assetHeader(name string, size int) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(size), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
}

func badAsset(name string, index int) string {
	switch {
	case index >= MaxAssetFiles:
		return fmt.Sprintf("there are more than %d assets", MaxAssetFiles)
	case len(name) > maxAssetName:
		return fmt.Sprintf("the name is longer than %d bytes", maxAssetName)
	case name == "." || !fs.ValidPath(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' || r == ':' }):
		return "a name is a relative path of printable ASCII with slashes, without . and .."
	}
	return ""
}

// ReadAssets reads an archive that PackAssets wrote; anything else (links, folders, names that lead elsewhere, other order) is refused. The data
// share the memory of the archive.
func ReadAssets(archive []byte) ([]Asset, error) {
	bad := func(message string) ([]Asset, error) {
		return nil, invalid(AssetsSection, message, "pack the plugin again")
	}
	if len(archive) > MaxAssets {
		return bad(fmt.Sprintf("the assets are larger than %d MiB", MaxAssets>>20))
	}
	in := bytes.NewReader(archive)
	r := tar.NewReader(in)
	var all []Asset
	files := map[string][]byte{}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bad("the archive is damaged: " + err.Error())
		}
		if h.Typeflag != tar.TypeReg || h.Size > int64(in.Len()) || len(all) == MaxAssetFiles {
			return bad(fmt.Sprintf("%.120q: expected at most %d plain files", h.Name, MaxAssetFiles))
		}
		at := len(archive) - in.Len()
		files[h.Name] = archive[at : at+int(h.Size) : at+int(h.Size)]
		all = append(all, Asset{h.Name, int(h.Size), files[h.Name]})
	}
	again, err := PackAssets(files)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, archive) {
		return bad("the archive is not in the form that packing gives: each file once, in the order of names, nothing else")
	}
	return all, nil
}
