package trust

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// trial packs the plugin "trial" of a version, with the requirements given as YAML.
func trial(t testing.TB, version, requires string) (*bundle.Bundle, []byte) {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("..", "bundle", "testdata", "small.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := bundle.ManifestFromYAML([]byte("plugin: trial\nversion: "+version+"\ntitle: Trial\nrequires:\n"+
		"  - {id: api, kind: http, reason: look, url: \"https://api.corp.test/**\", methods: {GET: read}}\n"+requires+
		"actions:\n  blocked: {kind: enrich, title: Blocked?, effect: read, uses: [api]}\n"), "plugin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := bundle.Pack(module, manifest)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	return b, file
}

// pair makes a key.
func pair(t testing.TB) (minisign.PrivateKey, minisign.PublicKey) {
	t.Helper()
	k, err := GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := SecretKey(k.SecretFile, "")
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParseKey(string(k.PublicFile))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseKey(k.Public); err != nil || !again.Equal(public) || KeyID(public.ID()) != k.ID {
		t.Fatalf("the key's line is not that of its file: %v", err)
	}
	return secret, public
}

func sign(t testing.TB, key minisign.PrivateKey, b *bundle.Bundle) []byte {
	t.Helper()
	signature, err := Sign(key, b)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestVerify(t *testing.T) {
	secret, public := pair(t)
	stranger, strangersPublic := pair(t)
	b, file := trial(t, "1.2.0", "")
	other, _ := trial(t, "1.1.0", "")
	good := sign(t, secret, b)
	if !bytes.Equal(good, sign(t, secret, b)) {
		t.Error("signing again gives other bytes")
	}
	impostor := Key{Name: "acme", Public: public, Plugins: []string{"trial"}}
	for _, test := range []struct {
		name      string
		key       Key
		signature []byte
		message   string // of the refusal; none if it is accepted
		hint      string
	}{
		{"good", impostor, good, "", ""},
		{"pattern", Key{Public: public, Plugins: []string{"panos", "tri*"}}, good, "", ""},
		{"legacy", impostor, minisign.Sign(secret, file), "", ""},
		{"key not on the list", Key{Public: strangersPublic, Plugins: []string{"*"}}, good, "is not on the trust list", "trust.yaml"},
		{"stranger", impostor, sign(t, stranger, b), "is not on the trust list", "trust.yaml"},
		{"stranger with a borrowed number", impostor, borrow(t, sign(t, stranger, b), good), "does not fit trial@1.2.0", "changed after signing"},
		{"out of scope", Key{Name: "acme", Public: public, Plugins: []string{"acme-*", "panos"}}, good, "trusted for acme-*, panos only", "plugins"},
		{"no scope", Key{Name: "acme", Public: public}, good, "trusted for nothing only", ""},
		{"up to the version", Key{Public: public, Plugins: []string{"*"}, MaxVersion: "1.2.0"}, good, "", ""},
		{"version too high", Key{Public: public, Plugins: []string{"*"}, MaxVersion: "1.1.9"}, good, "up to version 1.1.9 only", "max_version"},
		{"still good", Key{Public: public, Plugins: []string{"*"}, NotAfter: noon}, good, "", ""},
		{"ran out", Key{Public: public, Plugins: []string{"*"}, NotAfter: noon.Add(-time.Second)}, good, "ran out on 2026-11-22", "newer key"},
		{"signature of another file", impostor, sign(t, secret, other), "does not fit trial@1.2.0", "is for trial@1.1.0"},
		{"wrong words about the right file", impostor, minisign.SignWithComments(secret, file, comment(other), "x"), "says \"riposte plugin trial@1.1.0", "sign it again"},
		{"changed comment", impostor, bytes.Replace(good, []byte("trial@1.2.0"), []byte("trial@1.2.1"), 1), "does not fit", ""},
		{"no signature", impostor, []byte("hello"), "no minisign signature", "four lines"},
		{"control characters", impostor, minisign.SignWithComments(secret, file, "a\x1b[2K", "x"), "control characters", ""},
		{"endless", impostor, bytes.Repeat([]byte("x"), MaxSignature+1), "larger than", ""},
	} {
		signer, err := List{test.key}.Verify(b, test.signature, noon)
		if test.message == "" {
			if err != nil || signer.Name != test.key.Name {
				t.Errorf("%s: %q, %v", test.name, signer.Name, err)
			}
			continue
		}
		var f *abi.Fault
		if !errors.As(err, &f) || f.Kind != abi.Refused || !strings.Contains(f.Message, test.message) || !strings.Contains(f.Hint, test.hint) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

// borrow gives a signature the number of the key of another one.
func borrow(t *testing.T, signature, from []byte) []byte {
	t.Helper()
	var a, b minisign.Signature
	if err := errors.Join(a.UnmarshalText(signature), b.UnmarshalText(from)); err != nil {
		t.Fatal(err)
	}
	a.KeyID = b.KeyID
	text, err := a.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestTamper flips every eighth byte of a signed package: what can still be opened does not fit its signature any more.
func TestTamper(t *testing.T) {
	secret, public := pair(t)
	b, file := trial(t, "1.2.0", "")
	signature := sign(t, secret, b)
	opened := 0
	for i := 8; i < len(file); i += 8 {
		changed := bytes.Clone(file)
		changed[i] ^= 1
		c, err := bundle.Open(changed)
		if err != nil {
			continue
		}
		opened++
		if err := VerifyWith(public, c, signature); err == nil {
			t.Fatalf("byte %d was changed, and nobody noticed", i)
		}
	}
	if opened == 0 {
		t.Error("no changed package could be opened: nothing was tested")
	}
	if err := VerifyWith(public, b, signature); err != nil {
		t.Error(err)
	}
}

// cheapKey is a secret key with the password "correct horse", encrypted with the least memory that the format allows.
const cheapKey = "untrusted comment: minisign encrypted secret key\n" +
	"RWRTY0IyAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AgAAAAAAAAAAAAAEAAAAAdtnYq4VpmprtelsJHCOwjy12uuwVVSmyzD+YjHLVVrUN//EV6saWbwKog1UsyY4HgfAHpxY2zd88RtLEg/J/0RV4hvgAvwXO4i4TQH+bKmdsDkzMWfdwrjufXqn1+JIIIXHMNkAnZeE=\n"

func TestEncryptedKey(t *testing.T) {
	if !Encrypted([]byte(cheapKey)) {
		t.Error("the key is not seen to be encrypted")
	}
	if _, err := SecretKey([]byte(cheapKey), "battery staple"); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("a wrong password: %v", err)
	}
	secret, err := SecretKey([]byte(cheapKey), "correct horse")
	if err != nil || KeyID(secret.ID()) != "0410E8D123EC7869" {
		t.Errorf("the right password: %v", err)
	}
	if testing.Short() {
		t.Skip("NOT TESTED: encrypting a new key takes 1 GiB of memory")
	}
	if k, err := GenerateKey("correct horse"); err != nil || !Encrypted(k.SecretFile) {
		t.Errorf("a new key lies open: %v", err)
	}
}

// TestMinisignTool lets the minisign program verify what we signed, and us what it signed.
func TestMinisignTool(t *testing.T) {
	tool, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("NOT TESTED: the minisign program is not installed (Debian package minisign)")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		c := exec.Command(tool, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("minisign %v: %v\n%s", args, err, out)
		}
	}
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	b, file := trial(t, "1.2.0", "")
	ours, err := GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := SecretKey(ours.SecretFile, "")
	if err != nil {
		t.Fatal(err)
	}
	write("trial.wasm", file)
	write("ours.pub", ours.PublicFile)
	write("ours.key", ours.SecretFile)
	write("trial.wasm.minisig", sign(t, secret, b))
	run("-V", "-p", "ours.pub", "-m", "trial.wasm")

	run("-G", "-W", "-p", "theirs.pub", "-s", "theirs.key")
	for key, flags := range map[string][]string{"theirs": {"-S"}, "ours": {"-S", "-l"}} { // prehashed, and legacy
		run(append(flags, "-s", key+".key", "-m", "trial.wasm")...)
		public, err := ParseKey(string(read(key + ".pub")))
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyWith(public, b, read("trial.wasm.minisig")); err != nil {
			t.Errorf("minisign %v with the key %s: %v", flags, key, err)
		}
	}
	if _, err := SecretKey(read("theirs.key"), ""); err != nil {
		t.Error(err)
	}
}

func TestVersions(t *testing.T) {
	list := []string{"0.9.0", "1.0.0-alpha", "1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0", "2.0.0"}
	for i := range list[1:] {
		if CompareVersions(list[i], list[i+1]) >= 0 {
			t.Errorf("%s is not older than %s", list[i], list[i+1])
		}
	}
	for _, wrong := range []string{"", "1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "latest"} {
		if ValidVersion(wrong) {
			t.Errorf("%q is taken for a version", wrong)
		}
	}
}

func FuzzSignature(f *testing.F) {
	secret, public := pair(f)
	b, file := trial(f, "1.2.0", "")
	good := sign(f, secret, b)
	f.Add(good)
	f.Add(minisign.Sign(secret, file))
	f.Add([]byte("untrusted comment: x\nRUQ=\ntrusted comment: y\nAAAA\n"))
	var want minisign.Signature
	if err := want.UnmarshalText(good); err != nil {
		f.Fatal(err)
	}
	list := List{{Name: "acme", Public: public, Plugins: []string{"*"}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := list.Verify(b, text, noon); err != nil {
			if abi.AsFault(err).Kind != abi.Refused {
				t.Errorf("kind of %v", err)
			}
			return
		}
		var got minisign.Signature
		if err := got.UnmarshalText(text); err != nil || got.Algorithm == want.Algorithm && got.TrustedComment != want.TrustedComment {
			t.Errorf("a forged signature was accepted: %q", text)
		}
	})
}
