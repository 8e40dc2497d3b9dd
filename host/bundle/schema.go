package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
)

// compileSchema compiles a schema that a plugin brings; without one everything is accepted.
func compileSchema(name string, raw json.RawMessage) (*schemas.Schema, error) {
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	return schemas.Compile(name, raw)
}

// checkDocument holds a document against a schema; the place of the fault begins with root, such as "$.parameters".
func checkDocument(s *schemas.Schema, document json.RawMessage, root string) *abi.Fault {
	value, err := decodeValue(document)
	if err != nil {
		return invalid(root, err.Error(), "")
	}
	report := &problems{}
	report.addFindings(s.Validate(value), root)
	if len(report.list) == 0 {
		return nil
	}
	return abi.AsFault(report.list[0])
}

// decodeValue decodes one JSON document; numbers keep their digits.
func decodeValue(raw json.RawMessage) (any, error) {
	var value any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something after the document")
	}
	return value, nil
}

// jsonPath turns a JSON Pointer (RFC 6901) into the notation that people read.
func jsonPath(root, pointer string) string {
	path := root
	for _, part := range strings.Split(pointer, "/")[min(1, len(pointer)):] {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch {
		case part == "":
		case strings.Trim(part, "0123456789") == "":
			path += "[" + part + "]"
		default:
			path += "." + part
		}
	}
	return path
}

// findTwice reports keys that occur twice in one object: readers differ in which of them they take.
func findTwice(d *json.Decoder, path string, report *problems) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			inner := path + "." + name
			if seen[name] {
				report.add(inner, "the key occurs twice", "")
			}
			seen[name] = true
			if err := findTwice(d, inner, report); err != nil {
				return err
			}
		}
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			if err := findTwice(d, path+"["+strconv.Itoa(i)+"]", report); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	_, err = d.Token() // the closing bracket
	return err
}
