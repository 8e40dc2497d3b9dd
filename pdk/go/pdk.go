// Package pdk is the kit for plugins written in Go. An action is one exported function that hands a handler to Run:
//
//	//go:wasmexport block-ip
//	func blockIP() int32 { return pdk.Run(block) }
//
//	func block(c *pdk.Call, p Params) (Result, error) {
//		var s Settings
//		if err := c.Settings(&s); err != nil {
//			return Result{}, err
//		}
//		answer, err := c.HTTP("api").PostJSON(s.BaseURL+"/api/block", map[string]string{"ip": p.IP})
//		if err != nil {
//			return Result{}, err
//		}
//		return Result{Present: true}, answer.Expect()
//	}
//
//	func main() {}
//
// It is built with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared. Built for any other system, the same handlers run in
// ordinary unit tests through Try, with answers of the test's own.
package pdk

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Call is one invocation of an action: its input, and the way to the host functions. It belongs to its handler alone.
type Call struct {
	Action  string
	Context Context

	now      string
	settings json.RawMessage
	response Response                                  // the first, which needs no allocation here
	answer   func(fn string, request []byte) abi.Reply // set by Try only
}

// Context tells what a call works for. Its time is that of Call.Now.
type Context struct {
	Invocation, Incident, Run, Step string
	Deadline                        int64 // how many milliseconds the call may take
}

// Run reads the input, calls the handler and gives its result or its error to the host. The exported function returns what Run returns.
func Run[P, R any](handler func(*Call, P) (R, error)) int32 {
	if warming {
		return rehearse[P, R]()
	}
	return output(run(handler, input(), nil))
}

// rehearse lets encoding/json see the types of an action, so that what it works out about them is there when a call begins. The handler is not
// called: what it would keep from a made-up call would be wrong for every real one.
func rehearse[P, R any]() int32 {
	learn(new(P), new(R), new(abi.Result), new(abi.Fault), new(abi.HTTPRequest), new(abi.HTTPResponse), new(abi.DNSRequest), new(abi.DNSResponse),
		new(abi.TCPRequest), new(abi.TCPResponse), new(abi.SQLRequest), new(abi.SQLResponse), new(abi.MailRequest), new(abi.MailResponse),
		new(abi.KVRequest), new(abi.KVResponse), new(abi.LogEntry), new(abi.Emission), new(map[string]string))
	return 0
}

// Learn does the same for other types that a plugin reads or writes as JSON in each call, such as its settings:
//
//	var _ = pdk.Learn(new(Settings))
func Learn(values ...any) struct{} {
	learn(values...)
	return struct{}{}
}

func learn(values ...any) {
	for _, v := range values {
		for _, way := range []struct {
			marshal   func(any) ([]byte, error)
			unmarshal func([]byte, any) error
		}{{json.Marshal, json.Unmarshal}, {Marshal, Unmarshal}} {
			raw, err := way.marshal(v)
			if err == nil {
				err = way.unmarshal(raw, v)
			}
			if err != nil {
				break // a type that cannot be written empty is worked out when it is used
			}
		}
	}
}

// run gives the JSON of a result.
func run[P, R any](handler func(*Call, P) (R, error), in []byte, answer func(string, []byte) abi.Reply) []byte {
	held := new(struct { // one allocation for all
		Call
		parameters P
		value      R
	})
	held.answer = answer
	err := readCall(in, &held.Call, &held.parameters)
	if err == nil {
		held.value, err = handler(&held.Call, held.parameters)
	}
	if err != nil {
		return writeResult(nil, failure(err))
	}
	return writeResult(&held.value, nil)
}

// failure is the fault of an error: a Fault in its chain as it is, for any other one that says that the action failed.
func failure(err error) *abi.Fault {
	var f *abi.Fault
	if !errors.As(err, &f) {
		f = abi.NewFault(abi.Failed, err.Error(), "")
	}
	return f
}

// Fail makes an error of a kind. Timeouts, rate limits and unavailability count as retryable.
func Fail(kind abi.Kind, message, hint string) error { return abi.NewFault(kind, message, hint) }

func decodeFault(where string, err error) error {
	f := abi.NewFault(abi.Invalid, err.Error(), "")
	f.Where = where
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		if mismatch.Field != "" {
			f.Where += "." + mismatch.Field
		}
		f.Message = "found " + mismatch.Value + ", expected " + mismatch.Type.String()
	}
	return f
}

// Settings decodes the connector's settings into v. Secrets are not among them: the host adds them to requests by itself.
func (c *Call) Settings(v any) error {
	if len(c.settings) == 0 {
		return nil
	}
	if err := Unmarshal(c.settings, v); err != nil {
		return decodeFault("$.settings", err)
	}
	return nil
}

// Now is the time of the invocation. It does not advance.
func (c *Call) Now() time.Time {
	now, _ := time.Parse(time.RFC3339Nano, c.now) // most calls do not ask, and reading it takes long; the host has written it
	return now
}

// door is an import of the module: handle of a request in, handle of a reply out.
type door func(request uint64) uint64

// ask calls a host function. Each goes through its own import, so that a module imports only what its code can reach.
func ask[V any](c *Call, fn string, through door, request any) (value V, err error) {
	raw, err := Marshal(request)
	if err != nil {
		return value, Fail(abi.Invalid, fn+": the request cannot be written as JSON: "+err.Error(), "")
	}
	return askFor(c, fn, through, raw, readValue[V])
}

// askFor is ask for a request that is JSON already, with a reader of the value.
func askFor[V any](c *Call, fn string, through door, request []byte, read func(doc []byte, at int) (V, int)) (value V, err error) {
	var raw []byte
	if c.answer == nil {
		raw = exchange(through, request)
	} else if raw, err = json.Marshal(c.answer(fn, request)); err != nil {
		return value, Fail(abi.Internal, fn+": the stub's reply is not JSON: "+err.Error(), "give the stub's values with Value")
	}
	return readReply(fn, raw, read)
}
