package panos_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
	"github.com/riposte-soar/riposte/testing/lab/panos"
	"github.com/riposte-soar/riposte/testing/lab/world"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T) (*panos.Server, *clock) {
	t.Helper()
	c := &clock{now: time.Date(2026, 3, 4, 15, 0, 0, 0, time.UTC)}
	s, err := panos.Start(world.Default(), panos.Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, c
}

// response is what a client reads of an answer.
type response struct {
	Status string `xml:"status,attr"`
	Code   string `xml:"code,attr"`
	Result struct {
		Key   string  `xml:"key"`
		Msg   string  `xml:"msg"`
		Entry []entry `xml:"entry"`
		Count int     `xml:"count"`
		Model string  `xml:"system>model"`
		UID   *struct {
			Payload struct {
				Register   *struct{} `xml:"register"`
				Unregister *struct{} `xml:"unregister"`
			} `xml:"payload"`
		} `xml:"uid-response"`
	} `xml:"result"`
	Lines []struct {
		Registers   []complaint `xml:"uid-response>payload>register>entry"`
		Unregisters []complaint `xml:"uid-response>payload>unregister>entry"`
	} `xml:"msg>line"`
}

type complaint struct {
	IP      string `xml:"ip,attr"`
	Message string `xml:"message,attr"`
}

// complaints gives what the answer says about single addresses.
func (r response) complaints() (out []complaint) {
	for _, l := range r.Lines {
		out = append(append(out, l.Registers...), l.Unregisters...)
	}
	return out
}

type entry struct {
	IP   string   `xml:"ip,attr"`
	Tags []string `xml:"tag>member"`
}

// call posts a form with the key in its header.
func call(t *testing.T, s *panos.Server, params ...string) (int, response) {
	t.Helper()
	form := url.Values{}
	for _, p := range params {
		k, v, _ := strings.Cut(p, "=")
		form.Set(k, v)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/api/", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-PAN-KEY", panos.DefaultKey)
	return send(t, req)
}

func send(t *testing.T, req *http.Request) (int, response) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out response
	if err := xml.Unmarshal(body, &out); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return resp.StatusCode, out
}

func uid(verb, ip, tag, timeout string) string {
	if timeout != "" {
		timeout = ` timeout="` + timeout + `"`
	}
	return fmt.Sprintf(`cmd=<uid-message><version>2.0</version><type>update</type><payload><%s><entry ip="%s"><tag><member%s>%s</member></tag></entry></%s></payload></uid-message>`,
		verb, ip, timeout, tag, verb)
}

const show = `cmd=<show><object><registered-ip>%s</registered-ip></object></show>`

func shown(t *testing.T, s *panos.Server, filter string, more ...string) []entry {
	t.Helper()
	status, r := call(t, s, append([]string{"type=op", fmt.Sprintf(show, filter)}, more...)...)
	if status != 200 || r.Status != "success" || r.Result.Count != len(r.Result.Entry) {
		t.Fatalf("show: %d %+v", status, r)
	}
	return r.Result.Entry
}

func TestAuthentication(t *testing.T) {
	s, _ := start(t)
	get := func(query, header string) (int, response) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/api/?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("X-PAN-KEY", header)
		}
		return send(t, req)
	}
	op := "type=op&cmd=" + url.QueryEscape("<show><system><info></info></system></show>")
	for name, q := range map[string][2]string{"no key": {op, ""}, "wrong key": {op + "&key=x", ""}, "wrong header": {op, "x"},
		"wrong password": {"type=keygen&user=riposte&password=x", ""}} {
		if status, r := get(q[0], q[1]); status != 403 || r.Status != "error" || r.Code != "403" || r.Result.Msg != "Invalid Credential" {
			t.Errorf("%s: %d %+v", name, status, r)
		}
	}
	status, r := get("type=keygen&user="+panos.DefaultUser+"&password="+panos.DefaultPassword, "")
	if status != 200 || r.Status != "success" || r.Result.Key == "" {
		t.Fatalf("keygen: %d %+v", status, r)
	}
	key := r.Result.Key
	for name, q := range map[string][2]string{"parameter": {op + "&key=" + url.QueryEscape(key), ""}, "header": {op, key}, "fixed key": {op, panos.DefaultKey}} {
		if status, r := get(q[0], q[1]); status != 200 || r.Result.Model != "PA-VM" {
			t.Errorf("%s: %d %+v", name, status, r)
		}
	}
	for _, c := range s.Calls() {
		if strings.Contains(fmt.Sprint(c.Query), panos.DefaultPassword) || strings.Contains(fmt.Sprint(c.Query), key) {
			t.Errorf("a secret in %+v", c)
		}
	}
	s.Reset()
	if status, _ := get(op, key); status != 403 {
		t.Errorf("a made key outlives Reset: %d", status)
	}
}

func TestRegisterAgainAndUnregister(t *testing.T) {
	s, _ := start(t)
	status, r := call(t, s, "type=user-id", uid("register", "203.0.113.66", "riposte-blocked", ""))
	if status != 200 || r.Status != "success" || r.Result.UID == nil || r.Result.UID.Payload.Register == nil {
		t.Fatalf("register: %d %+v", status, r)
	}
	if !s.Has("203.0.113.66", "riposte-blocked") {
		t.Fatalf("blocked: %+v", s.Blocked())
	}
	status, r = call(t, s, "type=user-id", uid("register", "203.0.113.66", "riposte-blocked", "60"))
	if status != 200 || r.Status != "error" || len(r.complaints()) != 1 || r.complaints()[0].Message != "tag riposte-blocked already exists, ignore" {
		t.Errorf("register again: %d %+v", status, r)
	}
	if got := s.Blocked(); len(got) != 1 || !got[0].Expires.IsZero() {
		t.Errorf("the second registration changed the first: %+v", got)
	}
	if _, r = call(t, s, "type=user-id", uid("unregister", "203.0.113.66", "other", "")); len(r.complaints()) != 1 ||
		r.complaints()[0].Message != "tag other does not exist, ignore unreg" {
		t.Errorf("unregister a tag that is not there: %+v", r)
	}
	if _, r = call(t, s, "type=user-id", uid("unregister", "203.0.113.66", "riposte-blocked", "")); r.Status != "success" ||
		r.Result.UID.Payload.Unregister == nil || len(s.Blocked()) != 0 {
		t.Errorf("unregister: %+v, left %+v", r, s.Blocked())
	}
	if _, r = call(t, s, "type=user-id", uid("unregister", "203.0.113.66", "riposte-blocked", "")); r.Status != "error" ||
		r.complaints()[0].Message != "ip 203.0.113.66 does not exist, ignore unreg" {
		t.Errorf("unregister again: %+v", r)
	}
	if got, want := s.Count("203.0.113.66"), (panos.Count{Register: 2, Unregister: 3, Changes: 2}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestPartOfARequestFails(t *testing.T) {
	s, _ := start(t)
	_, r := call(t, s, "type=user-id", `cmd=<uid-message><type>update</type><payload><register>
		<entry ip="192.0.2.1"><tag><member>a</member><member timeout="60">b</member></tag></entry>
		<entry ip="nonsense"><tag><member>a</member></tag></entry>
		<entry ip="192.0.2.2" persistent="0"><tag><member timeout="2592001">a</member></tag></entry>
		<entry ip="192.0.2.3"/>
		</register></payload></uid-message>`)
	said := r.complaints()
	if r.Status != "error" || len(said) != 3 || said[0].IP != "nonsense" || !strings.Contains(said[1].Message, "timeout 2592001") ||
		said[2].Message != "tag is missing" {
		t.Errorf("answer %+v", r)
	}
	if got := s.Blocked(); len(got) != 2 || got[0].Tag != "a" || got[1].Timeout != 60 {
		t.Errorf("what was right was not done: %+v", got)
	}
}

func TestTimeout(t *testing.T) {
	s, c := start(t)
	call(t, s, "type=user-id", uid("register", "198.51.100.23", "riposte-blocked", "86400"))
	call(t, s, "type=user-id", uid("register", "198.51.100.77", "riposte-blocked", "0"))
	want := c.Now().Add(24 * time.Hour)
	if got := s.Blocked(); len(got) != 2 || !got[0].Expires.Equal(want) || !got[1].Expires.IsZero() {
		t.Fatalf("blocked %+v", got)
	}
	c.move(24*time.Hour - time.Second)
	if !s.Has("198.51.100.23", "riposte-blocked") {
		t.Error("the tag went too early")
	}
	c.move(time.Second)
	if got := shown(t, s, ""); len(got) != 1 || got[0].IP != "198.51.100.77" {
		t.Errorf("after a day: %+v", got)
	}
	if _, r := call(t, s, "type=user-id", uid("register", "198.51.100.23", "riposte-blocked", "60")); r.Status != "success" {
		t.Errorf("register after the expiry: %+v", r)
	}
	if got := s.Count("198.51.100.23"); got.Changes != 2 {
		t.Errorf("counted %+v", got)
	}
}

func TestShowFiltersAndPages(t *testing.T) {
	s, _ := start(t)
	for i := range 7 {
		call(t, s, "type=user-id", uid("register", fmt.Sprintf("192.0.2.%d", i+1), "blocked", ""))
	}
	call(t, s, "type=user-id", uid("register", "192.0.2.3", "watched", ""))
	call(t, s, "type=user-id", "vsys=vsys2", uid("register", "192.0.2.200", "blocked", ""))

	if got := shown(t, s, "<all/>"); len(got) != 7 {
		t.Errorf("all: %+v", got)
	}
	if got := shown(t, s, "<ip>192.0.2.3</ip>"); len(got) != 1 || !slices.Equal(got[0].Tags, []string{"blocked", "watched"}) {
		t.Errorf("by ip: %+v", got)
	}
	if got := shown(t, s, `<tag><entry name="watched"/></tag>`); len(got) != 1 || got[0].IP != "192.0.2.3" {
		t.Errorf("by tag: %+v", got)
	}
	if got := shown(t, s, `<tag><entry name="watched"/></tag><ip>192.0.2.4</ip>`); len(got) != 0 {
		t.Errorf("by tag and ip: %+v", got)
	}
	if got := shown(t, s, "", "vsys=vsys2"); len(got) != 1 || got[0].IP != "192.0.2.200" {
		t.Errorf("vsys2: %+v", got)
	}
	var all []string
	for start := 1; ; start += 3 {
		page := shown(t, s, fmt.Sprintf("<limit>3</limit><start-point>%d</start-point>", start))
		for _, e := range page {
			all = append(all, e.IP)
		}
		if len(page) < 3 {
			break
		}
	}
	if len(all) != 7 || !slices.IsSorted(all) {
		t.Errorf("pages: %v", all)
	}
	if got := shown(t, s, "<all><limit>2</limit><start-point>7</start-point></all>"); len(got) != 1 {
		t.Errorf("last page: %+v", got)
	}
	if got := shown(t, s, "<start-point>99</start-point>"); len(got) != 0 {
		t.Errorf("beyond the end: %+v", got)
	}
}

func TestRanges(t *testing.T) {
	s, _ := start(t)
	for in, want := range map[string]string{"10.1.1.1/32": "10.1.1.1", "10.1.1.7/24": "10.1.1.0/24", "10.1.1.10-10.1.1.19": "10.1.1.10-10.1.1.19",
		"2001:DB8::1": "2001:db8::1"} {
		call(t, s, "type=user-id", uid("register", in, "x", ""))
		if !s.Has(want, "x") {
			t.Errorf("%s is not there as %s: %+v", in, want, s.Blocked())
		}
	}
	for _, in := range []string{"10.1.1.19-10.1.1.10", "2001:db8::/32", "10.1.1", "fe80::1%eth0", ""} {
		if _, r := call(t, s, "type=user-id", uid("register", in, "x", "")); r.Status != "error" {
			t.Errorf("%q was taken", in)
		}
	}
}

func TestTagLimit(t *testing.T) {
	s, _ := start(t)
	for i := range 33 {
		_, r := call(t, s, "type=user-id", uid("register", "192.0.2.1", fmt.Sprintf("t%d", i), ""))
		if want := map[bool]string{true: "success", false: "error"}[i < 32]; r.Status != want {
			t.Errorf("tag %d: %+v", i+1, r)
		}
	}
	if _, r := call(t, s, "type=user-id", uid("register", "192.0.2.2", strings.Repeat("x", 128), "")); r.Status != "error" {
		t.Errorf("a tag of 128 characters was taken: %+v", r)
	}
}

func TestBadRequests(t *testing.T) {
	s, _ := start(t)
	for _, tt := range []struct {
		params []string
		status int
		code   string
	}{
		{nil, 400, "400"},
		{[]string{"type=nonsense"}, 400, "400"},
		{[]string{"type=op"}, 200, "17"},
		{[]string{"type=op", "cmd=<show><nonsense/></show>"}, 200, "17"},
		{[]string{"type=op", "cmd=<delete/>"}, 200, "1"},
		{[]string{"type=op", fmt.Sprintf(show, "<limit>501</limit>")}, 200, "17"},
		{[]string{"type=op", fmt.Sprintf(show, "<start-point>0</start-point>")}, 200, "17"},
		{[]string{"type=user-id", "cmd=<uid-message>"}, 200, "18"},
		{[]string{"type=user-id", "cmd=<other/>"}, 200, "18"},
		{[]string{"type=user-id", "cmd=<uid-message><type>x</type></uid-message>"}, 200, "18"},
		{[]string{"type=user-id", "cmd=<uid-message><type>update</type><payload/></uid-message>"}, 200, "17"},
	} {
		if status, r := call(t, s, tt.params...); status != tt.status || r.Status != "error" || r.Code != tt.code || len(r.Lines) != 1 {
			t.Errorf("%v: %d %+v, want %d, code %s", tt.params, status, r, tt.status, tt.code)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.URL()+"/api/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", resp.StatusCode)
	}
}

func TestMultipartFile(t *testing.T) {
	s, _ := start(t)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if err := form.WriteField("key", panos.DefaultKey); err != nil {
		t.Fatal(err)
	}
	file, err := form.CreateFormFile("file", "uid.xml")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(file, strings.TrimPrefix(uid("register", "192.0.2.9", "x", ""), "cmd="))
	form.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/api/?type=user-id", &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	if status, r := send(t, req); status != 200 || r.Status != "success" || !s.Has("192.0.2.9", "x") {
		t.Errorf("%d %+v", status, r)
	}
}

// A call whose answer is lost has its effect; the state outlives the client, and the control page shows it.
func TestAnswerLost(t *testing.T) {
	s, _ := start(t)
	control := httptest.NewServer(s.Control())
	defer control.Close()
	resp, err := http.Post(control.URL+"/faults", "application/json", strings.NewReader(`{"match":"/api","contains":"type=user-id","hang":true,"apply":true,"times":1}`)) //nolint:noctx // one plain call
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	ctx, cancel := context.WithCancel(t.Context())
	form := url.Values{"type": {"user-id"}, "cmd": {strings.TrimPrefix(uid("register", "203.0.113.66", "x", "60"), "cmd=")}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/api/", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-PAN-KEY", panos.DefaultKey)
	ended := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		ended <- err
	}()
	if _, err := s.WaitCalls(t.Context(), func(calls []httpsim.Call) bool { return len(calls) == 1 && calls[0].Fault == "hang" }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the call was answered")
	}
	resp, err = http.Get(control.URL + "/state") //nolint:noctx // one plain call
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	state, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(state, []byte(`"ip": "203.0.113.66"`)) || !bytes.Contains(state, []byte(`"register": 1`)) {
		t.Errorf("state %s %v", state, err)
	}
}

func FuzzUserID(f *testing.F) {
	for _, verb := range []string{"register", "unregister"} {
		f.Add(strings.TrimPrefix(uid(verb, "192.0.2.1", "x", "5"), "cmd="))
	}
	f.Add(`<uid-message><type>update</type><payload><register><entry ip="192.0.2.0/24"/></register></payload></uid-message>`)
	f.Add(`<uid-message>`)
	s, err := panos.Start(world.Default(), panos.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	f.Fuzz(func(t *testing.T, cmd string) {
		if status, r := call(t, s, "type=user-id", "cmd="+cmd); status != 200 || r.Status != "success" && r.Status != "error" {
			t.Errorf("%d %+v", status, r)
		}
		s.Reset()
	})
}
