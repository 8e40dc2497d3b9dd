package pdk

import (
	"encoding/json"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// Stub answers the host calls of a handler under test: fn is a name such as "http.fetch", request the JSON of abi.HTTPRequest and so on.
type Stub func(fn string, request []byte) abi.Reply

// Value makes the reply that carries v.
func Value(v any) abi.Reply {
	raw, err := json.Marshal(v)
	if err != nil {
		return abi.Reply{Fault: abi.NewFault(abi.Internal, err.Error(), "")}
	}
	return abi.Reply{Value: raw}
}

// Try calls a handler in a plugin's own unit test, without a sandbox: settings and parameters go through JSON as they do in production, host
// calls to stub. A nil stub refuses each of them. The time of the call is 2026-01-02 03:04:05 UTC.
func Try[P, R any](handler func(*Call, P) (R, error), settings, parameters any, stub Stub) (R, *abi.Fault) {
	var value R
	if stub == nil {
		stub = func(fn string, _ []byte) abi.Reply {
			return abi.Reply{Fault: abi.NewFault(abi.Refused, fn+" is not stubbed", "give Try a Stub")}
		}
	}
	call := abi.Call{Action: "try", Context: abi.Context{Invocation: "try", Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Deadline: 30_000}}
	var err error
	if call.Settings, err = json.Marshal(settings); err != nil {
		return value, abi.AsFault(err)
	}
	if call.Parameters, err = json.Marshal(parameters); err != nil {
		return value, abi.AsFault(err)
	}
	in, err := json.Marshal(call)
	if err != nil {
		return value, abi.AsFault(err)
	}
	var result abi.Result
	if err := json.Unmarshal(run(handler, in, stub), &result); err != nil {
		return value, abi.AsFault(err)
	}
	if result.Fault != nil {
		return value, result.Fault
	}
	if err := json.Unmarshal(result.Output, &value); err != nil {
		return value, abi.AsFault(err)
	}
	return value, nil
}
