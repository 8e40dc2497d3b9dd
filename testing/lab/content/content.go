// Package content holds the content of the demo and of whole-incident tests – rule, template, runbook, connectors, lists – as an operator would
// write it, with places for the addresses of the lab.
package content

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed files
var files embed.FS

// Write puts the content into a folder: rules, templates, runbooks, connectors, lists and riposte.yaml. Addresses are those of the lab; secrets are
// written, by name, into a folder beside it that nobody else can read.
func Write(dir string, addresses, secrets map[string]string) error {
	vault := filepath.Join(dir, "secrets")
	if err := os.MkdirAll(vault, 0o700); err != nil {
		return err
	}
	for name, value := range secrets {
		if err := os.WriteFile(filepath.Join(vault, name), []byte(value), 0o600); err != nil {
			return err
		}
	}
	values := map[string]string{"secrets": vault}
	for name, address := range addresses {
		values[name] = address
	}
	return fs.WalkDir(files, "files", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, strings.TrimPrefix(path, "files"))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(path, "/connectors/") {
			if text, err = fill(path, text, values); err != nil {
				return err
			}
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// fill puts the values into the places of a connector.
func fill(path string, text []byte, values map[string]string) ([]byte, error) {
	t, err := template.New(path).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var out strings.Builder
	if err := t.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return []byte(out.String()), nil
}
