package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/trust"
)

const someKey = "RWRpeOwj0egQBG3fHh92P2pAF6ozmYgh87XzUucDTeNJH4llyMqsZUbl"

func TestParseTrust(t *testing.T) {
	const good = `keys:
  - name: acme
    key: ` + someKey + `
    plugins: ["acme-*", panos]
    max_version: 2.0.0
    not_after: 2027-12-31
`
	list, problems := ParseTrust("trust.yaml", []byte(good))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	last := time.Date(2027, 12, 31, 23, 59, 59, 0, time.UTC)
	if k := list[0]; len(list) != 1 || k.Name != "acme" || trust.KeyID(k.Public.ID()) != "0410E8D123EC7869" || len(k.Plugins) != 2 || k.MaxVersion != "2.0.0" ||
		k.NotAfter.Before(last) || k.NotAfter.After(last.Add(time.Second)) {
		t.Errorf("got %+v", list)
	}
	for _, test := range []struct{ from, to, where, message string }{
		{"keys:", "key:", "trust.yaml:1:1", "keys"},
		{"name: acme", "nam: acme", "trust.yaml:2:5", "name"},
		{"name: acme", `name: ""`, "trust.yaml:2:11", "name of the key's owner"},
		{someKey, "RWRpeOwj", "trust.yaml:3:10", "no minisign public key"},
		{"    plugins: [\"acme-*\", panos]\n", "", "trust.yaml:2:5", "plugins"},
		{`"acme-*"`, `"acme-["`, "trust.yaml:4:15", "no pattern"},
		{"2.0.0", "2.0", "trust.yaml:5:18", ""},
		{"2.0.0", "latest", "trust.yaml:5:18", "expected a version"},
		{"2027-12-31", "31.12.2027", "trust.yaml:6:16", "expected a day"},
		{"not_after", "until", "trust.yaml:6:5", "until"},
		{"not_after: 2027-12-31", "isolation: wasm", "trust.yaml:6:16", "expected auto or process"},
		{"    plugins: [", "    plugins: [x]\n  - name: again\n    key: " + someKey + "\n    plugins: [", "trust.yaml:5:11", "on the list already"},
	} {
		changed := strings.Replace(good, test.from, test.to, 1)
		_, problems := ParseTrust("trust.yaml", []byte(changed))
		if len(problems) == 0 || problems[0].Where() != test.where || !strings.Contains(problems.Error(), test.message) {
			t.Errorf("%s → %s: got %v", test.from, test.to, problems)
		}
	}
}

func FuzzParseTrust(f *testing.F) {
	f.Add([]byte("keys:\n  - {name: a, key: " + someKey + ", plugins: [\"*\"], not_after: 2027-01-01}\n"))
	f.Add([]byte("keys: []"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, problems := ParseTrust("trust.yaml", text)
		for i := range list {
			if len(problems) == 0 && (list[i].Name == "" || list[i].Public.ID() == 0 && list[i].Public.String() == "") {
				t.Errorf("accepted: %+v", list[i])
			}
		}
	})
}

// shelf is a folder of content with plugins.
type shelf struct {
	t       *testing.T
	dir     string
	secret  minisign.PrivateKey
	lock    *trust.Lock
	options Options
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	pair, err := trust.GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{t: t, dir: t.TempDir(), lock: trust.NewLock()}
	if s.secret, err = trust.SecretKey(pair.SecretFile, ""); err != nil {
		t.Fatal(err)
	}
	s.options = Options{Content: s.dir, Now: func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }}
	if err := os.Mkdir(filepath.Join(s.dir, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write(TrustFile, []byte("keys: [{name: acme, key: "+pair.Public+", plugins: [\"trial*\"], not_after: 2026-11-22}]"))
	return s
}

func (s *shelf) write(name string, content []byte) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, filepath.FromSlash(name)), content, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// add packs a plugin and signs it.
func (s *shelf) add(file, name, methods string) *bundle.Bundle {
	s.t.Helper()
	module, err := os.ReadFile(filepath.Join("..", "host", "bundle", "testdata", "small.wasm"))
	if err != nil {
		s.t.Fatal(err)
	}
	manifest, err := bundle.ManifestFromYAML([]byte("plugin: "+name+"\nversion: 1.0.0\ntitle: Trial\nrequires:\n"+
		"  - {id: api, kind: http, reason: look, url: \"https://api.corp.test/**\", methods: "+methods+"}\n"+
		"actions:\n  blocked: {kind: enrich, title: Blocked?, effect: read, uses: [api]}\n"), "plugin.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	packed, err := bundle.Pack(module, manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := bundle.Open(packed)
	if err != nil {
		s.t.Fatal(err)
	}
	signature, err := trust.Sign(s.secret, b)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("plugins/"+file, packed)
	s.write("plugins/"+file+SignatureSuffix, signature)
	return b
}

func (s *shelf) writeLock() {
	s.t.Helper()
	text, err := s.lock.Format()
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(LockFile, text)
}

func (s *shelf) install(b *bundle.Bundle) {
	s.t.Helper()
	if _, err := s.lock.Install(b, "acme", s.options.Now(), false); err != nil {
		s.t.Fatal(err)
	}
	s.writeLock()
}

// refused expects that opening fails, and that the error holds all of these.
func (s *shelf) refused(want ...string) {
	s.t.Helper()
	_, err := OpenPlugins(s.options)
	if err == nil {
		s.t.Errorf("the plugins are opened, want %q", want)
		return
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			s.t.Errorf("got %v\nwant %q", err, text)
		}
	}
}

func (s *shelf) opened() *Plugins {
	s.t.Helper()
	all, err := OpenPlugins(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func TestOpenPlugins(t *testing.T) {
	s := newShelf(t)
	b := s.add("trial.wasm", "trial", "{GET: read}")
	if all := s.opened(); all.Bundles["trial"] == nil || len(all.Held) > 0 {
		t.Fatalf("got %v", all)
	}
	s.add("second.wasm", "trial-two", "{GET: read}")
	s.add("third.wasm", "stranger", "{GET: read}")
	s.add("fourth.wasm", "trial", "{GET: read}")
	if err := os.Remove(filepath.Join(s.dir, "plugins", "second.wasm.minisig")); err != nil {
		t.Fatal(err)
	}
	s.refused("second.wasm: refused: the plugin is not signed", "third.wasm: refused: the key \"acme\" signed stranger@1.0.0, but is trusted for trial* only",
		"plugin trial is in ", "fourth.wasm already")
	s.options.Plugins.Unsigned = unsignedAllow
	for _, file := range []string{"third.wasm", "fourth.wasm"} {
		if err := os.Remove(filepath.Join(s.dir, "plugins", file)); err != nil {
			t.Fatal(err)
		}
	}
	if all := s.opened(); all.Bundles["trial-two"] == nil {
		t.Error("an unsigned plugin is refused though it is allowed")
	} else if !all.Isolated[all.Bundles["trial-two"].Digest] || all.Isolated[b.Digest] {
		t.Errorf("of the signed %s and an unsigned plugin are isolated: %v", b.Digest, all.Isolated)
	}

	s.install(b)
	s.refused("second.wasm: refused: trial-two@1.0.0 is not in riposte.lock")
	s.options.Plugins.Unsigned = ""
	if err := os.Remove(filepath.Join(s.dir, "plugins", "second.wasm")); err != nil {
		t.Fatal(err)
	}
	now := s.options.Now
	s.options.Now = func() time.Time { return now().AddDate(1, 0, 0) }
	s.opened() // the key ran out, but vouched in time
	if err := os.Remove(filepath.Join(s.dir, LockFile)); err != nil {
		t.Fatal(err)
	}
	s.refused("ran out on 2026-11-22")
	s.options.Now = now
	s.writeLock()

	wider := s.add("trial.wasm", "trial", "{GET: read, DELETE: write.unsafe}")
	s.refused("trial.wasm: refused: trial@1.0.0 is not the package in riposte.lock", "locked is "+b.Digest)
	s.install(wider)
	if all := s.opened(); all.Bundles["trial"].Digest != wider.Digest || all.Held[wider.Digest] == nil ||
		!strings.Contains(all.Held[wider.Digest].Message, "new method DELETE") {
		t.Errorf("a plugin that asks for more is not held: %v", all.Held)
	}
	if err := s.lock.Grant(wider); err != nil {
		t.Fatal(err)
	}
	s.writeLock()
	if all := s.opened(); len(all.Held) > 0 {
		t.Errorf("held though granted: %v", all.Held)
	}
	trusted, err := os.ReadFile(filepath.Join(s.dir, TrustFile))
	if err != nil {
		t.Fatal(err)
	}
	s.write(TrustFile, []byte(strings.Replace(string(trusted), "name: acme", "name: acme, isolation: process", 1)))
	if all := s.opened(); !all.Isolated[wider.Digest] || all.Isolated[all.Bundles["whois"].Digest] {
		t.Errorf("of a plugin by a key that is isolated and a built-in one are isolated: %v", all.Isolated)
	}
	s.write(TrustFile, trusted)
	s.options.Plugins.Isolation = isolationProcess
	if all := s.opened(); !all.Isolated[wider.Digest] || !all.Isolated[all.Bundles["whois"].Digest] {
		t.Errorf("where all plugins are isolated, these are: %v", all.Isolated)
	}
	s.write(TrustFile, []byte("keys: []"))
	s.refused("which is not on the trust list")
	if err := os.Remove(filepath.Join(s.dir, "plugins", "trial.wasm")); err != nil {
		t.Fatal(err)
	}
	s.refused("plugin trial is in riposte.lock, but its package is not there", "riposte plugin remove trial")
}

func TestUnsignedAndIsolationAreWords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "riposte.yaml")
	for word, good := range map[string]bool{"allow": true, "refuse": true, "maybe": false, "true": false} {
		if err := os.WriteFile(file, []byte("plugins: {unsigned: "+word+"}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := LoadConfig(file)
		if (err == nil) != good || c.Plugins.UnsignedAllowed() && word != "allow" {
			t.Errorf("%s: %+v, %v", word, c.Plugins, err)
		}
	}
	for word, good := range map[string]bool{"auto": true, "process": true, "none": false} {
		if err := os.WriteFile(file, []byte("plugins: {isolation: "+word+"}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if c, err := LoadConfig(file); (err == nil) != good {
			t.Errorf("%s: %+v, %v", word, c.Plugins, err)
		}
	}
}
