package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const value = `p&ss/w"rd+<é>=42`

func TestSecretDoesNotPrintItself(t *testing.T) {
	s := New(value, "v1")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S Secret }{s})
	inJSON, err := json.Marshal(map[string]any{"s": s, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%s %v %+v %#v %q %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%+v", struct{ S *Secret }{&s}),
		fmt.Sprintf("%#v", []Secret{s}), log.String(), string(inJSON), fmt.Errorf("it is %v", s).Error()} {
		if strings.Contains(shown, "p&ss") || strings.Contains(shown, hex.EncodeToString([]byte("p&ss"))) {
			t.Errorf("it shows in %q", shown)
		}
	}
	if s.Reveal() != value || s.Version() != "v1" {
		t.Error("it is not what it was made of")
	}
}

func TestParseRef(t *testing.T) {
	for _, ok := range []string{"env:KEY", "file:/run/secrets/key", "store:panos/key"} {
		if _, err := ParseRef(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "key", "env:", "vault:x", "env:A\nB"} {
		if _, err := ParseRef(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// encodings of s that an answer may echo.
func encodings(s string) map[string]string {
	inJSON, _ := json.Marshal(s)
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return map[string]string{
		"raw": s, "query": url.QueryEscape(s), "path": url.PathEscape(s), "lower": strings.ToLower(url.QueryEscape(s)),
		"json": string(inJSON[1 : len(inJSON)-1]), "json plain": strings.Trim(strings.TrimSpace(plain.String()), `"`),
		"hex": hex.EncodeToString([]byte(s)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(s))),
		"base64": base64.StdEncoding.EncodeToString([]byte(s)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(s)),
		"basic":  base64.StdEncoding.EncodeToString([]byte("admin:" + s)),
		"basic1": base64.StdEncoding.EncodeToString([]byte("admin1:" + s + "!")), "basic2": base64.URLEncoding.EncodeToString([]byte("admin12:" + s + "!!")),
	}
}

func TestRedactor(t *testing.T) {
	r := NewRedactor(New(value, ""), New("other-secret", ""), New("abc", ""))
	for name, echo := range encodings("other-secret") {
		got := r.String("before " + echo + " between " + echo + " after abc")
		if strings.Contains(got, echo) || !strings.Contains(got, " between ") || strings.Count(got, mask) < 2 {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, echo := range encodings(value) {
		if name == "lower" {
			continue // lowers letters of the secret itself
		}
		if got := r.String(echo); strings.Contains(got, echo) || len(got) > len(mask)+14 {
			t.Errorf("%s: %q became %q", name, echo, got)
		}
	}
	clean := []byte("nothing to see here")
	if got := r.Bytes(clean); &got[0] != &clean[0] {
		t.Error("clean data was copied")
	}
	var none *Redactor
	if none.String("x") != "x" || !none.Empty() || NewRedactor(New("abc", "")).String("abc") != "abc" {
		t.Error("an empty redactor changed something")
	}
}

// Wherever a secret stands, in whatever coding and alignment, nothing of it is left; and what is not the secret stays.
func TestRedactorProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[ -~]{6,40}`).Draw(t, "secret")
		if strings.TrimSpace(s) != s {
			return
		}
		before := rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "before")
		after := rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "after")
		r := NewRedactor(New(s, ""), New("unrelated-"+strings.Repeat("x", 30), ""))
		got := r.String(before + s + after)
		if !strings.Contains(got, mask) || (!strings.Contains(mask, s) && strings.Contains(strings.ReplaceAll(got, mask, "\x00"), s)) {
			t.Fatalf("%q in %q gives %q", s, before+s+after, got)
		}
		for _, coding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			got := r.String(coding.EncodeToString([]byte(before + s + after)))
			if !strings.Contains(got, mask) {
				t.Fatalf("%q is not found in base64: %s", s, got)
			}
			kept, _, _ := strings.Cut(got, mask)
			plain, _ := coding.WithPadding(base64.NoPadding).DecodeString(kept[:len(kept)/4*4])
			if len(plain) > len(before) && !strings.Contains(before, s[:1]) {
				t.Fatalf("%q: %q of it can still be read", s, plain[len(before):])
			}
		}
	})
}

func FuzzRedactor(f *testing.F) {
	f.Add("hunter22", "the password is hunter22, hunter22")
	f.Fuzz(func(t *testing.T, s, data string) {
		r := NewRedactor(New(s, ""))
		got := r.String(data)
		if len(s) >= MinLength && !strings.Contains(data, mask) && strings.Contains(strings.ReplaceAll(got, mask, "\x00"), s) {
			t.Fatalf("%q is left in %q", s, got)
		}
	})
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("from-file\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RIPOSTE_TEST_SECRET", "from-env")
	store, err := OpenStore(filepath.Join(dir, "secrets"), filepath.Join(dir, "master"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put("panos/key", "from-store"); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	sources, err := NewSources(SourcesOptions{Store: store, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]bool{}
	for ref, want := range map[Ref]string{"env:RIPOSTE_TEST_SECRET": "from-env", Ref("file:" + file): "from-file", "store:panos/key": "from-store"} {
		got, err := sources.Resolve(t.Context(), ref)
		if err != nil || got.Reveal() != want {
			t.Errorf("%s: %v, %v", ref, got.Reveal(), err)
		}
		versions[got.Version()] = true
	}
	if len(versions) != 3 {
		t.Errorf("versions %v", versions)
	}
	if !strings.Contains(log.String(), "chmod 0600") || strings.Contains(log.String(), "from-file") {
		t.Errorf("log %q", log.String())
	}
	again, err := NewSources(SourcesOptions{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := sources.Resolve(t.Context(), "env:RIPOSTE_TEST_SECRET")
	b, _ := again.Resolve(t.Context(), "env:RIPOSTE_TEST_SECRET")
	t.Setenv("RIPOSTE_TEST_SECRET", "changed")
	c, _ := again.Resolve(t.Context(), "env:RIPOSTE_TEST_SECRET")
	if a.Version() != b.Version() || b.Version() == c.Version() {
		t.Errorf("versions %s %s %s", a.Version(), b.Version(), c.Version())
	}
	for _, ref := range []Ref{"env:RIPOSTE_NOT_SET", Ref("file:" + dir + "/none"), "store:none", "x"} {
		if _, err := sources.Resolve(t.Context(), ref); err == nil {
			t.Errorf("%s was resolved", ref)
		}
	}
}

func TestSourcesAreBounded(t *testing.T) {
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(inside, "key"), outside} {
		if err := os.WriteFile(name, []byte("a-secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(inside, "link")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RIPOSTE_TEST_A", "a-secret")
	sources, err := NewSources(SourcesOptions{EnvPrefix: "RIPOSTE_TEST_", Folders: []string{inside}})
	if err != nil {
		t.Fatal(err)
	}
	for ref, ok := range map[Ref]bool{"env:RIPOSTE_TEST_A": true, "env:PATH": false, Ref("file:" + inside + "/key"): true, Ref("file:" + outside): false,
		Ref("file:" + inside + "/../out"): false, Ref("file:" + inside + "/link"): false, "file:in/key": false} {
		if got, err := sources.Resolve(t.Context(), ref); ok != (err == nil) || ok && got.Reveal() != "a-secret" {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "secrets"), filepath.Join(dir, "master")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	open := func() (*Store, error) { return OpenStore(file, key, func() time.Time { return now }) }
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	for i := range KeptVersions + 2 {
		if n, err := s.Put("a/key", fmt.Sprintf("value-%02d", i)); err != nil || n != i+1 {
			t.Fatalf("version %d: %d, %v", i, n, err)
		}
	}
	if _, err := s.Put("b", "value-of-b"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "a b", "-a", "../x", strings.Repeat("a", 200)} {
		if _, err := s.Put(name, "value"); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	if _, err := s.Put("short", "abc"); err == nil {
		t.Error("a value that cannot be masked was taken")
	}
	if s, err = open(); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get("a/key")
	if err != nil || got.Reveal() != "value-11" || !strings.HasPrefix(got.Version(), "v12@") {
		t.Errorf("got %q %q %v", got.Reveal(), got.Version(), err)
	}
	if names := s.List(); strings.Join(names, " ") != "a/key b" {
		t.Errorf("names %v", names)
	}
	if v := s.Versions("a/key"); len(v) != KeptVersions || v[0].Number != 3 {
		t.Errorf("versions %v", v)
	}
	if err := s.Delete("a/key"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get("a/key"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after delete: %v", err)
	}
	if err := s.Delete("a/key"); !errors.Is(err, ErrNotFound) {
		t.Errorf("second delete: %v", err)
	}
	for _, name := range []string{file, key} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	data, _ := os.ReadFile(file)
	if bytes.Contains(data, []byte("value-")) {
		t.Error("a value stands in the file")
	}
}

func TestStoreRefusesTampering(t *testing.T) {
	dir := t.TempDir()
	file, key := filepath.Join(dir, "secrets"), filepath.Join(dir, "master")
	s, err := OpenStore(file, key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := s.Put("a", "value-of-a")
	_, err2 := s.Put("b", "value-of-b")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	reopen := func(t *testing.T, data []byte) error {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenStore(file, key, time.Now)
		return err
	}
	var entries map[string][]sealed
	if err := json.Unmarshal(good, &entries); err != nil {
		t.Fatal(err)
	}
	entries["a"], entries["b"] = entries["b"], entries["a"]
	swapped, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	if reopen(t, swapped) == nil {
		t.Error("secrets that changed places were taken")
	}
	if reopen(t, good[:len(good)/2]) == nil {
		t.Error("half a file was taken")
	}
	if err := reopen(t, good); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := reopen(t, good); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if reopen(t, good) == nil {
		t.Error("a store without its key was opened")
	}
}

func BenchmarkRedact1MiB(b *testing.B) {
	r := NewRedactor(New("sk-live-0123456789abcdef", ""), New("Corr3ct-Horse/Battery+Staple", ""))
	text := make([]byte, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = "{\"abcdefghijklmnop\": 0123456789,}\n"[random.IntN(34)]
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.Bytes(text)
	}
}

func BenchmarkNewRedactor(b *testing.B) {
	s := New("sk-live-0123456789abcdef", "")
	b.ReportAllocs()
	for b.Loop() {
		NewRedactor(s)
	}
}
