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
	"path/filepath"
	"strings"
)

// maxSecret bounds the length of a secret in bytes.
const maxSecret = 64 << 10

// SourcesOptions say where secrets may come from.
type SourcesOptions struct {
	Store *Store // nil: store:NAME is not there
	// EnvPrefix is what the names of env:NAME must begin with; empty is no limit.
	EnvPrefix string
	// Folders are those below which file:/path may lie, symbolic links resolved; nil is no limit. Where people may edit connectors but not
	// the server's files there should be one: a connector sends its secret where its settings say.
	Folders []string
	Log     *slog.Logger // nil: discarded
}

// Sources resolves references from the environment, from files and from a store.
type Sources struct {
	o   SourcesOptions
	key []byte // of the versions
}

// NewSources makes a Resolver. With a store, the versions of environment and file secrets stay the same over restarts, because they are made
// with a key of the store.
func NewSources(o SourcesOptions) (*Sources, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sources{o: o}
	if o.Store != nil {
		s.key = o.Store.derive("version")
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
		if !strings.HasPrefix(name, s.o.EnvPrefix) {
			return Secret{}, fmt.Errorf("secret %s: only variables that begin with %s may be used", ref, s.o.EnvPrefix)
		}
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
		if s.o.Store == nil {
			return Secret{}, fmt.Errorf("secret %s: there is no store", ref)
		}
		return s.o.Store.Get(name)
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
	f, err := s.open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && !private(info) {
		s.o.Log.Warn("file of a secret can be read by others", "file", name, "mode", info.Mode().String(), "hint", "chmod 0600")
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

// open opens a file in one of the folders.
func (s *Sources) open(name string) (*os.File, error) {
	if s.o.Folders == nil {
		return os.Open(name)
	}
	for _, folder := range s.o.Folders {
		below, err := filepath.Rel(folder, name)
		if err != nil || !filepath.IsLocal(below) {
			continue
		}
		return os.OpenInRoot(folder, below)
	}
	return nil, fmt.Errorf("the file is in none of the folders for secrets")
}

// private says that only the owner has a right to the file.
func private(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }
