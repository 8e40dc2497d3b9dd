package pdk

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// raw gives a value as it stands there.
func (r *reader) raw(at int) (json.RawMessage, int) {
	end := r.skip(at)
	if end < 0 {
		return nil, -1
	}
	return r.doc[at:end:end], end
}

// readCall reads the input of an action. What the call holds are parts of the input.
func readCall(in []byte, c *Call, parameters any) error {
	r := reader{doc: in}
	name, at, more := r.member(0, '{')
	for more {
		switch string(name) {
		case "action":
			c.Action, at = r.text(at)
		case "parameters":
			to := reflect.ValueOf(parameters).Elem()
			at = r.into(at, to, shapeOf(to.Type()))
		case "settings":
			c.settings, at = r.raw(at)
		case "context":
			at = r.readContext(at, c)
		default:
			at = r.skip(at)
		}
		name, at, more = r.member(at, ',')
	}
	if r.whole(at) {
		return nil
	}
	var call abi.Call
	if err := json.Unmarshal(in, &call); err != nil {
		return Fail(abi.Invalid, "the input of the action is not a call: "+err.Error(), "start the plugin with riposte")
	}
	from := call.Context
	c.Context = Context{from.Invocation, from.Incident, from.Run, from.Step, from.Deadline}
	c.Action, c.now, c.settings = call.Action, from.Now.Format(time.RFC3339Nano), call.Settings
	if len(call.Parameters) > 0 {
		if err := json.Unmarshal(call.Parameters, parameters); err != nil {
			return decodeFault("$.parameters", err)
		}
	}
	return nil
}

func (r *reader) readContext(at int, c *Call) int {
	name, at, more := r.member(at, '{')
	for more {
		switch string(name) {
		case "invocation":
			c.Context.Invocation, at = r.text(at)
		case "incident":
			c.Context.Incident, at = r.text(at)
		case "run":
			c.Context.Run, at = r.text(at)
		case "step":
			c.Context.Step, at = r.text(at)
		case "now":
			c.now, at = r.text(at)
		case "deadline_ms":
			c.Context.Deadline, at = r.integer(at)
		default:
			at = r.skip(at)
		}
		name, at, more = r.member(at, ',')
	}
	return at
}

// readReply reads the reply of a host function, and its value by a reader for such values.
func readReply[V any](fn string, raw []byte, read func(doc []byte, at int) (V, int)) (V, error) {
	var value, none V
	var fault *abi.Fault
	r := reader{doc: raw}
	name, at, more := r.member(0, '{')
	for more {
		switch string(name) {
		case "value":
			value, at = read(raw, at)
		case "fault":
			fault, at = readValue[*abi.Fault](raw, at)
		default:
			at = -1
		}
		name, at, more = r.member(at, ',')
	}
	if r.whole(at) {
		if fault != nil {
			return none, fault
		}
		return value, nil
	}
	var reply abi.Reply
	if err := json.Unmarshal(raw, &reply); err != nil {
		return none, Fail(abi.Internal, fn+": the reply of the host is not JSON: "+err.Error(), "")
	}
	if reply.Fault != nil {
		return none, reply.Fault
	}
	var unusual V
	if len(reply.Value) > 0 {
		if err := json.Unmarshal(reply.Value, &unusual); err != nil {
			return unusual, decodeFault(fn, err)
		}
	}
	return unusual, nil
}

// readValue reads a value of any type.
func readValue[V any](doc []byte, at int) (V, int) {
	value := new(V)
	to := reflect.ValueOf(value).Elem()
	r := reader{doc: doc}
	end := r.into(at, to, shapeOf(to.Type()))
	return *value, end
}

// response is the value of http.fetch, with its headers as they stand there.
type response struct {
	Status  int             `json:"status"`
	Headers json.RawMessage `json:"headers"`
	Body    abi.Payload     `json:"body"`
}

func readResponse(doc []byte, at int) (value response, end int) {
	r := reader{doc: doc}
	name, at, more := r.member(at, '{')
	for more {
		switch string(name) {
		case "status":
			var status int64
			status, at = r.integer(at)
			value.Status = int(status)
		case "headers":
			value.Headers, at = r.raw(at)
		case "body":
			at = r.readPayload(at, &value.Body)
		default:
			at = r.skip(at)
		}
		name, at, more = r.member(at, ',')
	}
	return value, at
}

func (r *reader) readPayload(at int, p *abi.Payload) int {
	name, at, more := r.member(at, '{')
	for more {
		var text string
		text, at = r.text(at)
		switch string(name) {
		case "text":
			p.Text = text
		case "base64":
			var err error
			if p.Base64, err = base64.StdEncoding.DecodeString(text); err != nil {
				return -1
			}
		}
		name, at, more = r.member(at, ',')
	}
	return at
}

// headersOf is the JSON of headers, in order.
func headersOf(headers map[string]string) string {
	if len(headers) == 0 {
		return ""
	}
	b, before := []byte(nil), byte('{')
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		b = appendText(append(b, before), name)
		b = appendText(append(b, ':'), headers[name])
		before = ','
	}
	return view(append(b, '}'))
}

// writeRequest is what encoding/json writes of a request with these headers in place of its own.
func writeRequest(r abi.HTTPRequest, headers string) []byte {
	size := 160 + len(r.URL) + len(headers)
	if r.Body != nil {
		size += len(r.Body.Text)*5/4 + base64.StdEncoding.EncodedLen(len(r.Body.Base64))
	}
	b := appendText(append(buffer(size), `{"capability":`...), r.Capability)
	b = appendText(append(b, `,"method":`...), r.Method)
	b = appendText(append(b, `,"url":`...), r.URL)
	if headers != "" {
		b = append(append(b, `,"headers":`...), headers...)
	}
	if r.Body != nil {
		b = append(b, `,"body":{`...)
		if r.Body.Text != "" {
			b = appendText(append(b, `"text":`...), r.Body.Text)
		}
		if len(r.Body.Base64) > 0 {
			if r.Body.Text != "" {
				b = append(b, ',')
			}
			b = append(base64.StdEncoding.AppendEncode(append(b, `"base64":"`...), r.Body.Base64), '"')
		}
		b = append(b, '}')
	}
	if r.Timeout != 0 {
		b = strconv.AppendInt(append(b, `,"timeout_ms":`...), r.Timeout, 10)
	}
	return append(b, '}')
}

// writeResult is the JSON of a result with an output, if there is no fault.
func writeResult(output any, fault *abi.Fault) []byte {
	if fault == nil {
		b, err := encode(append(buffer(256), `{"output":`...), output)
		if err == nil {
			return append(b, '}')
		}
		fault = abi.NewFault(abi.Failed, "the result cannot be written as JSON: "+err.Error(), "")
	}
	b, err := encode(nil, &abi.Result{Fault: fault})
	if err != nil {
		return nil
	}
	return b
}
