package host

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// This is the host side of the Extism ABI, as its kernel defines it (https://github.com/extism/extism, kernel/src/lib.rs). Where the kernel
// works on raw offsets, this works on blocks: what lies outside of one reads as zero and is not written.

// extismMemory are the functions that only move bytes.
func extismMemory(d door) {
	type stack = []uint64
	plain := func(name string, params, results []api.ValueType, f func(g *guest, s stack)) {
		d.export(name, params, results, func(_ context.Context, g *guest, _ api.Module, s stack) { f(g, s) })
	}
	length := func(g *guest, s stack) { data, _ := g.blocks.get(s[0]); s[0] = uint64(len(data)) }
	plain("alloc", types(i64), types(i64), func(g *guest, s stack) { s[0] = g.blocks.alloc(s[0]) })
	plain("free", types(i64), nil, func(g *guest, s stack) { g.blocks.free(s[0]) })
	plain("length", types(i64), types(i64), length)
	plain("length_unsafe", types(i64), types(i64), length)
	plain("load_u8", types(i64), types(i32), func(g *guest, s stack) { s[0] = g.blocks.load8(s[0]) })
	plain("load_u64", types(i64), types(i64), func(g *guest, s stack) { s[0] = g.blocks.load64(s[0]) })
	plain("store_u8", types(i64, i32), nil, func(g *guest, s stack) { g.blocks.store8(s[0], byte(s[1])) })
	plain("store_u64", types(i64, i64), nil, func(g *guest, s stack) { g.blocks.store64(s[0], s[1]) })
	plain("input_length", nil, types(i64), func(g *guest, s stack) { length(g, setTo(s, g.inputAt)) })
	plain("input_offset", nil, types(i64), func(g *guest, s stack) { s[0] = g.inputAt })
	plain("input_load_u8", types(i64), types(i32), func(g *guest, s stack) { s[0] = g.blocks.load8(g.inputAt + s[0]) })
	plain("input_load_u64", types(i64), types(i64), func(g *guest, s stack) { s[0] = g.blocks.load64(g.inputAt + s[0]) })
	plain("input_set", types(i64, i64), nil, func(g *guest, s stack) {
		if data, ok := g.blocks.get(s[0]); ok && uint64(len(data)) == s[1] {
			g.inputAt = s[0]
		}
	})
	plain("output_set", types(i64, i64), nil, func(g *guest, s stack) {
		if data, ok := g.blocks.view(s[0], s[1]); ok {
			g.outputAt = s[0]
			g.says(data)
		}
	})
	plain("output_offset", nil, types(i64), func(g *guest, s stack) { s[0] = g.outputAt })
	plain("output_length", nil, types(i64), func(g *guest, s stack) { s[0] = uint64(g.outputs) })
	plain("error_set", types(i64), nil, func(g *guest, s stack) {
		if _, ok := g.blocks.get(s[0]); ok || s[0] == 0 {
			g.errorAt = s[0]
		}
	})
	plain("error_get", nil, types(i64), func(g *guest, s stack) { s[0] = g.errorAt })
	plain("memory_bytes", nil, types(i64), func(g *guest, s stack) { s[0] = uint64(g.blocks.bytes) })
	plain("reset", nil, nil, func(g *guest, _ stack) {
		g.blocks.reset()
		g.inputAt, g.outputAt, g.errorAt = 0, 0, 0
		g.says(nil)
	})
}

func setTo(stack []uint64, v uint64) []uint64 { stack[0] = v; return stack }

// text reads a block that the callee frees, as the ABI has it.
func (g *guest) text(handle uint64) string {
	data, _ := g.blocks.get(handle)
	s := string(data)
	g.blocks.free(handle)
	return s
}

// maxVariables bounds what var_set keeps, in bytes.
const maxVariables = 1 << 20

func extismDoor(d door) {
	extismMemory(d)
	d.export("config_get", types(i64), types(i64), func(_ context.Context, g *guest, _ api.Module, stack []uint64) {
		g.mayCall("config_get")
		name, _ := g.blocks.get(stack[0])
		stack[0] = g.blocks.put([]byte(g.setting(string(name))))
	})
	d.export("var_get", types(i64), types(i64), func(_ context.Context, g *guest, _ api.Module, stack []uint64) {
		g.mayCall("var_get")
		stack[0] = g.blocks.put(g.variables[g.text(stack[0])])
	})
	d.export("var_set", types(i64, i64), nil, func(_ context.Context, g *guest, _ api.Module, stack []uint64) {
		g.mayCall("var_set")
		name := g.text(stack[0])
		if stack[1] == 0 {
			delete(g.variables, name)
			return
		}
		g.setVariable(name, g.text(stack[1]))
	})
	d.export("http_request", types(i64, i64), types(i64), func(ctx context.Context, g *guest, _ api.Module, stack []uint64) {
		g.mayCall("http_request")
		request, body := g.text(stack[0]), g.text(stack[1])
		stack[0] = g.blocks.put(g.fetch(ctx, request, body))
	})
	d.export("http_status_code", nil, types(i32), func(_ context.Context, g *guest, _ api.Module, stack []uint64) {
		stack[0] = uint64(uint32(g.http.status))
	})
	d.export("http_headers", nil, types(i64), func(_ context.Context, g *guest, _ api.Module, stack []uint64) {
		raw, err := json.Marshal(g.http.headers)
		if err != nil || g.http.headers == nil {
			raw = nil
		}
		stack[0] = g.blocks.put(raw)
	})
	for name, level := range map[string]string{"log_debug": "debug", "log_info": "info", "log_warn": "warn", "log_error": "error"} {
		d.export(name, types(i64), nil, func(ctx context.Context, g *guest, _ api.Module, stack []uint64) {
			g.mayCall(name)
			if raw, err := json.Marshal(abi.LogEntry{Level: level, Message: g.text(stack[0])}); err == nil {
				g.calls.Call(ctx, "log.write", raw)
			}
		})
	}
	d.export("log_trace", types(i64), nil, func(_ context.Context, g *guest, _ api.Module, stack []uint64) { g.blocks.free(stack[0]) })
	const levelDebug = 1
	d.export("get_log_level", nil, types(i32), func(_ context.Context, _ *guest, _ api.Module, stack []uint64) { stack[0] = levelDebug })
}

// setting gives a setting of the connector as text; one that is no string as JSON.
func (g *guest) setting(name string) string {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(g.settings, &settings); err != nil {
		return ""
	}
	var text string
	if err := json.Unmarshal(settings[name], &text); err != nil {
		return string(settings[name])
	}
	return text
}

// setVariable keeps a variable until the invocation ends.
func (g *guest) setVariable(name, value string) {
	size := len(name) + len(value)
	for k, v := range g.variables {
		if k != name {
			size += len(k) + len(v)
		}
	}
	if size > maxVariables {
		g.stop(abi.Limit, "the plugin keeps more than 1 MiB of variables")
	}
	if g.variables == nil {
		g.variables = map[string][]byte{}
	}
	g.variables[name] = []byte(value)
}

// lastResponse is what http_status_code and http_headers tell.
type lastResponse struct {
	status  int
	headers map[string]string
	fault   *abi.Fault
}

// fetch carries out http_request under the first capability of the action that allows it. The ABI has no word for a refusal or a connection
// that failed: the body is then empty, the status 0, and the fault that of the action, if it does not succeed.
func (g *guest) fetch(ctx context.Context, request, body string) []byte {
	var asked struct {
		URL     string            `json:"url"`
		Method  string            `json:"method"`
		Headers map[string]string `json:"headers"`
	}
	g.http = lastResponse{}
	if err := json.Unmarshal([]byte(request), &asked); err != nil {
		g.http.fault = abi.NewFault(abi.Invalid, "http_request: "+err.Error(), "")
		return nil
	}
	if asked.Method == "" {
		asked.Method = "GET"
	}
	call := abi.HTTPRequest{Method: strings.ToUpper(asked.Method), URL: asked.URL, Headers: asked.Headers}
	if body != "" {
		call.Body = &abi.Payload{Base64: []byte(body)}
	}
	g.http.fault = abi.NewFault(abi.Refused, "the action uses no http capability", "")
	uses := g.bundle.Manifest.Actions[g.action].Uses
	for _, r := range g.bundle.Manifest.Requires {
		if r.Kind != "http" || !slices.Contains(uses, r.ID) {
			continue
		}
		call.Capability = r.ID
		response, fault := g.fetchUnder(ctx, call)
		g.http.fault = fault
		if fault == nil {
			g.http.status, g.http.headers = response.Status, response.Headers
			if response.Body.Base64 != nil {
				return response.Body.Base64
			}
			return []byte(response.Body.Text)
		}
		if fault.Kind != abi.Refused {
			break
		}
	}
	return nil
}

func (g *guest) fetchUnder(ctx context.Context, call abi.HTTPRequest) (abi.HTTPResponse, *abi.Fault) {
	var response abi.HTTPResponse
	raw, err := json.Marshal(call)
	if err != nil {
		return response, abi.NewFault(abi.Invalid, err.Error(), "")
	}
	var reply abi.Reply
	if err := json.Unmarshal(g.calls.Call(ctx, "http.fetch", raw), &reply); err != nil {
		return response, abi.AsFault(err)
	}
	if reply.Fault != nil {
		return response, reply.Fault
	}
	if err := json.Unmarshal(reply.Value, &response); err != nil {
		return response, abi.AsFault(err)
	}
	return response, nil
}

// decodeExtism reads the output of a plugin that knows nothing of us: JSON as it is, other text as a string.
func (g *guest) decodeExtism(code uint32) (json.RawMessage, *abi.Fault) {
	message := strings.TrimPrefix(g.errorText(), ": ")
	switch {
	case code == 0 && message == "":
	case g.http.fault != nil:
		return nil, g.http.fault
	case message == "":
		return nil, abi.NewFault(abi.Failed, "the plugin did not succeed, and does not say why", "")
	default:
		return nil, abi.NewFault(abi.Failed, message, "")
	}
	if json.Valid(g.output) {
		return g.output, nil
	}
	text, err := json.Marshal(strings.ToValidUTF8(string(g.output), "�"))
	if err != nil {
		return nil, abi.AsFault(err)
	}
	return text, nil
}
