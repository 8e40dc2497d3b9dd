// Command command is a plain program: it knows of its host only that there is /dev/riposte.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"
)

// call is what stands on the standard input.
type call struct {
	Action     string                      `json:"action"`
	Parameters json.RawMessage             `json:"parameters"`
	Settings   struct{ URL, Token string } `json:"settings"`
}

type host struct {
	device *os.File
	lines  *bufio.Reader
}

// ask calls a host function.
func (h *host) ask(fn string, request any) json.RawMessage {
	h.write(map[string]any{"fn": fn, "request": request})
	return h.answer()
}

func (h *host) answer() json.RawMessage {
	line, err := h.lines.ReadBytes('\n')
	check(err)
	var reply struct{ Value, Fault json.RawMessage }
	check(json.Unmarshal(line, &reply))
	if reply.Fault != nil {
		h.end("fault", reply.Fault)
	}
	return reply.Value
}

func (h *host) write(line any) {
	raw, err := json.Marshal(line)
	check(err)
	_, err = h.device.Write(append(raw, '\n'))
	check(err)
}

func (h *host) end(how string, value any) {
	h.write(map[string]any{how: value})
	if how == "fault" {
		os.Exit(1)
	}
	os.Exit(0)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

var counted int

func main() {
	var c call
	check(json.NewDecoder(os.Stdin).Decode(&c))
	if len(os.Args) != 2 || os.Args[1] != c.Action {
		check(fmt.Errorf("arguments %q for %s", os.Args, c.Action))
	}
	device, err := os.OpenFile("/dev/riposte", os.O_RDWR, 0)
	check(err)
	h := &host{device, bufio.NewReader(device)}
	h.act(c)
}

func (h *host) act(c call) {
	switch c.Action {
	case "echo":
		h.end("output", c.Parameters)
	case "fetch":
		first := h.ask("http.fetch", map[string]any{"capability": "site", "method": "GET", "url": c.Settings.URL + "/one"})
		h.ask("log.write", map[string]any{"level": "info", "message": "half of it\nis done"})
		second := h.ask("http.fetch", map[string]any{"capability": "site", "method": "POST", "url": c.Settings.URL + "/two", "body": map[string]string{"text": "x"}})
		h.ask("emit.finding", map[string]any{"value": "found"})
		h.end("output", []json.RawMessage{first, second})
	case "look":
		h.end("output", look(c))
	case "lines":
		var written struct {
			Text string
			Pass bool // the fault of the answer on
		}
		check(json.Unmarshal(c.Parameters, &written))
		_, err := io.WriteString(h.device, written.Text)
		check(err)
		if written.Pass {
			h.answer()
		}
	case "deny":
		h.end("fault", map[string]any{"kind": "not_found", "message": "no such address", "hint": "look it up"})
	case "late":
		h.write(map[string]any{"output": 1})
		panic("too late")
	case "crash":
		fmt.Println("about to")
		panic("a bad day")
	case "open":
		for range 1000 { // closed ones do not count
			f, err := os.Open("/README.md")
			check(err)
			check(f.Close())
		}
		for all := []*os.File{}; ; {
			f, err := os.Open("/dev/riposte")
			check(err)
			all = append(all, f)
		}
	case "loop":
		for {
		}
	case "devour":
		for all := [][]byte{}; ; all = append(all, make([]byte, 1<<20)) {
		}
	case "wait":
		_, err := h.lines.ReadByte()
		fmt.Fprintln(os.Stderr, "read:", err)
	case "count":
		counted++
		h.end("output", counted)
	}
}

// look tells what there is of a world.
func look(c call) map[string]any {
	said := map[string]any{"arguments": os.Args, "environment": os.Environ(), "token": c.Settings.Token, "now": time.Now().UTC()}
	var names []string
	check(fs.WalkDir(os.DirFS("/"), ".", func(name string, e fs.DirEntry, err error) error {
		check(err)
		info, err := e.Info()
		check(err)
		names = append(names, fmt.Sprintf("%s %s %d", info.Mode().Type(), name, info.Size()))
		return nil
	}))
	said["files"] = names
	readme, err := os.ReadFile("README.md")
	check(err)
	said["readme"] = string(readme)
	f, err := os.Open("/docs/long.txt")
	check(err)
	tail := make([]byte, 4)
	_, err = f.ReadAt(tail, 2)
	check(err)
	_, err = f.Seek(-1, io.SeekEnd)
	check(err)
	last, err := io.ReadAll(f)
	check(err)
	said["parts"] = string(tail) + string(last)
	refused := map[string]bool{}
	for _, name := range []string{"/etc/passwd", "/proc/self/environ", "../etc/passwd", "/docs/../../etc/passwd", "/dev/null", "/tmp", "/work"} {
		_, err := os.Open(name)
		refused[name] = err != nil
	}
	refused["create"] = os.WriteFile("/new", nil, 0o600) != nil
	refused["append"] = os.WriteFile("/README.md", nil, 0o600) != nil
	refused["mkdir"] = os.Mkdir("/folder", 0o700) != nil
	refused["remove"] = os.Remove("/README.md") != nil
	refused["rename"] = os.Rename("/README.md", "/other") != nil
	refused["link"] = os.Symlink("/etc/passwd", "/link") != nil
	_, err = net.Dial("tcp", "127.0.0.1:80")
	refused["dial"] = err != nil
	said["refused"] = refused
	return said
}
