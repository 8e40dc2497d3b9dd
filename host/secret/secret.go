// Package secret holds what must never enter the sandbox, a tape, a log, an error or a URL: where secrets come from, a value that does not
// print itself, an encrypted file to keep them in, and a redactor that masks every echo of them.
package secret

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
)

// Ref names a secret without holding it: "env:NAME", "file:/path" or "store:name". Settings carry it as {"secret": "env:NAME"}.
type Ref string

// ParseRef reads a reference; scheme and name must be there.
func ParseRef(s string) (Ref, error) {
	scheme, name, ok := strings.Cut(s, ":")
	if !ok || name == "" || strings.ContainsAny(name, "\x00\r\n") {
		return "", fmt.Errorf("secret reference %q: expected env:NAME, file:/path or store:name", s)
	}
	switch scheme {
	case "env", "file", "store":
		return Ref(s), nil
	}
	return "", fmt.Errorf("secret reference %q: source %q is not known, expected env, file or store", s, scheme)
}

// InSetting gives the reference that a setting holds, if it is an object of the one member "secret".
func InSetting(v any) (Ref, bool, error) {
	object, ok := v.(map[string]any)
	if !ok || len(object) != 1 {
		return "", false, nil
	}
	text, ok := object["secret"].(string)
	if !ok {
		return "", false, nil
	}
	ref, err := ParseRef(text)
	return ref, true, err
}

// Secret is a value that does not print itself: every way of formatting, marshalling or logging it gives a mask. Only Reveal gives it away;
// a change that calls Reveal needs a review of where the value goes.
type Secret struct {
	value   string
	version string
}

// mask stands where a secret was.
const mask = "[secret]"

// New makes a Secret; version tells one value from the next without revealing it.
func New(value, version string) Secret { return Secret{value: value, version: version} }

// Reveal gives the value, for injection into a request.
func (s Secret) Reveal() string { return s.value }

// Version changes when the value does, and says nothing about it. Digests and approvals are made of it.
func (s Secret) Version() string { return s.version }

// String gives the mask.
func (s Secret) String() string { return mask }

// GoString gives the mask.
func (s Secret) GoString() string { return mask }

// Format gives the mask for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// MarshalJSON gives the mask.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(mask) }

// MarshalText gives the mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue gives the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// Resolver gives the value of a reference as it is now. Errors name the reference and never the value.
type Resolver interface {
	Resolve(ctx context.Context, ref Ref) (Secret, error)
}
