package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a program that has a terminal of its own, and somebody at it.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	shown  bytes.Buffer
}

func startOnTerminal(t *testing.T, dir string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("NOT TESTED: no terminals here: ", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	state, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	state.Lflag |= unix.NOFLSH // the kernel discards what is not shown yet when it has sent the signal of Ctrl-C: with it, at times, what the program says of that
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, state); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "riposte") // testscript's Main looks at the name that it is called by
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, master: master, cmd: cmd}
}

// types waits until the terminal shows a prompt, and that it shows nothing of what is typed from now on; then types.
func (m *terminal) types(prompt, text string) {
	m.t.Helper()
	buffer := make([]byte, 1024)
	for !strings.HasSuffix(m.shown.String(), prompt) {
		n, err := m.master.Read(buffer)
		if err != nil {
			m.t.Fatalf("no prompt %q: %v\n%s", prompt, err, m.shown.String())
		}
		m.shown.Write(buffer[:n])
	}
	for silent := false; !silent; {
		state, err := unix.IoctlGetTermios(int(m.master.Fd()), unix.TCGETS)
		if err != nil {
			m.t.Fatal(err)
		}
		if silent = state.Lflag&unix.ECHO == 0; !silent {
			time.Sleep(time.Millisecond) // the kernel has no event for it
		}
	}
	if _, err := m.master.WriteString(text); err != nil {
		m.t.Fatal(err)
	}
}

// ends gives all that the terminal showed, and the exit code.
func (m *terminal) ends() (string, int) {
	m.t.Helper()
	_, _ = m.shown.ReadFrom(m.master) // which ends with an error when nobody holds the other side
	_ = m.cmd.Wait()
	return m.shown.String(), m.cmd.ProcessState.ExitCode()
}

// TestPasswordsOnATerminal: the password of a key is asked for, twice where it is new, and never shown.
func TestPasswordsOnATerminal(t *testing.T) {
	dir := t.TempDir()
	module, err := os.ReadFile(filepath.Join("..", "..", "host", "bundle", "testdata", "small.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"small.wasm": module, "plugin.yaml": []byte("plugin: trial\nversion: 1.0.0\ntitle: Trial\n" +
		"requires: [{id: api, kind: http, reason: look, url: \"https://api.corp.test/**\", methods: {GET: read}}]\n" +
		"actions: {blocked: {kind: enrich, title: Blocked?, effect: read, uses: [api]}}\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if said, code := startOnTerminal(t, dir, "plugin", "pack", "small.wasm", "plugin.yaml", "-o", "trial.wasm").ends(); code != 0 {
		t.Fatal(said)
	}
	sign := []string{"plugin", "sign", "trial.wasm", "-k", "me.key"}
	type line struct{ prompt, text string }
	for _, step := range []struct {
		args  []string
		types []line
		code  int
		says  string
	}{
		{[]string{"plugin", "keygen", "me"}, []line{{"password for me.key: ", "\n"}}, 2, "the password is empty; --no-password makes"},
		{[]string{"plugin", "keygen", "me"}, []line{{"password for me.key: ", "tr0ub4dor\n"}, {"once more: ", "troubador\n"}}, 2, "the two passwords are not the same"},
		{[]string{"plugin", "keygen", "me"}, []line{{"password for me.key: ", "\x03"}}, 1, "interrupted"},
		{[]string{"plugin", "keygen", "me"}, []line{{"password for me.key: ", "tr0ub4dor\n"}, {"once more: ", "tr0ub4dor\n"}}, 0, "name: me"},
		{sign, []line{{"password of me.key: ", "\x03"}}, 1, "interrupted"},
		{sign, []line{{"password of me.key: ", "troubador\n"}}, 2, "me.key: invalid: the secret key cannot be decrypted (is the password right?)"},
		{sign, []line{{"password of me.key: ", "tr0ub4dor\n"}}, 0, "trial@1.0.0 is signed"},
	} {
		m := startOnTerminal(t, dir, step.args...)
		for _, l := range step.types {
			m.types(l.prompt, l.text)
		}
		said, code := m.ends()
		if code != step.code || !strings.Contains(said, step.says) || strings.Contains(said, "tr0ub4dor") || strings.Contains(said, "troubador") {
			t.Errorf("%v: ended with %d, wanted %d and %q:\n%s", step.args, code, step.code, step.says, said)
		}
	}
}
