package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tetratelabs/wazero"
	experimental "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// A WASI command is a program that knows nothing of us but a file. It is started with the name of the action as its argument and the call,
// an abi.Call, on its standard input. In /dev/riposte it writes lines of JSON:
//
//	{"fn": "http.fetch", "request": {…}}    calls a host function; the next line to read there is the answer, an abi.Reply
//	{"output": …} or {"fault": {…}}         is its result, an abi.Result
//
// A host function has been carried out when the line was written, so that to read never waits: where there is no answer, the file ends. What
// breaks these rules ends the invocation.

// devicePath is where a command finds us, below the root.
const devicePath = "dev/riposte"

// startExport is what runs a command.
const startExport = "_start"

// maxLine bounds a line that a command writes, in bytes: the largest request that the dispatcher takes, and what is around it. A guest that may
// have less memory may not have more here.
const maxLine = 16<<20 + 1<<10

// device is /dev/riposte in one invocation, however often it is opened.
type device struct {
	guest  *guest
	line   []byte // what was written of the line that is being written
	answer []byte // what was not read yet of the last answer
	early  bool   // the guest read where there was nothing to read
	done   bool   // it gave its result
	failed bool   // which is a fault
}

// write takes what the guest writes, and does what each whole line asks for.
func (d *device) write(p []byte) {
	for len(p) > 0 {
		heed(d.guest.ctx)
		part, rest, whole := bytes.Cut(p, []byte("\n"))
		p = rest
		if most := min(maxLine, d.guest.limits.memory); int64(len(d.line)+len(part)) > most {
			d.guest.stop(abi.TooLarge, fmt.Sprintf("the plugin wrote a line of more than %d MiB to /dev/riposte", most>>20))
		}
		d.line = append(d.line, part...)
		if !whole {
			return
		}
		line := d.line
		d.line = nil
		if len(bytes.TrimSpace(line)) > 0 {
			d.take(line)
		}
	}
}

// take does what a line asks for.
func (d *device) take(line []byte) {
	switch {
	case d.done:
		d.guest.stop(abi.Trap, "the plugin wrote to /dev/riposte after its result")
	case len(d.answer) > 0:
		d.guest.stop(abi.Trap, "the plugin wrote to /dev/riposte before it had read the answer to the line before")
	}
	m, err := d.readMessage(line)
	switch {
	case err != nil:
		d.guest.stop(abi.Trap, "the plugin wrote a line to /dev/riposte that is neither a request nor a result: "+err.Error())
	case m.Function != "":
		d.answer = append(oneLine(d.guest.calls.Call(d.guest.ctx, m.Function, orObject(m.Request))), '\n')
	default:
		d.done, d.failed = true, m.Fault != nil
		d.guest.says(line)
	}
}

// message is a line that a command writes. Without a function it is a result, which decode reads.
type message struct {
	Function string          `json:"fn"`
	Request  json.RawMessage `json:"request"`
	Output   json.RawMessage `json:"output"`
	Fault    json.RawMessage `json:"fault"`
}

func (d *device) readMessage(line []byte) (m message, err error) {
	if err := d.guest.reader.Read(line, &m); err != nil {
		return m, err
	}
	switch {
	case m.Function != "" && (m.Output != nil || m.Fault != nil):
		return m, errors.New("it is both")
	case m.Function == "" && m.Request != nil:
		return m, errors.New("the name of the function is missing: fn")
	}
	return m, nil
}

// oneLine gives JSON without line feeds, which can only stand between its parts.
func oneLine(document []byte) []byte {
	if bytes.IndexByte(document, '\n') < 0 {
		return document
	}
	var b bytes.Buffer
	if err := json.Compact(&b, document); err != nil {
		return bytes.ReplaceAll(document, []byte("\n"), []byte(" "))
	}
	return b.Bytes()
}

// read gives the guest what is left of the answer.
func (d *device) read(p []byte) int {
	n := copy(p, d.answer)
	d.answer = d.answer[n:]
	d.early = d.early || n == 0 && len(p) > 0 && !d.done
	return n
}

// missing is the fault of a command that ended without a result.
func (d *device) missing() *abi.Fault {
	f := abi.NewFault(abi.Trap, "the command ended without a result", `write {"output": …} or {"fault": …} and a line feed to /dev/riposte`)
	switch {
	case len(d.line) > 0:
		f.Message += ": it left a line to /dev/riposte without an end"
	case d.early:
		f.Message += ": it read /dev/riposte where there was no answer"
		f.Hint = "write a whole line before you read, and flush it"
	}
	return f
}

// deviceFile is the device, opened. To seek in it does nothing, as in an empty file: libraries try that when they turn from reading to writing.
type deviceFile struct {
	*countedFile
	device *device
}

// Read implements sys.File.
func (f *deviceFile) Read(p []byte) (int, experimental.Errno) { return f.device.read(p), 0 }

// Pread implements sys.File: a device has no places.
func (f *deviceFile) Pread([]byte, int64) (int, experimental.Errno) { return 0, experimental.ENOTSUP }

// Write implements sys.File.
func (f *deviceFile) Write(p []byte) (int, experimental.Errno) {
	f.device.write(p)
	return len(p), 0
}

// Truncate implements sys.File, for those who open the device as a file to be written anew.
func (f *deviceFile) Truncate(int64) experimental.Errno { return 0 }

// started completes the system interface of a command.
func (g *guest) started(config wazero.ModuleConfig) wazero.ModuleConfig {
	if g.device == nil {
		return config
	}
	mounts := wazero.NewFSConfig()
	if m, ok := mounts.(sysfs.FSConfig); ok {
		mounts = m.WithSysFSMount(newFileSystem(g.files, g.device), "/")
	}
	return config.WithArgs(g.bundle.Manifest.Plugin, g.action).WithStdin(io.MultiReader(bytes.NewReader(g.input), strings.NewReader("\n"))).WithFSConfig(mounts)
}

// entry is the export that runs the action.
func (g *guest) entry() string {
	switch {
	case g.device != nil:
		return startExport
	case g.bundle.Engine() != "":
		return abi.RunExport
	}
	return g.action
}
