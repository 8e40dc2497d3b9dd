package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/riposte-soar/riposte/host"
	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/connector"
	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/rule"
	"github.com/riposte-soar/riposte/server/runbook"
	"github.com/riposte-soar/riposte/server/store/badgerstore"
)

const token = "rip_test"

// runner answers every action, with a call on the tape.
type runner struct{}

func (runner) Run(_ context.Context, inv host.Invocation) (host.Outcome, error) {
	err := inv.Tape.Append(tape.Entry{Kind: tape.HeaderKind, Header: &tape.Header{Invocation: inv.ID}}, false)
	return host.Outcome{Output: json.RawMessage(`{"present": true}`)}, err
}

func testContent(t testing.TB) *engine.Content {
	t.Helper()
	object := json.RawMessage(`{"type": "object", "properties": {"ip": {"type": "string", "target": true}, "present": {"type": "boolean"}}}`)
	c := &engine.Content{Runbooks: map[string]*engine.Source{}, Connectors: map[string]*connector.Connector{"trial": {ID: "trial", Plugin: "trial", Settings: json.RawMessage(`{"key":{"secret":"env:K"}}`)}},
		Plugins: map[string]*bundle.Bundle{"trial": {Digest: "sha256:x", Manifest: abi.Manifest{Plugin: "trial", Version: "1.0.0", Actions: map[string]abi.Action{
			"look":  {Kind: abi.Enrich, Effect: abi.Read, Parameters: object, Result: object},
			"block": {Kind: abi.Contain, Title: "Block", Effect: abi.Idempotent, Parameters: object, Result: object, Inverse: &abi.Inverse{None: "x"}},
		}}}}}
	compile := func(files []runbook.File) (*runbook.Set, error) {
		set, problems := runbook.Load(files, connector.NewCatalog(c.Plugins, c.Connectors), runbook.Options{})
		return set, problems.Err()
	}
	c.Compile = func(src engine.Source) (*runbook.Runbook, error) {
		set, err := compile(src.Files())
		if err != nil {
			return nil, err
		}
		book, _ := set.Get(strings.TrimSuffix(src.File, ".yaml"))
		return book, nil
	}
	text := "runbook: b\nversion: 1\nsteps: [{id: all, foreach: \"${{ ['1', '2'] }}\", uses: trial/look@1, with: {ip: \"${{ item }}\"}}]\n"
	set, err := compile([]runbook.File{{Name: "b.yaml", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	book, _ := set.Get("b")
	c.Runbooks["b"] = &engine.Source{Runbook: book, File: "b.yaml", Text: text}
	rules, problems := rule.Load([]rule.File{{Name: "rules/r.yaml", Data: []byte("rule: r\nwhen: rule.name == 'plain'\ntemplate: r")},
		{Name: "templates/r.yaml", Data: []byte("template: r\ntype: trial\ntitle: plain\nseverity: low")}}, rule.Options{})
	if problems != nil {
		t.Fatal(problems)
	}
	c.Rules = rules
	return c
}

// api is a server on a real socket.
type client struct {
	testing.TB
	*Server
	ready error
}

func serve(t testing.TB) *client {
	t.Helper()
	store, err := badgerstore.Open(t.TempDir(), badgerstore.Options{Ballast: -1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	content := testContent(t)
	e := engine.New(engine.Options{Store: store, Runner: runner{}, Content: content})
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	c := &client{TB: t}
	c.Server = New(Options{Engine: e, Content: content, Token: token, Log: slog.New(slog.DiscardHandler), Now: time.Now, Ready: func() error { return c.ready }})
	c.app.Server().ReadTimeout = 500 * time.Millisecond
	if err := c.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), func() error { e.Stop(); return store.Close() }()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// do sends a request with the token; headers are "Name: value".
func (c *client) do(method, path, body string, headers ...string) (int, string, http.Header) {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), method, "http://"+c.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatal(err)
	}
	return res.StatusCode, string(data), res.Header
}

// ok sends a request that must succeed, and decodes the answer.
func (c *client) ok(into any, method, path, body string, headers ...string) {
	c.Helper()
	status, text, _ := c.do(method, path, body, headers...)
	if status != http.StatusOK {
		c.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			c.Fatalf("%v: %s", err, text)
		}
	}
}

// refused sends a request that must be answered with a problem.
func (c *client) refused(status int, kind abi.Kind, where, method, path, body string, headers ...string) {
	c.Helper()
	got, text, h := c.do(method, path, body, headers...)
	var p Problem
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		c.Errorf("%s %s: %d %v: %s", method, path, got, err, text)
		return
	}
	if got != status || p.Status != status || p.Kind != kind || p.Title == "" || p.Detail == "" || p.Message == "" || !strings.Contains(p.Where, where) {
		c.Errorf("%s %s: %d %s, want %d %s at %q", method, path, got, text, status, kind, where)
	}
	if ct := h.Get("Content-Type"); ct != "application/problem+json" {
		c.Errorf("%s %s: the problem is %s", method, path, ct)
	}
	if h.Get("X-Content-Type-Options") != "nosniff" {
		c.Errorf("%s %s: no nosniff", method, path)
	}
}

// open opens an incident.
func (c *client) open() string {
	c.Helper()
	var accepted Accepted
	c.ok(&accepted, "POST", "/api/v1/alarms", `{"rule": {"name": "plain"}}`)
	var rec struct{ Incidents []string }
	c.ok(&rec, "GET", "/api/v1/alarms/"+accepted.UIDs[0], "")
	return rec.Incidents[0]
}

func TestToken(t *testing.T) {
	c := serve(t)
	for _, auth := range []string{"", "Bearer", "Bearer ", "Bearer rip_tes", "Bearer rip_testx", "bearer " + token, "Basic " + token, "Bearer  " + token} {
		c.refused(401, abi.Unauthorized, "", "GET", "/api/v1/incidents", "", "Authorization: "+auth)
		c.refused(401, abi.Unauthorized, "", "GET", "/api/v1/openapi.json", "", "Authorization: "+auth)
		c.refused(401, abi.Unauthorized, "", "GET", "/nowhere", "", "Authorization: "+auth)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if status, _, _ := c.do("GET", path, "", "Authorization: "); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
		c.refused(401, abi.Unauthorized, "", "GET", path+"/../api/v1/incidents", "", "Authorization: ")
	}
}

func TestProblems(t *testing.T) {
	c := serve(t)
	id := c.open()
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	for _, x := range []struct {
		status             int
		kind               abi.Kind
		where              string
		method, path, body string
	}{
		{404, abi.NotFound, "", "GET", "/nowhere", ""},
		{405, abi.Invalid, "", "PUT", "/api/v1/incidents", "{}"},
		{404, abi.NotFound, "", "GET", "/api/v1/incidents/INC-000099", ""},
		{404, abi.NotFound, "", "GET", "/api/v1/incidents/INC-000099/timeline", ""},
		{404, abi.NotFound, "", "GET", "/api/v1/incidents/%2e%2e%2fx", ""},
		{404, abi.NotFound, "", "GET", "/api/v1/runs/RUN-000001-7", ""},
		{404, abi.NotFound, "", "GET", "/api/v1/tapes/x", ""},
		{404, abi.NotFound, "", "GET", "/api/v1/plugins/x", ""},
		{404, abi.NotFound, "", "POST", "/api/v1/containments/CON-000001-1/release", ""},
		{422, abi.Invalid, "query.limit", "GET", "/api/v1/incidents?limit=0", ""},
		{422, abi.Invalid, "query.limit", "GET", "/api/v1/incidents?limit=x", ""},
		{422, abi.Invalid, "query.status", "GET", "/api/v1/incidents?status=gone", ""},
		{422, abi.Invalid, "body.text", "POST", "/api/v1/incidents/" + id + "/comments", `{"text": ""}`},
		{422, abi.Invalid, "body", "POST", "/api/v1/incidents/" + id + "/comments", `{"text": "x", "more": 1}`},
		{422, abi.Invalid, "body", "POST", "/api/v1/incidents/" + id + "/comments", `{}`},
		{400, abi.Invalid, "body", "POST", "/api/v1/incidents/" + id + "/comments", `{"text": "x"`},
		{400, abi.Invalid, "body", "POST", "/api/v1/incidents/" + id + "/comments", `{"text": "x", "text": "y"}`},
		{400, abi.Invalid, "body", "POST", "/api/v1/incidents/" + id + "/runs", `{"runbook": "b", "inputs": ` + deep + `}`},
		{404, abi.NotFound, "", "POST", "/api/v1/incidents/" + id + "/runs", `{"runbook": "nothing"}`},
		{422, abi.Invalid, "body.decision", "POST", "/api/v1/approvals/APR-000001-1", `{"decision": "maybe"}`},
		{422, abi.Invalid, "status", "PATCH", "/api/v1/incidents/" + id, `{"status": "gone"}`},
	} {
		c.refused(x.status, x.kind, x.where, x.method, x.path, x.body)
	}
	c.refused(415, abi.Invalid, "", "POST", "/api/v1/alarms", "x", "Content-Encoding: gzip")
	c.refused(415, abi.Invalid, "", "POST", "/api/v1/incidents/"+id+"/comments", "<x/>", "Content-Type: text/xml")
}

func TestWork(t *testing.T) {
	c := serve(t)
	id := c.open()
	var done Done
	c.ok(&done, "POST", "/api/v1/incidents/"+id+"/runs", `{"runbook": "b"}`, "X-Riposte-User: mia")
	var run struct {
		Status string
		By     string
		Steps  []struct {
			Path   string
			Action *struct{ Invocation string }
		}
	}
	for after := 0; run.Status != "succeeded"; {
		var facts []struct{ Seq int }
		c.ok(&facts, "GET", fmt.Sprintf("/api/v1/incidents/%s/timeline?wait=20&after=%d", id, after), "")
		if len(facts) == 0 {
			t.Fatal("nothing more happens")
		}
		after = facts[len(facts)-1].Seq
		c.ok(&run, "GET", "/api/v1/runs/"+done.ID, "")
	}
	if run.By != "mia" || len(run.Steps) != 3 {
		t.Errorf("%+v", run)
	}
	inv := run.Steps[1].Action.Invocation // holds : [ ] #
	var entries []tape.Entry
	c.ok(&entries, "GET", "/api/v1/tapes/"+url.PathEscape(inv), "")
	if len(entries) != 1 || entries[0].Header.Invocation != inv {
		t.Errorf("%+v", entries)
	}
	c.ok(&done, "POST", "/api/v1/incidents/"+id+"/actions", `{"plugin": "trial", "action": "block", "connector": "trial", "parameters": {"ip": "192.0.2.1"}}`)
	var approvals []struct{ ID, Digest, Incident string }
	c.ok(&approvals, "GET", "/api/v1/approvals", "")
	if len(approvals) != 1 || approvals[0].Incident != id {
		t.Fatalf("%+v", approvals)
	}
	c.refused(409, abi.Conflict, "", "POST", "/api/v1/approvals/"+approvals[0].ID, `{"decision": "grant", "digest": "another"}`)
	c.ok(nil, "POST", "/api/v1/approvals/"+approvals[0].ID, `{"decision": "deny", "digest": "`+approvals[0].Digest+`", "note": "no"}`)
	c.refused(409, abi.Conflict, "", "POST", "/api/v1/approvals/"+approvals[0].ID, `{"decision": "grant"}`)
	c.ok(nil, "POST", "/api/v1/incidents/"+id+"/comments", `{"text": "hm"}`)
	c.ok(nil, "PATCH", "/api/v1/incidents/"+id, `{"status": "closed"}`)
	var in struct{ Status string }
	if c.ok(&in, "GET", "/api/v1/incidents/"+id, ""); in.Status != "closed" {
		t.Errorf("it is %s: what was answered is not on disk", in.Status)
	}
	for _, path := range []string{"/plugins", "/plugins/trial", "/connectors", "/connectors/trial", "/runbooks", "/containments?all=true", "/alarms?state=matched", "/runs"} {
		c.ok(nil, "GET", "/api/v1"+path, "")
	}
}

func TestAlarms(t *testing.T) {
	c := serve(t)
	var accepted Accepted
	c.ok(&accepted, "POST", "/api/v1/alarms", "{\"rule\": {\"name\": \"plain\"}}\n{\"rule\": {\"name\": \"other\"}}\n", "Content-Type: application/x-ndjson")
	if accepted.Accepted != 2 || len(accepted.UIDs) != 2 {
		t.Errorf("%+v", accepted)
	}
	c.ok(&accepted, "POST", "/api/v1/alarms", "gibberish\n", "Content-Type: text/plain")
	if accepted.Unparsed != 1 {
		t.Errorf("%+v", accepted)
	}
	c.refused(422, abi.Invalid, "", "POST", "/api/v1/alarms/"+accepted.UIDs[0]+"/redrive", "")
	var lines []Explanation
	if c.ok(&lines, "POST", "/api/v1/alarms/explain", `{"rule": {"name": "plain"}}`); len(lines) != 1 || len(lines[0].Rules) != 1 {
		t.Errorf("%+v", lines)
	}
}

func TestPages(t *testing.T) {
	c := serve(t)
	var want []string
	for range 7 {
		want = append(want, c.open())
	}
	slices.Reverse(want)
	var got []string
	for before := ""; ; {
		var page []struct{ ID string }
		c.ok(&page, "GET", "/api/v1/incidents?limit=3&before="+before, "")
		if len(page) == 0 {
			break
		}
		for _, h := range page {
			got = append(got, h.ID)
		}
		before = page[len(page)-1].ID
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Lists of what incidents hold go on within an incident.
func TestPagesOfChildren(t *testing.T) {
	c := serve(t)
	for range 3 {
		id := c.open()
		for range 4 {
			c.ok(nil, "POST", "/api/v1/incidents/"+id+"/actions", `{"plugin": "trial", "action": "block", "connector": "trial", "parameters": {"ip": "192.0.2.1"}}`)
		}
	}
	for list, prefix := range map[string]string{"runs": "RUN", "approvals": "APR"} {
		var got, want []string
		for before := ""; ; {
			var page []struct{ ID string }
			c.ok(&page, "GET", "/api/v1/"+list+"?limit=3&before="+before, "")
			if len(page) == 0 {
				break
			}
			for _, x := range page {
				got = append(got, x.ID)
			}
			before = page[len(page)-1].ID
		}
		for i := 3; i > 0; i-- {
			for j := 4; j > 0; j-- {
				want = append(want, fmt.Sprintf("%s-%06d-%d", prefix, i, j))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// A long poll is answered by a fact, by its own end, and by that of the server.
func TestLongPoll(t *testing.T) {
	c := serve(t)
	id := c.open()
	poll := func(wait int) <-chan int {
		n := make(chan int, 1)
		go func() {
			var facts []struct{ Text string }
			c.ok(&facts, "GET", fmt.Sprintf("/api/v1/incidents/%s/timeline?after=2&wait=%d", id, wait), "")
			n <- len(facts)
		}()
		return n
	}
	waiting := poll(60)
	c.ok(nil, "POST", "/api/v1/incidents/"+id+"/comments", `{"text": "wake up"}`)
	if n := <-waiting; n != 1 {
		t.Errorf("%d facts", n)
	}
	var facts []struct{ Text string }
	if c.ok(&facts, "GET", "/api/v1/incidents/"+id+"/timeline?after=3&wait=1", ""); len(facts) != 0 {
		t.Errorf("%v", facts)
	}
	id = c.open()
	waiting = poll(60)
	c.cancel() // the first thing that Close does
	if n := <-waiting; n != 0 {
		t.Errorf("%d facts", n)
	}
}

func TestHealth(t *testing.T) {
	c := serve(t)
	if status, text, _ := c.do("GET", "/readyz", ""); status != 200 || !strings.Contains(text, "ready") {
		t.Errorf("%d %s", status, text)
	}
	c.ready = errors.New("the disk is nearly full")
	if status, text, _ := c.do("GET", "/readyz", ""); status != 503 || !strings.Contains(text, "nearly full") {
		t.Errorf("%d %s", status, text)
	}
	if status, _, _ := c.do("GET", "/healthz", ""); status != 200 {
		t.Errorf("%d", status)
	}
}

func TestMetrics(t *testing.T) {
	c := serve(t)
	c.open()
	_, text, _ := c.do("GET", "/metrics", "")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"riposte_alarms_matched_total": 1, "riposte_incidents_opened_total": 1, "riposte_alarms_unmatched_total": 0} {
		if f := all[name]; f == nil || f.Metric[0].Counter.GetValue() != want || f.GetHelp() == "" {
			t.Errorf("%s is %v, want %v", name, f, want)
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "riposte_") && all[name].GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
	}
}

// The description has every route, each reference leads somewhere, and errors are Problems.
func TestOpenAPI(t *testing.T) {
	c := serve(t)
	var doc map[string]any
	c.ok(&doc, "GET", "/api/v1/openapi.json", "")
	if v, _ := doc["openapi"].(string); !strings.HasPrefix(v, "3.1.") {
		t.Errorf("openapi %q", v)
	}
	paths, _ := doc["paths"].(map[string]any)
	ids, described := map[string]bool{}, map[string]bool{}
	for path, item := range paths {
		for method, op := range item.(map[string]any) {
			o := op.(map[string]any)
			id, _ := o["operationId"].(string)
			if id == "" || ids[id] || o["summary"] == "" || o["responses"] == nil {
				t.Errorf("%s %s: %v", method, path, o["operationId"])
			}
			ids[id] = true
			described[strings.ToUpper(method)+" "+strings.NewReplacer("{", ":", "}", "").Replace(path)] = true
			raw, _ := json.Marshal(o["responses"])
			if !bytes.Contains(raw, []byte(`"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}`)) {
				t.Errorf("%s %s: errors are not Problems: %s", method, path, raw)
			}
		}
	}
	for _, route := range c.app.GetRoutes(true) {
		if strings.HasPrefix(route.Path, "/api/") && !strings.Contains(route.Path, "openapi") && route.Method != http.MethodHead && !described[route.Method+" "+route.Path] {
			t.Errorf("%s %s is not described", route.Method, route.Path)
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at := any(doc)
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[part]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
	schemas, _ := doc["components"].(map[string]any)["schemas"].(map[string]any)
	raw, _ := json.Marshal(schemas["Problem"])
	for _, member := range []string{"kind", "message", "hint", "where", "retryable", "detail", "status", "title"} {
		if !bytes.Contains(raw, []byte(`"`+member+`":{`)) {
			t.Errorf("a Problem has no %s: %s", member, raw)
		}
	}
}

// raw sends bytes and reads what comes back until the server closes or has answered once.
func (c *client) raw(text string) (status int, closed bool) {
	c.Helper()
	conn, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		c.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, text); err != nil {
		return 0, true
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.Fatal(err)
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, true
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	_, err = r.ReadByte()
	var slow net.Error
	return res.StatusCode, err != nil && !(errors.As(err, &slow) && slow.Timeout()) // its end, or a reset since not all was read
}

// What two parsers of HTTP could read in two ways is refused, and the connection ends: nothing of it is read as a further request.
func TestSmuggling(t *testing.T) {
	c := serve(t)
	auth := "Authorization: Bearer " + token + "\r\n"
	hidden := "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, text := range map[string]string{
		"two lengths":               "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 4\r\nContent-Length: 1\r\n\r\nabcd" + hidden,
		"length and chunks":         "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks and length":         "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + hidden,
		"two hosts":                 "GET /api/v1/alarms HTTP/1.1\r\nHost: x\r\nHost: y\r\n" + auth + "\r\n" + hidden,
		"NUL in the path":           "GET /api/v1/alarms/a\x00b HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n" + hidden,
		"escaped NUL":               "GET /api/v1/alarms/a%00b HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n" + hidden,
		"a broken escape":           "GET /api/v1/alarms/%zz HTTP/1.1\r\nHost: x\r\n" + auth + "\r\n" + hidden,
		"odd transfer encoding":     "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\n" + auth + "Transfer-Encoding: xchunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a negative length":         "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: -1\r\n\r\n" + hidden,
		"a length with a sign":      "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length: +4\r\n\r\nabcd" + hidden,
		"a blank before the colon":  "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\n" + auth + "Content-Length : 4\r\n\r\nabcd" + hidden,
		"a header that is too long": "GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n" + hidden,
	} {
		if status, closed := c.raw(text); status < 400 && status != 0 || !closed {
			t.Errorf("%s: %d, closed: %t", name, status, closed)
		}
	}
}

// Who is slow is not waited for.
func TestSlowClients(t *testing.T) {
	c := serve(t)
	for name, text := range map[string]string{
		"header": "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow:",
		"body":   "POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 100\r\n\r\nabc",
	} {
		if status, closed := c.raw(text); !closed || status == 200 {
			t.Errorf("a slow %s: %d, closed: %t", name, status, closed)
		}
	}
}

// Bodies are bounded, and those of strangers are hardly read.
func TestLargeBodies(t *testing.T) {
	c := serve(t)
	big := strings.Repeat("x", 64)
	status, _ := c.raw(fmt.Sprintf("POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", token, MaxBody+1, big))
	if status != 413 {
		t.Errorf("a body over the limit: %d", status)
	}
	status, _ = c.raw(fmt.Sprintf("POST /api/v1/alarms HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 1<<20, big))
	if status != 413 {
		t.Errorf("a stranger's body: %d", status)
	}
	c.ok(nil, "POST", "/api/v1/alarms", `{"message": "`+strings.Repeat("x", 100_000)+`"}`)
}
