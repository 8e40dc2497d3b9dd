package trust

import (
	"bytes"
	"strings"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
)

const asksForMail = "  - {id: post, kind: mail, reason: tell, server: \"mail.corp.test:25\", from: soc@corp.test, recipients: [\"*@corp.test\"]}\n"

func TestLock(t *testing.T) {
	old, _ := trial(t, "1.0.0", "")
	wider, _ := trial(t, "1.1.0", asksForMail)
	l := NewLock()
	if err := l.Check(old); err == nil || !strings.Contains(err.Error(), "trial@1.0.0 is not in riposte.lock") {
		t.Errorf("got %v", err)
	}
	install := func(want int, downgrade bool) error {
		t.Helper()
		b := old
		if want > 0 {
			b = wider
		}
		changes, err := l.Install(b, "acme", noon, downgrade)
		if err == nil && len(changes) != want {
			t.Errorf("the changes are %v", changes)
		}
		return err
	}
	if err := install(0, false); err != nil || l.Check(old) != nil || l.Held(old) != nil {
		t.Fatal("the first version is not as good as granted", err)
	}
	if err := l.Check(wider); err == nil || !strings.Contains(err.Error(), "locked is "+old.Digest) {
		t.Errorf("got %v", err)
	}
	if err := install(1, false); err != nil || l.Check(wider) != nil {
		t.Fatal(err)
	}
	held := l.Held(wider)
	if held == nil || held.Kind != abi.Refused || !strings.Contains(held.Message, "new capability post: mail") || !strings.Contains(held.Hint, "riposte plugin grant trial") {
		t.Fatalf("got %v", held)
	}
	if err := install(1, false); err != nil || l.Held(wider) == nil {
		t.Errorf("installing twice grants: %v", err)
	}
	if err := install(0, false); err == nil || !strings.Contains(err.Error(), "--allow-downgrade") {
		t.Errorf("got %v", err)
	}
	if err := l.Grant(old); err == nil {
		t.Error("a package that is not locked is granted")
	}
	if err := l.Grant(wider); err != nil || l.Held(wider) != nil {
		t.Errorf("it is held though granted: %v", err)
	}
	// Less than before is granted as such: the next version that asks for it again is held again.
	changes, err := l.Install(old, "acme", noon, true)
	if err != nil || Widens(changes) || len(changes) != 1 || l.Held(old) != nil {
		t.Fatal(changes, err)
	}
	if err := install(1, false); err != nil || l.Held(wider) == nil {
		t.Errorf("what was given up is granted still: %v", err)
	}
}

func TestLockFile(t *testing.T) {
	b, _ := trial(t, "1.0.0", asksForMail)
	l := NewLock()
	if _, err := l.Install(b, "acme", noon, false); err != nil {
		t.Fatal(err)
	}
	text, err := l.Format()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseLock("riposte.lock", text)
	if err != nil || back.Check(b) != nil || back.Held(b) != nil {
		t.Fatalf("the lock changes by being written: %v", err)
	}
	if again, err := back.Format(); err != nil || !bytes.Equal(again, text) {
		t.Errorf("the same lock has other bytes: %v", err)
	}
	for _, test := range []struct{ from, to, where, message string }{
		{`"signer"`, `"singer"`, "riposte.lock:", "unknown field"},
		{`"version": 1`, `"version": 2`, "riposte.lock:1", "format 2"},
		{`"digest": "sha256:`, `"digest": "sha512:`, "riposte.lock:1", "64 hexadecimal digits"},
		{`"1.0.0"`, `"1.0"`, "riposte.lock:1", "a version such as 1.2.0"},
		{`"signer":`, `"signer"`, "riposte.lock:7", "after object key"},
		{"\n}\n", "\n}\n{}", "riposte.lock:", "after the lock"},
		{`{`, `[`, "riposte.lock:", ""},
	} {
		changed := strings.Replace(string(text), test.from, test.to, 1)
		_, err := ParseLock("riposte.lock", []byte(changed))
		f := abi.AsFault(err)
		if f == nil || f.Kind != abi.Invalid || !strings.HasPrefix(f.Where, test.where) || !strings.Contains(f.Message, test.message) || f.Hint == "" {
			t.Errorf("%s → %s: got %v", test.from, test.to, err)
		}
	}
	if _, err := ParseLock("riposte.lock", make([]byte, MaxLock+1)); err == nil {
		t.Error("a lock of any size is read")
	}
}

func FuzzParseLock(f *testing.F) {
	b, _ := trial(f, "1.0.0", asksForMail)
	l := NewLock()
	if _, err := l.Install(b, "acme", noon, false); err != nil {
		f.Fatal(err)
	}
	text, err := l.Format()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"version":1,"plugins":null}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLock("riposte.lock", text)
		if err != nil {
			return
		}
		once, err := l.Format()
		if err != nil {
			t.Skip("a time that JSON cannot hold")
		}
		back, err := ParseLock("riposte.lock", once)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v\n%s", err, once)
		}
		if again, err := back.Format(); err != nil || !bytes.Equal(once, again) {
			t.Errorf("the lock changes by being written: %v", err)
		}
	})
}
