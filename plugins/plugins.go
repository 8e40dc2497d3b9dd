// Package plugins holds the plugins that we ship, one folder each. What is embedded here was built from these folders:
//
//	go run ./plugins/build
//
// A checkout in which that was not run yet has none.
package plugins

import (
	"embed"
	"io/fs"
	"iter"
	"strings"
)

//go:embed dist
var dist embed.FS

// All gives the name of each plugin and a function that reads its package. The bytes lie in the program file; they come into memory when,
// and for as long as, somebody reads them.
func All() iter.Seq2[string, func() ([]byte, error)] {
	return func(yield func(string, func() ([]byte, error)) bool) {
		entries, err := fs.ReadDir(dist, "dist")
		if err != nil {
			return // the folder is embedded: it is there
		}
		for _, entry := range entries {
			name, ok := strings.CutSuffix(entry.Name(), ".wasm")
			if !ok {
				continue
			}
			if !yield(name, func() ([]byte, error) { return dist.ReadFile("dist/" + entry.Name()) }) {
				return
			}
		}
	}
}
