// Package kits embeds the sources of the kits and the templates of new plugins, so that the program makes a plugin that builds anywhere,
// without a checkout of this repository.
//
// A language adds two things here: its kit, and a folder LANGUAGE/template. Whatever name in a template ends in ".tmpl" loses that ending
// when a plugin is made, and its text is a template of text/template. What all languages have in common lies in the folder template.
package kits

import "embed"

// Files holds the folders abi, LANGUAGE and template.
//
//go:embed abi/*.go
//go:embed go/*.go all:go/template
//go:embed js/riposte.js js/riposte.d.ts all:js/template
//go:embed lua/riposte.lua lua/riposte/*.lua all:lua/template
//go:embed perl/*.pm perl/Riposte/*.pm all:perl/template
//go:embed python/riposte.py all:python/template
//go:embed assemblyscript/*.ts assemblyscript/*.js assemblyscript/*.json all:assemblyscript/template
//go:embed c/*.c c/*.h all:c/template
//go:embed rust/Cargo.toml rust/src all:rust/template
//go:embed all:template
var Files embed.FS
