package secret

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// maxSecret bounds the length of a secret in bytes.
const maxSecret = 64 << 10

// Sources resolves references from the environment, from files and from a store.
type Sources struct {
	store *Store
	key   []byte // of the versions
	log   *slog.Logger
}

// NewSources makes a Resolver. store may be nil; with one, the versions of environment and file secrets stay the same over restarts, because
// they are made with a key of the store. log may be nil.
func NewSources(store *Store, log *slog.Logger) (*Sources, error) {
	s := &Sources{store: store, log: log}
	if log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if store != nil {
		s.key = store.derive("version")
		return s, nil
	}
	s.key = make([]byte, 32)
	if _, err := rand.Read(s.key); err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return s, nil
}

// Resolve gives the value of a reference as it is now. Line ends behind the value of a file are not part of it.
func (s *Sources) Resolve(_ context.Context, ref Ref) (Secret, error) {
	source, name, _ := strings.Cut(string(ref), ":")
	switch source {
	case "env":
		value, ok := os.LookupEnv(name)
		if !ok || value == "" {
			return Secret{}, fmt.Errorf("secret %s: the variable is not set", ref)
		}
		return s.versioned(ref, value)
	case "file":
		value, err := s.readFile(name)
		if err != nil {
			return Secret{}, fmt.Errorf("secret %s: %w", ref, err)
		}
		return s.versioned(ref, value)
	case "store":
		if s.store == nil {
			return Secret{}, fmt.Errorf("secret %s: there is no store", ref)
		}
		return s.store.Get(name)
	}
	return Secret{}, fmt.Errorf("secret reference %q: expected env:NAME, file:/path or store:name", string(ref))
}

// versioned makes the version with a keyed hash: a plain one would let a short secret be guessed.
func (s *Sources) versioned(ref Ref, value string) (Secret, error) {
	if len(value) > maxSecret {
		return Secret{}, fmt.Errorf("secret %s: it has more than %d bytes", ref, maxSecret)
	}
	h := hmac.New(sha256.New, s.key)
	_, _ = io.WriteString(h, string(ref)+"\x00"+value)
	return New(value, hex.EncodeToString(h.Sum(nil)[:12])), nil
}

func (s *Sources) readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && !private(info) {
		s.log.Warn("file of a secret can be read by others", "file", name, "mode", info.Mode().String(), "hint", "chmod 0600")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+2))
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(data), "\r\n")
	if value == "" {
		return "", fmt.Errorf("the file is empty")
	}
	return value, nil
}

// private says that only the owner has a right to the file.
func private(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }
