package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Store keeps secrets in one encrypted file. Each version of each secret is sealed with AES-256-GCM under a data key of its own, with name
// and version as associated data, so that no two can be exchanged; the data key is sealed under the master key, which is in a file of its
// own and is made at first use. It may be used concurrently, by one process.
type Store struct {
	file   string
	master []byte
	now    func() time.Time

	mu      sync.Mutex
	entries map[string][]sealed // versions of a name, oldest first
	opened  map[string]Secret   // what was decrypted
}

// sealed is one version in the file.
type sealed struct {
	Version int       `json:"version"`
	Made    time.Time `json:"made"`
	Key     []byte    `json:"key"`   // nonce and data key, sealed under the master key
	Value   []byte    `json:"value"` // nonce and value, sealed under the data key
}

// Version describes one version of a secret.
type Version struct {
	Number int       `json:"version"`
	Made   time.Time `json:"made"`
}

// KeptVersions is how many versions of a secret are kept.
const KeptVersions = 10

// ErrNotFound says that there is no such secret.
var ErrNotFound = errors.New("there is no such secret")

// maxStore bounds the file.
const maxStore = 64 << 20

// OpenStore opens the store in file with the master key in keyFile, and makes both if they are not there. A key file that others can read is
// refused. A lost key file cannot be replaced: an existing store without its key is an error.
func OpenStore(file, keyFile string, now func() time.Time) (*Store, error) {
	s := &Store{file: file, now: now, entries: map[string][]sealed{}, opened: map[string]Secret{}}
	data, err := readLimited(file, maxStore)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return nil, fmt.Errorf("secret store: %w", err)
	}
	if s.master, err = masterKey(keyFile, fresh); err != nil {
		return nil, fmt.Errorf("secret store: %w", err)
	}
	if fresh {
		return s, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s.entries); err != nil {
		return nil, fmt.Errorf("secret store %s: it cannot be read: %w", file, err)
	}
	for name := range s.entries {
		if _, err := s.get(name); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func masterKey(name string, mayMake bool) ([]byte, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) && mayMake {
		key := make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		return key, replaceFile(name, key)
	}
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if !private(info) {
		return nil, fmt.Errorf("master key %s: others may read it (chmod 0600)", name)
	}
	key, err := readLimited(name, 64)
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("master key %s: expected 32 bytes", name)
	}
	return key, err
}

func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, limit))
}

// replaceFile makes the file appear whole, 0600 and on disk, or leaves the old one.
func replaceFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// derive gives a key for another purpose (RFC 5869).
func (s *Store) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, s.master, nil, "riposte secret "+purpose, 32)
	if err != nil {
		return nil // only for lengths that are not 32
	}
	return key
}

func seal(key, plain, data []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, plain, data), nil
}

func unseal(key, box, data []byte) ([]byte, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	if len(box) < aead.NonceSize() {
		return nil, errors.New("it is cut off")
	}
	return aead.Open(nil, box[:aead.NonceSize()], box[aead.NonceSize():], data)
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// bound is what a sealed secret is bound to.
func bound(name string, version int) []byte { return []byte(name + "\x00" + strconv.Itoa(version)) }

// CheckName refuses what is no name of a secret: letters, digits, and ".", "_", "-", "/" inside.
func CheckName(name string) error {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !slices.Contains([]byte("._-/"), c)) {
			return fmt.Errorf("secret name %q: expected letters and digits, and . _ - / between them", name)
		}
	}
	if name == "" || len(name) > 128 {
		return fmt.Errorf("secret name %q: expected 1 to 128 characters", name)
	}
	return nil
}

// Put keeps a new version of a secret and gives its number. The oldest beyond KeptVersions are forgotten.
func (s *Store) Put(name, value string) (int, error) {
	if err := CheckName(name); err != nil {
		return 0, err
	}
	if len(value) < MinLength || len(value) > maxSecret {
		return 0, fmt.Errorf("secret %s: expected %d to %d bytes", name, MinLength, maxSecret)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	versions := s.entries[name]
	next := sealed{Version: 1, Made: s.now().UTC()}
	if len(versions) > 0 {
		next.Version = versions[len(versions)-1].Version + 1
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return 0, fmt.Errorf("secret %s: %w", name, err)
	}
	var err, err2 error
	next.Key, err = seal(s.master, key, bound(name, next.Version))
	next.Value, err2 = seal(key, []byte(value), bound(name, next.Version))
	if err = errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("secret %s: %w", name, err)
	}
	kept := append(slices.Clone(versions), next)
	if err := s.save(name, kept[max(0, len(kept)-KeptVersions):]); err != nil {
		return 0, err
	}
	return next.Version, nil
}

// save writes the file with other versions of one name; what is in memory changes only if that worked.
func (s *Store) save(name string, versions []sealed) error {
	entries := make(map[string][]sealed, len(s.entries)+1)
	for n, v := range s.entries {
		entries[n] = v
	}
	entries[name] = versions
	if len(versions) == 0 {
		delete(entries, name)
	}
	data, err := json.Marshal(entries)
	if err == nil {
		err = replaceFile(s.file, data)
	}
	if err != nil {
		return fmt.Errorf("secret store: %w", err)
	}
	s.entries = entries
	delete(s.opened, name)
	return nil
}

// Get gives the newest version of a secret.
func (s *Store) Get(name string) (Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(name)
}

func (s *Store) get(name string) (Secret, error) {
	if value, ok := s.opened[name]; ok {
		return value, nil
	}
	versions := s.entries[name]
	if len(versions) == 0 {
		return Secret{}, fmt.Errorf("secret store:%s: %w", name, ErrNotFound)
	}
	newest := versions[len(versions)-1]
	key, err := unseal(s.master, newest.Key, bound(name, newest.Version))
	if err != nil {
		return Secret{}, fmt.Errorf("secret store:%s: the master key does not open it", name)
	}
	plain, err := unseal(key, newest.Value, bound(name, newest.Version))
	if err != nil {
		return Secret{}, fmt.Errorf("secret store:%s: it was changed", name)
	}
	value := New(string(plain), "v"+strconv.Itoa(newest.Version)+"@"+newest.Made.Format(time.RFC3339Nano))
	s.opened[name] = value
	return value, nil
}

// Delete forgets a secret with all its versions; one that is not there gives ErrNotFound.
func (s *Store) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.entries[name]; !ok {
		return fmt.Errorf("secret store:%s: %w", name, ErrNotFound)
	}
	return s.save(name, nil)
}

// List gives the names, sorted.
func (s *Store) List() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.entries))
	for name := range s.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Versions describes the versions of a secret, oldest first.
func (s *Store) Versions(name string) []Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Version
	for _, v := range s.entries[name] {
		list = append(list, Version{v.Version, v.Made})
	}
	return list
}
