package host

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host/hostcall"
	"github.com/riposte-soar/riposte/host/worker"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// A host and its worker process exchange frames. The host sends one order; the worker says how it went. If the order was to serve, tasks follow
// one after the other. Each has a number that cannot be guessed, which everything that belongs to it carries: what a worker that fell to its
// guest says before it was asked is the answer to nothing. The host believes no frame: what comes back is bounded, and means no more than what the
// guest itself could have said.

// Kinds of frames.
const (
	frameInstall = 1 + iota // order: make code and image of the package in the body; behind it is the engine of one that is made of scripts
	frameServe              // order: load the package in the body, then take tasks
	frameTask               // its input is the body
	frameReply              // to a call; the head is the time that all calls took

	frameDone  // the order was carried out, or the head has the faults; the head may tell the length of the code, which the body begins with
	frameCall  // the head names the function, the body is the request
	frameEnded // what the guest left; its output is the body
)

// maxFrame is the most bytes that the body of a frame from a serving worker has.
const maxFrame = hostcall.MaxRequest

var errProtocol = errors.New("host: a worker broke the protocol")

func protocol(format string, arguments ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errProtocol}, arguments...)...)
}

// orderHead is the head of an order.
type orderHead struct {
	Cache   string `json:"cache"`   // folder
	Memory  int64  `json:"memory"`  // of a guest, in bytes
	Package int    `json:"package"` // bytes of the body that are the package
}

// doneHead is the head of frameDone.
type doneHead struct {
	Faults []abi.Fault `json:"faults,omitempty"`
	Code   int         `json:"code,omitempty"` // bytes
}

// taskHead is the head of frameTask. Settings are as they are, since a guest of Extism sees each byte.
type taskHead struct {
	Action   string        `json:"action"`
	Memory   int64         `json:"memory"`
	Output   int64         `json:"output"`
	Fuel     int64         `json:"fuel"`
	Settings []byte        `json:"settings"`
	Seed     uint64        `json:"seed"`
	Start    time.Time     `json:"start"`
	Replay   bool          `json:"replay"`
	Time     time.Duration `json:"time"` // until it must end
}

// endedHead is the head of frameEnded.
type endedHead struct {
	Fault  *abi.Fault     `json:"fault,omitempty"`
	Said   []abi.LogEntry `json:"said,omitempty"`
	Stack  []string       `json:"stack,omitempty"`
	Setup  time.Duration  `json:"setup"`
	Memory int64          `json:"memory"`
	Fuel   int64          `json:"fuel"`
}

// frame makes one whose head is JSON.
func frame(kind byte, number uint64, head any, body []byte) (worker.Frame, error) {
	raw, err := json.Marshal(head)
	return worker.Frame{Kind: kind, Number: number, Head: raw, Body: body}, err
}

func (t *task) frame(number uint64, time time.Duration) (worker.Frame, error) {
	return frame(frameTask, number, taskHead{Action: t.action, Memory: t.limits.memory, Output: t.limits.output, Fuel: t.limits.fuel, Settings: t.settings,
		Seed: t.seed, Start: t.start, Replay: t.replay, Time: time}, t.input)
}

func (e *ending) frame(number uint64) (worker.Frame, error) {
	head := endedHead{Fault: e.fault, Said: e.said, Stack: e.stack, Setup: e.setup, Memory: e.memory, Fuel: e.fuel}
	f, err := frame(frameEnded, number, head, e.output)
	if err == nil && len(f.Head) > worker.MaxHead {
		head.Said, head.Stack = nil, nil
		f, err = frame(frameEnded, number, head, e.output)
	}
	return f, err
}

// endingOf reads what a worker says that its guest left. It could be a lie from the first byte to the last.
func endingOf(f worker.Frame) (ending, error) {
	var head endedHead
	if err := json.Unmarshal(f.Head, &head); err != nil {
		return ending{}, protocol("%v", err)
	}
	e := ending{setup: max(head.Setup, 0), memory: max(head.Memory, 0), fuel: max(head.Fuel, 0)}
	var said speech
	for _, entry := range head.Said {
		stream, _ := entry.Fields["stream"].(string)
		if stream != "stderr" {
			stream = "stdout"
		}
		said.add(stream, []byte(entry.Message[:min(len(entry.Message), speechLine)]))
	}
	e.said = said.lines
	for _, line := range head.Stack[:min(len(head.Stack), maxStack)] {
		e.stack = append(e.stack, strings.ToValidUTF8(line[:min(len(line), speechLine)], "�"))
	}
	switch {
	case head.Fault != nil:
		e.fault = tidy(head.Fault)
	case json.Valid(f.Body):
		e.output = f.Body
	default:
		return ending{}, protocol("the output is not JSON")
	}
	return e, nil
}

// maxStack is how many functions of a guest's stack a worker may tell.
const maxStack = 256

// replyFrame answers a call.
func replyFrame(number uint64, elapsed time.Duration, reply []byte) worker.Frame {
	return worker.Frame{Kind: frameReply, Number: number, Head: binary.LittleEndian.AppendUint64(nil, uint64(elapsed)), Body: reply}
}

// made reads code and image that a worker made of a package.
func made(f worker.Frame) (*madeModule, error) {
	var head doneHead
	err := json.Unmarshal(f.Head, &head)
	switch {
	case f.Kind != frameDone || err != nil:
		return nil, protocol("frame of kind %d, %v", f.Kind, err)
	case len(head.Faults) > 0:
		var all []error
		for n := range head.Faults {
			all = append(all, tidy(&head.Faults[n]))
		}
		return nil, errors.Join(all...)
	case head.Code < 0 || head.Code > len(f.Body):
		return nil, protocol("%d bytes of code in a body of %d", head.Code, len(f.Body))
	}
	return &madeModule{code: f.Body[:head.Code:head.Code], image: f.Body[head.Code:]}, nil
}
