// Package trust decides which plugin packages may run: those whose signature is by a key that the operator trusts for that plugin, and whose
// digest is in the operator's lock. It also tells, in words, what a plugin asks for and what an upgrade would ask for beyond that.
//
// Signatures are detached and in the format of minisign (https://jedisct1.github.io/minisign/), Ed25519 over the file or over its BLAKE2b-512
// digest, so that the minisign tool can make and verify them too.
package trust

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"aead.dev/minisign"
	"golang.org/x/mod/semver"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// MaxSignature bounds a signature file, in bytes.
const MaxSignature = 8 << 10

// Key is a public key that an operator trusts for some plugins.
type Key struct {
	Name   string
	Public minisign.PublicKey
	// Plugins are patterns of plugin names as path.Match reads them: "panos", "acme-*", "*". None means no plugin.
	Plugins []string
	// MaxVersion is the highest version of a plugin that the key may sign; empty is any.
	MaxVersion string
	// NotAfter is when the key stops to vouch for what is installed from then on; zero is never. To revoke a key, take it off the list.
	NotAfter time.Time
	// Isolated says that what the key signs runs in a process of its own: the author is known, not trusted with the server.
	Isolated bool
}

// List is the operator's trust list.
type List []Key

// ParseKey reads a public key: the base64 line of a minisign public key file, or the whole file.
func ParseKey(text string) (minisign.PublicKey, error) {
	var key minisign.PublicKey
	if len(text) > MaxSignature {
		return key, refused("the key is too long", "")
	}
	if err := key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return key, refused("this is no minisign public key", "it is the second line of the .pub file, and begins with RW")
	}
	return key, nil
}

// CheckPattern says what is wrong with a pattern of Key.Plugins, or nil.
func CheckPattern(pattern string) error {
	_, err := path.Match(pattern, "")
	if err != nil || pattern == "" {
		return refused(fmt.Sprintf("%q is no pattern of plugin names", pattern), `such as "acme-*", or "*" for all`)
	}
	return nil
}

// ValidVersion says whether s is a semantic version as manifests have it: 1.2.0, not v1.2.0.
func ValidVersion(s string) bool {
	core, _, _ := strings.Cut(strings.ReplaceAll(s, "+", "-"), "-")
	return semver.IsValid("v"+s) && strings.Count(core, ".") == 2
}

// Verify checks the detached signature of a package against the list and gives the key that vouches for it. A key that ran out
// before at vouches for nothing. Every refusal is an *abi.Fault that says what to do.
func (l List) Verify(b *bundle.Bundle, signature []byte, at time.Time) (Key, error) {
	s, err := parseSignature(signature)
	if err != nil {
		return Key{}, err
	}
	key, found := l.byID(s.KeyID)
	if !found {
		return Key{}, refused(fmt.Sprintf("%s is signed with the key %s, which is not on the trust list", b.Name(), KeyID(s.KeyID)),
			"add the author's public key to trust.yaml, if you trust it")
	}
	if err := verifyWith(key.Public, b, s, signature); err != nil {
		return Key{}, err
	}
	return key, key.covers(b, at)
}

// VerifyWith checks the detached signature of a package with one key, whatever it is trusted for.
func VerifyWith(key minisign.PublicKey, b *bundle.Bundle, signature []byte) error {
	s, err := parseSignature(signature)
	if err != nil {
		return err
	}
	if s.KeyID != key.ID() {
		return refused(fmt.Sprintf("%s is signed with the key %s, not with %s", b.Name(), KeyID(s.KeyID), KeyID(key.ID())), "")
	}
	return verifyWith(key, b, s, signature)
}

func verifyWith(key minisign.PublicKey, b *bundle.Bundle, s *minisign.Signature, signature []byte) error {
	file, err := b.Module()
	if err != nil {
		return err
	}
	if minisign.Verify(key, file, signature) {
		return checkComment(b, s.TrustedComment)
	}
	f := refused(fmt.Sprintf("the signature does not fit %s (%s)", b.Name(), b.Digest), "the file or its signature was changed after signing: get both again")
	if name, digest, ok := readComment(s.TrustedComment); ok && digest != b.Digest {
		f.Hint = fmt.Sprintf("the signature says that it is for %s (%s); get the one of this file", name, digest)
	}
	return f
}

func (l List) byID(id uint64) (Key, bool) {
	for _, k := range l {
		if k.Public.ID() == id {
			return k, true
		}
	}
	return Key{}, false
}

// covers says whether the key may vouch for this plugin, at that time.
func (k *Key) covers(b *bundle.Bundle, at time.Time) error {
	matches := false
	for _, pattern := range k.Plugins {
		ok, err := path.Match(pattern, b.Manifest.Plugin)
		matches = matches || ok && err == nil
	}
	switch {
	case !matches:
		return refused(fmt.Sprintf("the key %q signed %s, but is trusted for %s only", k.Name, b.Name(), orNothing(k.Plugins)),
			"widen `plugins` of the key in trust.yaml, if that is meant")
	case k.MaxVersion != "" && CompareVersions(b.Manifest.Version, k.MaxVersion) > 0:
		return refused(fmt.Sprintf("the key %q signed %s, but is trusted up to version %s only", k.Name, b.Name(), k.MaxVersion),
			"raise `max_version` of the key in trust.yaml, if that is meant")
	case !k.NotAfter.IsZero() && at.After(k.NotAfter):
		return refused(fmt.Sprintf("the key %q, which signed %s, ran out on %s", k.Name, b.Name(), k.NotAfter.Format(time.DateOnly)),
			"ask the author for a package that is signed with a newer key")
	}
	return nil
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// CompareVersions orders semantic versions (https://semver.org, section 11): negative if a is older than b.
func CompareVersions(a, b string) int { return semver.Compare("v"+a, "v"+b) }

// KeyID writes the number of a key as minisign does.
func KeyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// Sign signs a package. The trusted comment names the plugin, its version and the digest; there is no time in it, so that signing again gives
// the same bytes.
func Sign(key minisign.PrivateKey, b *bundle.Bundle) ([]byte, error) {
	file, err := b.Module()
	if err != nil {
		return nil, err
	}
	r := minisign.NewReader(bytes.NewReader(file))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, err
	}
	return r.SignWithComments(key, comment(b), "signature of a Riposte plugin, key "+KeyID(key.ID())), nil
}

func comment(b *bundle.Bundle) string { return "riposte plugin " + b.Name() + " " + b.Digest }

// readComment reads what Sign wrote; false for comments of other tools.
func readComment(text string) (name, digest string, ok bool) {
	rest, ok := strings.CutPrefix(text, "riposte plugin ")
	name, digest, cut := strings.Cut(rest, " ")
	return name, digest, ok && cut
}

// checkComment refuses a signature that names another package than the one it fits: its maker was mistaken about what was signed.
func checkComment(b *bundle.Bundle, text string) error {
	if _, _, ours := readComment(text); ours && text != comment(b) {
		return refused(fmt.Sprintf("the signature of %s says %.200q", b.Name(), text), "let the author sign it again")
	}
	return nil
}

func parseSignature(text []byte) (*minisign.Signature, error) {
	var s minisign.Signature
	if len(text) > MaxSignature {
		return nil, refused("the signature file is larger than 8 KiB", "it has four lines: see riposte plugin sign")
	}
	if err := s.UnmarshalText(text); err != nil {
		return nil, refused("this is no minisign signature: "+strings.TrimPrefix(err.Error(), "minisign: "), "it has four lines: see riposte plugin sign")
	}
	if strings.ContainsFunc(s.TrustedComment, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return nil, refused("the trusted comment of the signature holds control characters", "")
	}
	return &s, nil
}

// SignatureOf tells the key and the trusted comment of a signature, which are claims until it is verified.
func SignatureOf(text []byte) (keyID, trustedComment string, err error) {
	s, err := parseSignature(text)
	if err != nil {
		return "", "", err
	}
	return KeyID(s.KeyID), s.TrustedComment, nil
}

func refused(message, hint string) *abi.Fault { return abi.NewFault(abi.Refused, message, hint) }
