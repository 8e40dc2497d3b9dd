package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// MaxLock bounds a lock file, in bytes.
const MaxLock = 8 << 20

// Lock is riposte.lock: the packages that may run, by plugin. It is JSON, and made by riposte plugin install; people read its changes.
type Lock struct {
	Version int               `json:"version"` // of the format: 1
	Plugins map[string]Pinned `json:"plugins"`
}

// Pinned is one package of a lock.
type Pinned struct {
	Version   string    `json:"version"`
	Digest    string    `json:"digest"`           // of the package, see bundle.Bundle
	Signer    string    `json:"signer,omitempty"` // name of the key; empty: unsigned
	Installed time.Time `json:"installed"`
	// Granted is what the plugin asked for when somebody last agreed to it. A package that asks for more does not run.
	Granted Asks `json:"granted"`
}

// NewLock makes an empty lock.
func NewLock() *Lock { return &Lock{Version: 1, Plugins: map[string]Pinned{}} }

// ParseLock reads a lock; name is that of the file, for errors.
func ParseLock(name string, text []byte) (*Lock, error) {
	bad := func(at int64, message string) (*Lock, error) {
		f := abi.NewFault(abi.Invalid, message, "riposte.lock is made by riposte plugin install: take it back from version control, or install again")
		f.Where = fmt.Sprintf("%s:%d", name, 1+bytes.Count(text[:min(max(at, 0), int64(len(text)))], []byte("\n")))
		return nil, f
	}
	if len(text) > MaxLock {
		text = nil
		return bad(0, "the lock is larger than 8 MiB")
	}
	l := NewLock()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(l); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return bad(syntax.Offset, err.Error())
		}
		return bad(d.InputOffset(), strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad(d.InputOffset(), "there is something after the lock")
	}
	if l.Version != 1 {
		return bad(0, fmt.Sprintf("the lock has the format %d, this program knows 1", l.Version))
	}
	for plugin, p := range l.Plugins {
		if digest, ok := strings.CutPrefix(p.Digest, "sha256:"); !ok || len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" || !ValidVersion(p.Version) {
			return bad(0, fmt.Sprintf("plugin %q: expected a version such as 1.2.0, and a digest of sha256: and 64 hexadecimal digits", plugin))
		}
	}
	if l.Plugins == nil {
		l.Plugins = map[string]Pinned{}
	}
	return l, nil
}

// Format writes the lock; the same lock gives the same bytes.
func (l *Lock) Format() ([]byte, error) {
	text, err := json.MarshalIndent(l, "", "  ")
	return append(text, '\n'), err
}

// Names are those of the plugins, in order.
func (l *Lock) Names() []string { return slices.Sorted(maps.Keys(l.Plugins)) }

// Check refuses a package that is not the one in the lock.
func (l *Lock) Check(b *bundle.Bundle) error {
	p, ok := l.Plugins[b.Manifest.Plugin]
	switch {
	case !ok:
		return refused(fmt.Sprintf("%s is not in riposte.lock", b.Name()), "riposte plugin install FILE puts it there")
	case p.Digest != b.Digest:
		return refused(fmt.Sprintf("%s is not the package in riposte.lock: found %s, locked is %s of version %s", b.Name(), b.Digest, p.Digest, p.Version),
			"install the package again; if nobody changed it, ask who did")
	}
	return nil
}

// Held says why a package that Check accepts must not run yet: it asks for more than was granted. It is nil if it may.
func (l *Lock) Held(b *bundle.Bundle) *abi.Fault {
	var wider []string
	for _, c := range Compare(l.Plugins[b.Manifest.Plugin].Granted, AsksOf(&b.Manifest)) {
		if c.Wider {
			wider = append(wider, c.Text)
		}
	}
	if len(wider) == 0 {
		return nil
	}
	return refused(fmt.Sprintf("%s asks for more than was granted: %s", b.Name(), strings.Join(wider, "; ")),
		"riposte plugin grant "+b.Manifest.Plugin+" accepts it")
}

// Install puts a package into the lock, and tells how what it asks for differs from what was granted. Nothing is granted by that but what the
// first version of a plugin asks for, and less than before. An older version than the one in the lock is refused, unless downgrade is set.
func (l *Lock) Install(b *bundle.Bundle, signer string, at time.Time, downgrade bool) ([]Change, error) {
	asks := AsksOf(&b.Manifest)
	before, known := l.Plugins[b.Manifest.Plugin]
	if known && CompareVersions(b.Manifest.Version, before.Version) < 0 && !downgrade {
		return nil, refused(fmt.Sprintf("%s is older than version %s, which is installed", b.Name(), before.Version),
			"old versions have old faults; --allow-downgrade installs it all the same")
	}
	now := Pinned{Version: b.Manifest.Version, Digest: b.Digest, Signer: signer, Installed: at.UTC().Truncate(time.Second), Granted: asks}
	var changes []Change
	if known {
		if changes = Compare(before.Granted, asks); Widens(changes) {
			now.Granted = before.Granted
		}
	}
	l.Plugins[b.Manifest.Plugin] = now
	return changes, nil
}

// Grant accepts what an installed package asks for.
func (l *Lock) Grant(b *bundle.Bundle) error {
	if err := l.Check(b); err != nil {
		return err
	}
	p := l.Plugins[b.Manifest.Plugin]
	p.Granted = AsksOf(&b.Manifest)
	l.Plugins[b.Manifest.Plugin] = p
	return nil
}
