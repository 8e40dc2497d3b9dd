package alarm_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/riposte-soar/riposte/server/alarm"
)

var update = flag.Bool("update", false, "write schemas/alarm.schema.json from the registry")

const schemaFile = "../../schemas/alarm.schema.json"

type object = map[string]any

// leaf describes the values of one kind of field.
func leaf(kind alarm.Kind) object {
	switch kind {
	case alarm.Integer:
		return object{"type": "integer", "minimum": 0}
	case alarm.Port:
		return object{"type": "integer", "minimum": 0, "maximum": 65535}
	case alarm.Number:
		return object{"type": "number"}
	case alarm.Bool:
		return object{"type": "boolean"}
	case alarm.IP:
		return object{"type": "string", "format": "ip"}
	case alarm.MAC:
		return object{"type": "string", "format": "mac"}
	case alarm.Time:
		return object{"type": "string", "format": "date-time"}
	case alarm.List:
		return object{"type": "array", "items": object{"type": "string"}}
	default:
		return object{"type": "string"}
	}
}

func closed(required []string, properties object) object {
	return object{"type": "object", "required": required, "additionalProperties": false, "properties": properties}
}

// schema builds the document's schema from the registry and the envelope.
func schema() object {
	text := object{"type": "string"}
	root := closed([]string{"uid", "received", "intake", "severity", "parse", "raw"}, object{
		"uid":      object{"type": "string", "pattern": "^al-[0-9A-HJKMNP-TV-Z]{26}$"},
		"received": object{"type": "string", "format": "date-time"},
		"raw":      object{"type": "string", "description": "The message as it arrived, cut at 1 MiB."},
		"intake": closed([]string{"source", "peer"}, object{
			"source": object{"type": "string", "enum": []string{"syslog-udp", "syslog-tcp", "syslog-tls", "http", "file"}},
			"peer":   object{"type": "string", "description": "The sender's address without its port, or a file's name."}}),
		"severity": closed([]string{"name", "score"}, object{
			"name":  object{"type": "string", "enum": []string{"unknown", "informational", "low", "medium", "high", "critical", "fatal"}},
			"score": object{"type": "integer", "minimum": 0, "maximum": 100}}),
		"parse": closed([]string{"format", "clean", "warnings"}, object{
			"format":   object{"type": "string", "enum": []string{"cef", "leef", "json", "syslog", "unparsed"}},
			"clean":    object{"type": "boolean", "description": "Parsed, and nothing odd about it. Require it in rules whose runbook acts by itself."},
			"warnings": object{"type": "array", "items": text},
			"error":    object{"type": "string", "description": "Why it could not be parsed."}}),
		"ext": object{"type": "object", "description": "What has no ECS field, as text; custom keys that the sender labels are under labels.",
			"properties":           object{"labels": object{"type": "object", "additionalProperties": text}},
			"additionalProperties": text},
	})
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://riposte-soar.github.io/schemas/alarm.schema.json"
	root["title"] = "Riposte alarm"
	root["description"] = "An alarm as expressions, the API and the store see it: ECS fields beside the envelope."
	for _, f := range alarm.Fields() {
		at := root["properties"].(object)
		parts := strings.Split(f.Path, ".")
		for _, name := range parts[:len(parts)-1] {
			if at[name] == nil {
				at[name] = object{"type": "object", "additionalProperties": false, "properties": object{}}
			}
			at = at[name].(object)["properties"].(object)
		}
		at[parts[len(parts)-1]] = leaf(f.Kind)
	}
	return root
}

// TestSchemaIsTheRegistry fails when a field was added without `go test ./server/alarm -update`.
func TestSchemaIsTheRegistry(t *testing.T) {
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s differs from the registry: run go test ./server/alarm -run Schema -update", schemaFile)
	}
}

// TestDocumentsFitTheSchema fills every field and validates the document.
func TestDocumentsFitTheSchema(t *testing.T) {
	compiled, err := jsonschema.Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	sample := map[alarm.Kind]string{alarm.Text: "text", alarm.Integer: "12", alarm.Port: "443", alarm.Number: "1.5", alarm.Bool: "true",
		alarm.IP: "192.0.2.1", alarm.MAC: "00:00:5e:00:53:01", alarm.Time: "1795255200000", alarm.List: "one"}
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	b := alarm.NewBuilder(now, alarm.Intake{Source: alarm.HTTP, Peer: "192.0.2.9"}, "raw")
	for _, f := range alarm.Fields() {
		known, ok := alarm.Lookup(f.Path)
		if !ok {
			t.Fatalf("%s is listed and cannot be found", f.Path)
		}
		b.Text(known, f.Path, sample[f.Kind])
	}
	b.Ext("key", "value")
	b.Label("Rule Name", "x")
	for _, a := range []*alarm.Alarm{b.Build(alarm.CEF), alarm.NewBuilder(now, alarm.Intake{Source: alarm.File}, "").Build(alarm.JSON)} {
		if !a.Parse.Clean {
			t.Errorf("warnings: %q", a.Parse.Warnings)
		}
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(doc); err != nil {
			t.Errorf("%#v", err)
		}
	}
}
