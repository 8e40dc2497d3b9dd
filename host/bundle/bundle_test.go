package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
)

// A module with the function "block" and its probe "blocked", both () -> i32, that imports http.fetch.
var small = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x0a\x02\x60\x01\x7e\x01\x7e\x60\x00\x01\x7f" + // types
	"\x02\x19\x01\x0friposte:http/v1\x05fetch\x00\x00" + // imports
	"\x03\x04\x03\x01\x01\x01" + // functions
	"\x05\x03\x01\x00\x01" + // memory
	"\x07\x1d\x03\x05block\x00\x01\x07blocked\x00\x02\x07unblock\x00\x03" + // exports
	"\x0a\x10\x03\x04\x00\x41\x00\x0b\x04\x00\x41\x00\x0b\x04\x00\x41\x00\x0b") // code

const good = `plugin: trial
version: 1.0.0
title: Trial
settings:
  type: object
  properties:
    url: {type: string, format: uri}
    key: {type: string, format: secret}
requires:
  - id: api
    kind: http
    reason: block
    url: "{settings.url}/**"
    methods: {POST: write.idempotent}
    auth: {secret: key, inject: bearer}
actions:
  block:
    kind: contain
    title: Block
    effect: write.idempotent
    uses: [api]
    parameters: {type: object, required: [ip], properties: {ip: {type: string, format: ip, target: true}, ttl: {type: integer}}}
    result: {type: object, properties: {rule: {type: integer}}}
    probe: blocked
    inverse: {action: unblock, with: {ip: "{parameters.ip}", rule: "{result.rule}"}}
    expires: ttl
    limits: {timeout: 20s, memory: 32MiB, output: 64KiB}
  blocked:
    kind: enrich
    title: Blocked?
    effect: read
    result: {type: object, properties: {present: {type: boolean}}}
  unblock:
    kind: release
    title: Release
    effect: write.idempotent
    parameters: {type: object, properties: {ip: {type: string}, rule: {type: string}}}
`

func packed(t *testing.T, module []byte, yaml string) []byte {
	t.Helper()
	manifest, err := ManifestFromYAML([]byte(yaml), "plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := Pack(module, manifest)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpen(t *testing.T) {
	file := packed(t, small, good)
	b, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.Name() != "trial@1.0.0" || b.Digest != digest(file) || b.Needs().Pages != 1 || b.Extism() {
		t.Errorf("%s %s %+v", b.Name(), b.Digest, b.Needs())
	}
	if module, err := b.Module(); err != nil || !bytes.Equal(module, file) {
		t.Errorf("the module is not the file: %v", err)
	}
	if f := b.CheckParameters("block", json.RawMessage(`{"ip":"203.0.113.9"}`)); f != nil {
		t.Error(f)
	}
	if f := b.CheckParameters("block", json.RawMessage(`{"ip":"203.0.113"}`)); f == nil || f.Kind != abi.Invalid || f.Where != "$.parameters.ip" {
		t.Errorf("got %v", f)
	}
	if f := b.CheckParameters("blok", nil); f == nil || f.Kind != abi.NotFound || !strings.Contains(f.Hint, "block") {
		t.Errorf("got %v", f)
	}
	if f := b.CheckSettings(json.RawMessage(`{"url":"https://fw.corp.test","key":{"secret":"env:KEY"}}`)); f != nil {
		t.Error(f)
	}
	if f := b.CheckSettings(json.RawMessage(`{"url":"https://fw.corp.test","key":"hunter2"}`)); f == nil || f.Where != "$.settings.key" || strings.Contains(f.Error(), "hunter2") {
		t.Errorf("got %v", f)
	}
	if f := b.CheckSettings(json.RawMessage(`{"url":{"secret":"env:KEY"}}`)); f == nil || f.Where != "$.settings.url" {
		t.Errorf("got %v", f)
	}
}

func TestPackReplacesAndRepeats(t *testing.T) {
	once := packed(t, small, good)
	again, err := Pack(once, []byte(`{"plugin":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(again, []byte(abi.ManifestSection)) != 1 {
		t.Error("the section was not replaced")
	}
	if !bytes.Equal(once, packed(t, again, good)) {
		t.Error("packing the same gives other bytes")
	}
}

func TestOpenFileNoticesChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trial.wasm")
	file := packed(t, small, good)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)-3]++
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Module(); err == nil || abi.AsFault(err).Kind != abi.Conflict {
		t.Errorf("got %v", err)
	}
}

func TestModulesThatAreRefused(t *testing.T) {
	double, err := Pack(small, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	double = append(double, custom(abi.ManifestSection, []byte("{}"))...)
	change := func(from, to string) []byte {
		return packed(t, bytes.Replace(small, []byte(from), []byte(to), 1), good)
	}
	for _, test := range []struct {
		name    string
		file    []byte
		message string
	}{
		{"empty", nil, "not a WebAssembly module"},
		{"text", []byte("#!/bin/sh\necho hello\n"), "not a WebAssembly module"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "wasm32-wasip1"},
		{"component of another version", []byte("\x00asm\x0a\x00\x01\x00"), "wasm32-wasip1"},
		{"version", []byte("\x00asm\x02\x00\x00\x00"), "not a core module of version 1"},
		{"no manifest", small, "0 manifests"},
		{"two manifests", double, "2 manifests"},
		{"cut off", packed(t, small, good)[:40], "in the middle of something"},
		{"unknown import module", change("riposte:http/v1", "riposte:exec/v1"), "no such host module"},
		{"unknown import function", change("fetch", "fotch"), "did you mean fetch"},
		{"unknown system function", change("\x19\x01\x0friposte:http/v1\x05fetch", "\x20\x01\x16wasi_snapshot_preview1\x05fetch"), "import wasi_snapshot_preview1.fetch: invalid: no such host function"},
		{"other system interface", change("\x19\x01\x0friposte:http/v1\x05fetch", "\x17\x01\x0dwasi_unstable\x05fetch"), "wasm32-wasip1"},
		{"start function with a result", change("\x1d\x03\x05block", "\x1e\x03\x06_start"), "exports no function of this name"},
		{"import that is not declared", change("\x0friposte:http/v1\x05fetch", "\x0friposte:mail/v1\x05fetch"), "no such host function"},
		{"kind that is not declared", change("\x19\x01\x0friposte:http/v1\x05fetch", "\x18\x01\x0friposte:mail/v1\x04send"), "requires no capability of kind mail"},
		{"imported memory", change("fetch\x00\x00", "fetch\x02\x00\x01"[:7]), ""},
		{"type of the export", change("\x60\x00\x01\x7f", "\x60\x00\x01\x7e"), "() -> i32"},
		{"missing export", change("block\x00", "blurb\x00"), "exports no function of this name"},
		{"shared memory", change("\x05\x03\x01\x00\x01", "\x05\x04\x01\x03\x01\x01"), "shared memory"},
		{"huge memory", change("\x05\x03\x01\x00\x01", "\x05\x05\x01\x00\x80\x80\x04"), "pages"},
		{"huge table", change("\x05\x03\x01\x00\x01", "\x04\x07\x01\x70\x00\xff\xff\xff\x7f\x05\x03\x01\x00\x01"), "elements"},
		{"forged length", change("\x02\x19\x01", "\x02\x19\x7f"), "in the middle of something"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(test.file)
			if err == nil || !strings.Contains(err.Error(), test.message) {
				t.Fatalf("got %v, want %q", err, test.message)
			}
			if kind := abi.AsFault(err).Kind; kind != abi.Invalid {
				t.Errorf("kind %s", kind)
			}
		})
	}
	_, err = OpenFunc(func() ([]byte, error) { return make([]byte, MaxBytes+1), nil })
	if err == nil || abi.AsFault(err).Kind != abi.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	for _, test := range []struct{ name, from, to, where, message string }{
		{"syntax", "title: Trial", "title: [Trial", "plugin.yaml:", ""},
		{"unknown key", "title: Trial", "title: Trial\nlisence: MIT", "plugin.yaml:4:10", `did you mean "license"?`},
		{"unknown key in an action", "    probe: blocked", "    prob: blocked", "plugin.yaml:24:11", `did you mean "probe"?`},
		{"duplicate key", "title: Trial", "title: Trial\ntitle: Again", "plugin.yaml:4:1", "already defined"},
		{"anchor", "title: Trial", "title: &x Trial", "plugin.yaml:3:8", "anchors"},
		{"alias", "title: Trial", "title: *x", "plugin.yaml:3:", ""},
		{"tag", "title: Trial", "title: !!str Trial", "plugin.yaml:3:8", "tags"},
		{"no value", "title: Trial", "title:", "plugin.yaml:3:", "missing"},
		{"wrong type", "title: Trial", "title: 7", "plugin.yaml:3:8", "string"},
		{"two documents", "plugin: trial", "a: b\n---\nplugin: trial", "plugin.yaml", "2 documents"},
		{"name", "plugin: trial", "plugin: Trial!", "plugin.yaml:1:9", "does not match"},
		{"version", "version: 1.0.0", "version: 1.0", "plugin.yaml:2:10", ""},
		{"effect", "effect: read", "effect: reads", "plugin.yaml:31:13", `did you mean "read"?`},
		{"kind of action", "kind: contain", "kind: container", "plugin.yaml:18:11", `did you mean "contain"?`},
		{"kind of capability", "kind: http", "kind: https", "plugin.yaml:11:11", `did you mean "http"?`},
		{"capability without url", "    url: \"{settings.url}/**\"\n", "", "plugin.yaml:10:", "missing: 'url'"},
		{"setting of a pattern", "{settings.url}", "{settings.uri}", "plugin.yaml:10:", "did you mean url?"},
		{"secret that is none", "secret: key", "secret: url", "plugin.yaml:15:20", "format secret"},
		{"injection", "inject: bearer", "inject: cookie", "plugin.yaml:15:33", "does not match"},
		{"uses", "uses: [api]", "uses: [app]", "plugin.yaml:21:12", `no capability "app"`},
		{"no probe", "    probe: blocked\n", "", "plugin.yaml:18:", "a containment has a probe"},
		{"probe that is not there", "probe: blocked", "probe: block3d", "plugin.yaml:24:12", "did you mean blocked?"},
		{"probe that writes", "probe: blocked", "probe: unblock", "plugin.yaml:24:12", "writes"},
		{"probe without present", "present: {", "presence: {", "plugin.yaml:32:", "boolean present"},
		{"no inverse", "    inverse: {action: unblock, with: {ip: \"{parameters.ip}\", rule: \"{result.rule}\"}}\n", "", "plugin.yaml:18:", "has an inverse"},
		{"inverse of nothing", "inverse: {action: unblock, with", "inverse: {none: because, action: unblock, with", "plugin.yaml:25:", "either"},
		{"inverse with a wrong parameter", "with: {ip:", "with: {ipp:", "plugin.yaml:25:", "did you mean ip?"},
		{"inverse from nowhere", "{result.rule}", "{result.role}", "plugin.yaml:25:", "did you mean rule?"},
		{"no target", ", target: true", "", "plugin.yaml:22:", "target: true"},
		{"expiry", "expires: ttl", "expires: ip", "plugin.yaml:26:14", "type integer"},
		{"timeout", "timeout: 20s", "timeout: 20", "plugin.yaml:27:23", ""},
		{"memory", "memory: 32MiB", "memory: 32MB", "plugin.yaml:27:36", "does not match"},
		{"schema that is none", "ttl: {type: integer}", "ttl: {type: number7}", "plugin.yaml:22:", "not a usable JSON Schema"},
		{"schema with a reference out", "ttl: {type: integer}", "ttl: {$ref: \"file:///etc/passwd\"}", "plugin.yaml:22:", "only references inside"},
		{"schema that refers to itself", "ttl: {type: integer}", "ttl: {$ref: \"#/properties\"}", "plugin.yaml:22:", "recursive"},
		{"parameters that are no object", "parameters: {type: object, required: [ip]", "parameters: {type: array, required: [ip]", "plugin.yaml:22:24", "object"},
		{"sort that is not there", "    title: Blocked?", "    title: Blocked?\n    sort: ip.smell", "plugin.yaml:33:", "there is no sort"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := strings.Replace(good, test.from, test.to, 1)
			if changed == good {
				t.Fatal("the change changes nothing")
			}
			_, err := ManifestFromYAML([]byte(changed), "plugin.yaml")
			if err == nil {
				t.Fatal("it was accepted")
			}
			list := []error{err}
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				list = joined.Unwrap()
			}
			if !slices.ContainsFunc(list, func(err error) bool {
				var f *abi.Fault
				return errors.As(err, &f) && f.Kind == abi.Invalid && strings.HasPrefix(f.Where, test.where) && strings.Contains(f.Error(), test.message)
			}) {
				t.Errorf("got\n%v\nwant %s: %s", err, test.where, test.message)
			}
		})
	}
}

func TestDuplicateKeysInJSON(t *testing.T) {
	_, err := ParseManifest([]byte(`{"plugin":"a","version":"1.0.0","title":"t","actions":{"x":{"kind":"enrich","kind":"contain","title":"x","effect":"read"}}}`))
	if err == nil || !strings.Contains(err.Error(), "$.actions.x.kind") || !strings.Contains(err.Error(), "twice") {
		t.Errorf("got %v", err)
	}
}

func TestDeepManifests(t *testing.T) {
	for _, text := range []string{strings.Repeat("[", 100_000), strings.Repeat("{a: ", 50_000), strings.Repeat("- ", 50_000), "a:\n" + strings.Repeat(" ", 200_000) + "b"} {
		if _, err := ManifestFromYAML([]byte(text), "plugin.yaml"); err == nil {
			t.Errorf("%.10s… was accepted", text)
		}
	}
}

// TestSchemaHasTheFieldsOfTheManifest keeps schemas/manifest.schema.json and package abi in step.
func TestSchemaHasTheFieldsOfTheManifest(t *testing.T) {
	source, ok := schemas.Source("manifest")
	if !ok {
		t.Fatal("there is no schema of the manifest")
	}
	type object struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(source, &schema); err != nil {
		t.Fatal(err)
	}
	part := func(raw json.RawMessage) object {
		var o object
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	action := schema.Defs["action"]
	for name, pair := range map[string]struct {
		typ    reflect.Type
		schema object
	}{
		"manifest":    {reflect.TypeFor[abi.Manifest](), schema.object},
		"requirement": {reflect.TypeFor[abi.Requirement](), schema.Defs["requirement"]},
		"action":      {reflect.TypeFor[abi.Action](), action},
		"auth":        {reflect.TypeFor[abi.Auth](), part(schema.Defs["requirement"].Properties["auth"])},
		"inverse":     {reflect.TypeFor[abi.Inverse](), part(action.Properties["inverse"])},
		"limits":      {reflect.TypeFor[abi.Limits](), part(action.Properties["limits"])},
		"openc2":      {reflect.TypeFor[abi.OpenC2](), part(action.Properties["openc2"])},
	} {
		var fields []string
		for i := range pair.typ.NumField() {
			field, _, _ := strings.Cut(pair.typ.Field(i).Tag.Get("json"), ",")
			fields = append(fields, field)
		}
		slices.Sort(fields)
		if !slices.Equal(fields, keysOf(pair.schema.Properties)) {
			t.Errorf("%s: the type has %v, the schema %v", name, fields, keysOf(pair.schema.Properties))
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"1B": 1, "64KiB": 64 << 10, "32MiB": 32 << 20, "1GiB": 1 << 30} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "1", "MiB", "-1MiB", "0B", "1.5MiB", "9999999999999GiB", "1MB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q gave %d", text, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	manifest, err := ManifestFromYAML([]byte(good), "plugin.yaml")
	if err != nil {
		f.Fatal(err)
	}
	file, err := Pack(small, manifest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(small)
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, file []byte) {
		b, err := Open(file)
		if err != nil {
			return
		}
		repacked, err := Pack(file, []byte("{}"))
		if err != nil || bytes.Count(repacked, []byte(abi.ManifestSection)) < 1 {
			t.Errorf("%s opens, but cannot be packed again: %v", b.Name(), err)
		}
	})
}

func FuzzManifestFromYAML(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("a: &x [*x]"))
	f.Add([]byte("? a\n: b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		manifest, err := ManifestFromYAML(text, "plugin.yaml")
		if err != nil {
			return
		}
		if _, err := ParseManifest(manifest); err != nil {
			t.Errorf("what was accepted as YAML is refused as JSON: %v", err)
		}
	})
}
