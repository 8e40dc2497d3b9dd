package conformance_test

import (
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// object is a JSON object.
type object = map[string]any

// trial is one call of an action, and what it must come to in every language. What is not said here must be as it is in Go: result, fault,
// emissions, lines of the log and all that is on the tape.
type trial struct {
	name   string
	action string // the name, if empty
	with   object
	// settings replace those of the lab.
	settings object
	// gives is the result; nil is whatever Go gives.
	gives any
	// kind is that of the fault, empty for none; says is what its message begins with, where is its place.
	kind  abi.Kind
	says  string
	where string
	// tells is what the message matches.
	tells string
	// own says that the rest of the message, and what is logged, is the language's own.
	own bool
}

func trials() []trial {
	everything := object{"text": unicode, "number": -9007199254740991, "ratio": -0.000125, "flag": true, "list": []string{"", unicode, "x"}, "nested": object{"name": "é"}}
	return append([]trial{
		{name: "echo", with: everything, gives: everything},
		{name: "echo of nothing", action: "echo", with: object{"text": "", "number": 0, "ratio": 1e21, "flag": false, "list": []string{}, "nested": object{"name": ""}},
			gives: object{"text": "", "number": 0, "ratio": 1e21, "flag": false, "list": []string{}, "nested": object{"name": ""}}},
		{name: "echo of much", action: "echo", with: object{"text": long, "number": 1, "ratio": 0.1, "flag": true, "list": strings.Split(strings.Repeat("a,", 9999), ","), "nested": object{"name": "x"}},
			gives: object{"text": long, "number": 1, "ratio": 0.1, "flag": true, "list": strings.Split(strings.Repeat("a,", 9999), ","), "nested": object{"name": "x"}}},
		{name: "typed", with: object{"ip": "192.0.2.1", "port": 443, "more": []any{nil}}, gives: object{"ip": "192.0.2.1", "port": 443}},
		{name: "a number for a text", action: "typed", with: object{"ip": 7, "port": 443}, kind: abi.Invalid, where: "$.parameters.ip", own: true},
		{name: "a text for a number", action: "typed", with: object{"port": "https", "ip": "x"}, kind: abi.Invalid, where: "$.parameters.port", own: true},
		{name: "half of a number", action: "typed", with: object{"ip": "x", "port": 0.5}, kind: abi.Invalid, where: "$.parameters.port", own: true},
		{name: "parameters against the schema", action: "echo", with: object{"text": 1}, kind: abi.Invalid},
		{name: "parse", with: object{"text": ` {"a" : [ 1.5e3, -0, "\ud83d\ude00" , null , {} ] } `}},
		{name: "parse what is no JSON", action: "parse", with: object{"text": `{"a":1,}`}, kind: abi.Invalid, own: true},
		{name: "settings"},
		{name: "context", gives: object{"action": "context", "invocation": "inv-1", "incident": "IN-1", "run": "RUN-1", "step": "a[1]/b", "now": "2026-01-02T03:04:05Z", "deadline_ms": 300000}},
		{name: "dice"},
		{name: "clock", gives: object{"since_now": true, "goes_on": true}},
		{name: "count", gives: 1},
		{name: "count again", action: "count", gives: 1},
		{name: "write", with: object{"message": unicode}, gives: 4},
		{name: "emit", with: object{"ip": "192.0.2.1", "verdict": "malicious", "note": unicode, "base64": binary, "sentence": "it is " + unicode}, gives: true},
		{name: "emit what the host does not take", action: "emit", with: object{"ip": "192.0.2.1", "verdict": "evil", "note": "", "base64": binary, "sentence": ""}, kind: abi.Invalid, own: true},
		{name: "check", gives: true},
		{name: "describe", gives: object{"plugin": "conformance"}},
	}, append(capabilityTrials(), wrongTrials()...)...)
}

func capabilityTrials() []trial {
	fetch := func(name string, with object, more trial) trial {
		more.name, more.action, more.with = name, "fetch", with
		return more
	}
	list := []trial{
		fetch("GET", object{"method": "GET", "path": "/person"}, trial{}),
		fetch("GET with a query and a header", object{"method": "GET", "path": "/mirror?q=%C3%A9", "headers": object{"x-trial": "1 2", "accept": "text/plain"}}, trial{}),
		fetch("GET of nothing", object{"method": "GET", "path": "/empty"}, trial{gives: object{"status": 200, "type": "", "length": 0, "sum": 0}}),
		fetch("GET of much", object{"method": "GET", "path": "/long"}, trial{gives: object{"status": 200, "type": "text/plain", "length": len(long), "sum": sum([]byte(long))}}),
		fetch("GET of bytes", object{"method": "GET", "path": "/binary"}, trial{gives: object{"status": 200, "type": "application/octet-stream", "length": len(binary), "sum": sum(binary)}}),
		fetch("PUT of nothing", object{"method": "PUT", "path": "/mirror"}, trial{}),
		fetch("PUT of text", object{"method": "PUT", "path": "/mirror", "text": unicode}, trial{}),
		fetch("PUT of much", object{"method": "PUT", "path": "/mirror", "text": long}, trial{}),
		fetch("PUT of bytes", object{"method": "PUT", "path": "/mirror", "base64": binary}, trial{}),
		fetch("POST carries a key", object{"method": "POST", "path": "/mirror", "text": "x"}, trial{}),
		fetch("DELETE", object{"method": "DELETE", "path": "/mirror"}, trial{}),
		fetch("a method that is not granted", object{"method": "PATCH", "path": "/mirror"}, trial{kind: abi.Refused}),
		fetch("a capability that is not asked for", object{"method": "GET", "path": "/person", "capability": "nope"}, trial{kind: abi.Refused}),
		fetch("a header of the host's", object{"method": "GET", "path": "/mirror", "headers": object{"X-Token": "mine"}}, trial{kind: abi.Refused}),
		fetch("a header that is none", object{"method": "GET", "path": "/mirror", "headers": object{"x y": "z"}}, trial{kind: abi.Invalid}),
		fetch("a server that hangs up", object{"method": "GET", "path": "/drop"}, trial{kind: abi.Unavailable}),
		fetch("a server that waits", object{"method": "GET", "path": "/slow", "timeout_ms": 50}, trial{kind: abi.Timeout}),
		fetch("an answer that is too large", object{"method": "GET", "path": "/huge"}, trial{kind: abi.TooLarge}),
		{name: "get-json", with: object{"path": "/person"}, gives: object{"name": "Zoë 😀 😀 é/", "age": 41}},
		{name: "JSON of another shape", action: "get-json", with: object{"path": "/odd-person"}, kind: abi.Unavailable,
			says: "the other side answered something else than the expected JSON: ", own: true},
		{name: "no JSON", action: "get-json", with: object{"path": "/long"}, kind: abi.Unavailable, says: "the other side answered something else than the expected JSON: ", own: true},
		{name: "post-json", with: object{"text": strings.Map(plain, unicode), "list": []string{"", "é"}}},
		{name: "post-form", with: object{"fields": "a=1&b=%C3%A9"}},
		{name: "resolve", with: object{"name": "www.corp.test", "type": "A"}},
		{name: "resolve text", action: "resolve", with: object{"name": "text.corp.test", "type": "TXT"}},
		{name: "resolve an address", action: "resolve", with: object{"name": "192.0.2.1", "type": "PTR"}},
		{name: "resolve a name that is not there", action: "resolve", with: object{"name": "no.corp.test", "type": "A"}},
		{name: "resolve a name that is not granted", action: "resolve", with: object{"name": "bank.example", "type": "A"}, kind: abi.Refused},
		{name: "query", with: object{"statement": "by-ip", "params": object{"ip": "192.0.2.1"}}},
		{name: "query for more rows than are granted", action: "query", with: object{"statement": "all"}},
		{name: "query without rows", action: "query", with: object{"statement": "by-ip", "params": object{"ip": unicode}}},
		{name: "query of what is no statement", action: "query", with: object{"statement": "DROP TABLE assets"}, kind: abi.Refused},
		{name: "query without a password", action: "query", with: object{"statement": "all"}, settings: object{"password": object{"secret": "env:TOKEN"}}, kind: abi.Unauthorized},
		{name: "send", with: object{"to": []string{"soc@corp.test"}, "cc": []string{"ciso@corp.test"}, "subject": "é " + strings.Map(printable, unicode), "text": unicode, "html": "<p>" + unicode}},
		{name: "send to one who is not granted", action: "send", with: object{"to": []string{"a@bank.example"}, "subject": "s", "text": "t"}, kind: abi.Refused},
		{name: "send without a subject", action: "send", with: object{"to": []string{"soc@corp.test"}, "subject": "", "text": "t"}, kind: abi.Invalid},
		{name: "keep", with: object{"key": "k é", "value": object{"name": strings.Map(plain, unicode), "count": 7, "tags": []string{"a", "é"}}, "ttl_s": 60},
			gives: object{"before": false, "value": object{"name": strings.Map(plain, unicode), "count": 7, "tags": []string{"a", "é"}}, "after": false}},
		{name: "keep under no key", action: "keep", with: object{"key": "", "value": object{"name": "", "count": 0, "tags": []string{}}, "ttl_s": 0}, kind: abi.Invalid},
		{name: "put more than the store takes", action: "put", with: object{"key": "k", "bytes": 5000}, kind: abi.Limit},
		{name: "put more than a value may have", action: "put", with: object{"key": "k", "bytes": 300_000}, kind: abi.TooLarge},
		{name: "knock", with: object{"times": 5}, gives: 5},
		{name: "knock too often", action: "knock", with: object{"times": 6}, kind: abi.Limit},
	}
	list = append(list, trial{name: "exchange with an address that is not granted", action: "exchange", with: object{"address": "192.0.2.1:43", "text": "x"}, kind: abi.Refused})
	for name, line := range map[string]object{"text": {"text": "echo " + strings.ReplaceAll(unicode, "\n", "") + "\n"}, "bytes": {"base64": []byte("echo \xff\xfe\x00\n")}, "for bytes": {"text": "binary\n"}, "for much": {"text": "long\n"}} {
		list = append(list, trial{name: "exchange " + name, action: "exchange", with: line})
	}
	for _, path := range []string{"401", "403", "404", "408", "409", "413", "418", "429", "429/7", "429/-7", "429/Fri, 02 Jan 2026 03:04:10 GMT", "429/soon", "500", "503/3", "301"} {
		list = append(list, trial{name: "status " + path, action: "get-json", with: object{"path": "/status/" + strings.ReplaceAll(path, " ", "%20")}, kind: statusKind(path[:3])})
	}
	return list
}

// plain leaves out what writers of JSON may or may not escape: within a JSON document that is sent as text, both are right.
func plain(r rune) rune {
	if strings.ContainsRune("<>&/\u2028\u2029\b\f\x01\x7f", r) {
		return -1
	}
	return r
}

// printable leaves out what a header cannot hold.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
		return -1
	}
	return r
}

func statusKind(code string) abi.Kind {
	return map[string]abi.Kind{"401": abi.Unauthorized, "403": abi.Unauthorized, "404": abi.NotFound, "408": abi.Timeout, "409": abi.Conflict, "413": abi.TooLarge,
		"418": abi.Failed, "429": abi.RateLimited, "500": abi.Unavailable, "503": abi.Unavailable, "301": abi.Failed}[code]
}

// kinds are all kinds of faults.
var kinds = []abi.Kind{abi.Invalid, abi.Refused, abi.Unauthorized, abi.NotFound, abi.Conflict, abi.TooLarge, abi.RateLimited, abi.Unavailable, abi.Timeout,
	abi.Cancelled, abi.Limit, abi.Trap, abi.Diverged, abi.Failed, abi.InDoubt, abi.Internal}

func wrongTrials() []trial {
	list := []trial{
		{name: "crash", kind: abi.Trap, tells: "(?i)index|not.*undefined|undefined|Assertion failed", own: true},
		{name: "recurse", kind: abi.Limit, tells: "too deeply|MiB of memory", own: true},
		{name: "recurse with a stack in the memory", action: "dig", kind: abi.Limit, tells: "too deeply|MiB of memory", own: true},
		{name: "devour", kind: abi.Limit, tells: "memory", own: true},
		{name: "spin", kind: abi.Timeout, own: true},
		{name: "flood", with: object{"bytes": 100_000}, kind: abi.Limit},
		{name: "lie", kind: abi.Trap},
		{name: "a fault without anything", action: "fail", with: object{"kind": "failed", "message": ""}, kind: abi.Failed},
		{name: "a fault of no kind", action: "fail", with: object{"kind": "sudo", "message": "x"}, kind: abi.Failed},
	}
	for _, kind := range kinds {
		list = append(list, trial{name: "fail: " + string(kind), action: "fail", kind: kind, says: unicode, where: "$.parameters.x",
			with: object{"kind": kind, "message": unicode, "hint": "do " + unicode, "where": "$.parameters.x", "retryable": kind == abi.Conflict, "retry_after_ms": 1500}})
	}
	return list
}

func sum(b []byte) (s uint32) {
	for i := 0; i < len(b); i += 61 {
		s = s*31 + uint32(b[i])
	}
	return s
}
