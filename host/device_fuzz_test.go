package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/strict"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// FuzzDevice writes what it is given to the device, in pieces, and reads in between. Whatever comes, each request has one answer on one line, to
// read never waits, and what breaks the rules ends the guest with a fault.
func FuzzDevice(f *testing.F) {
	f.Add([]byte("{\"fn\":\"log.write\",\"request\":{\"level\":\"info\",\"message\":\"x\"}}\n{\"output\":1}\n"), uint8(7), uint8(3))
	f.Add([]byte("{\"fn\":\"http.fetch\",\"request\":{}}\n{\"fn\":\"no.such\"}\n{\"fault\":{}}\n"), uint8(255), uint8(255))
	f.Add([]byte("{\"fn\":\"emit.finding\",\n{\"fn\":\"\\ud800\xff\"}\n"), uint8(1), uint8(1))
	f.Add([]byte("\x0c\x00\x00\x00{\"output\":1}\n\n\r\n"), uint8(0), uint8(9))
	services := hostcall.NewServices(hostcall.ServicesOptions{})
	defer services.Close()
	var reader strict.Reader
	manifest := &abi.Manifest{Plugin: "trial", Actions: map[string]abi.Action{"act": {Effect: abi.Pure}}}
	f.Fuzz(func(t *testing.T, input []byte, piece, buffer uint8) {
		session, fault := hostcall.NewSession(hostcall.SessionOptions{Manifest: manifest, Action: "act", Services: services})
		if fault != nil {
			t.Fatal(fault)
		}
		defer session.Close()
		d := &device{guest: &guest{task: task{calls: session, limits: limits{memory: 1 << 20}}, reader: &reader, ctx: t.Context()}}
		defer func() {
			if err, ok := recover().(error); ok && !errors.As(err, new(*abi.Fault)) {
				t.Fatal(err)
			}
		}()
		for len(input) > 0 {
			n := min(int(piece)+1, len(input))
			d.write(input[:n])
			input = input[n:]
			checkAnswer(t, d, make([]byte, int(buffer)+1))
		}
		if d.done != (d.guest.outputs > 0) {
			t.Errorf("done %v, %q", d.done, d.guest.output)
		}
	})
}

// TestLinesAreBounded writes a line that does not end.
func TestLinesAreBounded(t *testing.T) {
	for memory, most := range map[int64]int{64 << 20: maxLine, 1 << 20: 1 << 20} {
		d := &device{guest: &guest{task: task{limits: limits{memory: memory}}, ctx: t.Context()}}
		func() {
			defer func() {
				if fault, ok := recover().(*abi.Fault); !ok || fault.Kind != abi.TooLarge || len(d.line) > most || len(d.line) < most-1<<16 {
					t.Errorf("%v after %d bytes", fault, len(d.line))
				}
			}()
			for range 2 * maxLine >> 16 {
				d.write(bytes.Repeat([]byte{'x'}, 1<<16))
			}
		}()
	}
}

// checkAnswer reads an answer, if there is one.
func checkAnswer(t *testing.T, d *device, buffer []byte) {
	var answer []byte
	for n := d.read(buffer); n > 0; n = d.read(buffer) {
		answer = append(answer, buffer[:n]...)
	}
	var reply abi.Reply
	if len(answer) > 0 && (bytes.IndexByte(answer, '\n') != len(answer)-1 || json.Unmarshal(answer, &reply) != nil) {
		t.Fatalf("answer %q", answer)
	}
}
