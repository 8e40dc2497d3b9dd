package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/document"
)

// Stub answers some of the host calls of a case.
type Stub struct {
	Function string
	Match    *document.Node // nil: any request
	Reply    json.RawMessage
	Took     time.Duration
	// Times is how often it answers; 0 is as often as it is asked, but at least once.
	Times    int
	Optional bool

	at *document.Node
}

// stubSource is a stub as it is written: one of reply, fault and, for http.fetch, status with what belongs to a response.
type stubSource struct {
	Function *document.Node    `yaml:"fn,required"`
	Match    *document.Node    `yaml:"match"`
	Reply    *document.Node    `yaml:"reply"`
	Fault    *document.Node    `yaml:"fault"`
	Status   int               `yaml:"status"`
	Headers  map[string]string `yaml:"headers"`
	JSON     *document.Node    `yaml:"json"`
	Text     *document.Node    `yaml:"text"`
	Took     time.Duration     `yaml:"took"`
	Times    int               `yaml:"times"`
	Optional bool              `yaml:"optional"`
}

func (r *caseReader) stub(n *document.Node) {
	var s stubSource
	if problems := n.Decode(&s); len(problems) > 0 {
		r.problems = append(r.problems, problems...)
		return
	}
	stub := &Stub{Function: s.Function.Text(), Match: s.Match, Took: s.Took, Times: s.Times, Optional: s.Optional, at: n}
	r.c.Stubs = append(r.c.Stubs, stub)
	names := functionNames()
	if !slices.Contains(names, stub.Function) {
		r.problem(s.Function, fmt.Sprintf("there is no host function %q", stub.Function), "there are: "+strings.Join(names, ", "))
		return
	}
	if s.Match != nil && s.Match.Kind != document.Map {
		r.problem(s.Match, "a map is expected here: what the request must hold", "match: {method: GET}")
	}
	var value any
	switch response := s.Status != 0 || s.JSON != nil || s.Text != nil || s.Headers != nil; {
	case count(s.Reply != nil, s.Fault != nil, response) != 1:
		r.problem(n, "a stub gives one of: reply, fault, or (http.fetch) status, headers, json and text", "status: 404")
		return
	case response && stub.Function != "http.fetch":
		r.problem(n, "status, headers, json and text belong to http.fetch", "write reply: {…} with what "+stub.Function+" answers")
		return
	case s.JSON != nil && s.Text != nil:
		r.problem(s.Text, "a body is json or text", "")
		return
	case response:
		value = s.response(r)
	case s.Reply != nil:
		value = r.reply(s.Reply, stub.Function)
	}
	var err error
	if s.Fault != nil {
		fault := r.fault(s.Fault)
		stub.Reply, err = json.Marshal(abi.Reply{Fault: fault})
	} else {
		stub.Reply, err = plainJSON(struct {
			Value any `json:"value"`
		}{value})
	}
	if err != nil {
		r.problem(n, err.Error(), "")
	}
}

func count(list ...bool) (n int) {
	for _, b := range list {
		if b {
			n++
		}
	}
	return n
}

// functionNames lists the host functions that stubs answer.
func functionNames() []string {
	var names []string
	for module, functions := range abi.Functions() {
		if module == abi.ModuleLog || module == abi.ModuleEmit {
			continue
		}
		kind := strings.TrimSuffix(strings.TrimPrefix(module, "riposte:"), "/v1")
		for _, f := range functions {
			names = append(names, kind+"."+f)
		}
	}
	slices.Sort(names)
	return names
}

func (s *stubSource) response(r *caseReader) abi.HTTPResponse {
	response := abi.HTTPResponse{Status: s.Status, Headers: map[string]string{}}
	if response.Status == 0 {
		response.Status = 200
	}
	for name, value := range s.Headers {
		response.Headers[strings.ToLower(name)] = value
	}
	if s.Text != nil {
		if s.Text.Kind != document.String {
			r.problem(s.Text, "text is expected here", "put quotes around it")
		}
		response.Body.Text = s.Text.Text()
	}
	if s.JSON != nil {
		response.Body.Text = string(r.json(s.JSON))
		if _, ok := response.Headers["content-type"]; !ok {
			response.Headers["content-type"] = "application/json"
		}
	}
	return response
}

// reply holds a reply against what the function answers.
func (r *caseReader) reply(n *document.Node, function string) any {
	kind, _, _ := strings.Cut(function, ".")
	into := map[string]any{"http": &abi.HTTPResponse{}, "dns": &abi.DNSResponse{}, "tcp": &abi.TCPResponse{}, "sql": &abi.SQLResponse{},
		"mail": &abi.MailResponse{}, "kv": &abi.KVResponse{}}[kind]
	d := json.NewDecoder(bytes.NewReader(r.json(n)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		r.problem(n, fmt.Sprintf("this is not what %s answers: %s", function, strings.TrimPrefix(err.Error(), "json: ")), "see pdk/abi/hostcalls.go")
	}
	return into
}

func (r *caseReader) fault(n *document.Node) *abi.Fault {
	fault := &abi.Fault{}
	d := json.NewDecoder(bytes.NewReader(r.json(n)))
	d.DisallowUnknownFields()
	if err := d.Decode(fault); err != nil {
		r.problem(n, "this is not a fault: "+strings.TrimPrefix(err.Error(), "json: "), "fault: {kind: unavailable, message: …}")
		return fault
	}
	r.kind(n.Get("kind"), n, fault.Kind)
	if n.Get("retryable") == nil {
		fault.Retryable = abi.NewFault(fault.Kind, "", "").Retryable
	}
	return fault
}

// kind checks a kind of faults.
func (r *caseReader) kind(n, otherwise *document.Node, kind abi.Kind) {
	kinds := []string{string(abi.Invalid), string(abi.Refused), string(abi.Unauthorized), string(abi.NotFound), string(abi.Conflict), string(abi.TooLarge),
		string(abi.RateLimited), string(abi.Unavailable), string(abi.Timeout), string(abi.Cancelled), string(abi.Limit), string(abi.Trap), string(abi.Diverged),
		string(abi.Failed), string(abi.InDoubt), string(abi.Internal)}
	if slices.Contains(kinds, string(kind)) {
		return
	}
	if n == nil {
		n = otherwise
	}
	hint := "kinds are: " + strings.Join(kinds, ", ")
	if near := schemas.Nearest(string(kind), kinds); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	r.problem(n, fmt.Sprintf("there is no kind %q of faults", kind), hint)
}

// view is a request as stubs and expectations see it: its members, and the body of an HTTP request once more as json or form, if it is that.
func view(function, capabilityID string, request []byte) map[string]any {
	seen := map[string]any{}
	if decoded, ok := decode(request).(map[string]any); ok {
		seen = maps.Clone(decoded)
	}
	seen["fn"] = function
	if capabilityID != "" {
		seen["capability"] = capabilityID
	}
	body, _ := seen["body"].(map[string]any)
	text, _ := body["text"].(string)
	if text == "" {
		return seen
	}
	if v := decode([]byte(text)); v != nil {
		seen["json"] = v
		return seen
	}
	headers, _ := seen["headers"].(map[string]any)
	for name, value := range headers {
		if strings.EqualFold(name, "content-type") && fmt.Sprint(value) == "application/x-www-form-urlencoded" {
			if form, err := url.ParseQuery(text); err == nil {
				fields := map[string]any{}
				for field, values := range form {
					fields[field] = strings.Join(values, ", ")
				}
				seen["form"] = fields
			}
		}
	}
	return seen
}

// decode reads JSON with its numbers as they stand; nil if it is none.
func decode(raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		return nil
	}
	return v
}

// plainJSON writes JSON as the host does: nothing escaped that need not be.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
