package conformance_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	dnssim "github.com/riposte-soar/riposte/testing/lab/dns"
	"github.com/riposte-soar/riposte/testing/lab/mssql"
	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
	smtpsink "github.com/riposte-soar/riposte/testing/lab/smtp"
)

const (
	token    = "conformance-lab-token"
	password = "conformance-lab-password"
)

// unicode is one character of each length in UTF-8, a combining one, and the ones that JSON escapes or that writers of JSON like to escape.
const unicode = "aé€😀e\u0301 \" \\ / \b\f\n\r\t\x01\x7f <&> \u2028\u2029 \ufffd 中文 עברית"

// long is 1.5 MiB of text with characters of all lengths, so that they lie across every boundary.
var long = strings.Repeat("0aé€😀", 3<<19/11)

// binary is every byte, in no order that is UTF-8.
var binary = func() []byte {
	b := make([]byte, 70_001)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}()

// lab is the one world that the plugins of all languages talk to.
type lab struct {
	settings map[string]any
}

func startLab(t *testing.T) lab {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(web.Close)
	names, err := dnssim.Start(dnssim.Options{Records: []dnssim.Record{
		{Name: "www.corp.test", Type: "A", Value: "192.0.2.1"},
		{Name: "text.corp.test", Type: "TXT", Value: unicode},
		{Name: "mail.corp.test", Type: "MX", Value: "10 mx.corp.test"},
		dnssim.Reverse(netip.MustParseAddr("192.0.2.1"), "www.corp.test"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = names.Close() })
	relay, err := smtpsink.Start(smtpsink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = relay.Close() })
	database, err := mssql.Start(mssql.Options{Database: "inventory", Logins: []mssql.Login{{User: "reader", Password: password}}, Tables: map[string]tsql.Table{
		"assets": {
			Columns: []tsql.Column{{Name: "ip", Type: tsql.NVarChar}, {Name: "hostname", Type: tsql.NVarChar}, {Name: "owner", Type: tsql.NVarChar}, {Name: "id", Type: tsql.Int}},
			Rows:    [][]any{{"192.0.2.1", "fin-0007", unicode, 1}, {"192.0.2.2", "fin-0008", nil, 2}, {"192.0.2.3", "fin-0009", "", 3}},
		}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Close() })
	return lab{settings: map[string]any{
		"url": web.URL, "note": unicode, "resolver": names.Addr(), "relay": relay.Addr(), "database": database.Addr(), "line": startLine(t), "user": "reader",
		"token": map[string]string{"secret": "env:TOKEN"}, "password": map[string]string{"secret": "env:PASSWORD"},
	}}
}

// serve answers without a Date, so that an answer is the same at any time.
func serve(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil
	head, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch head {
	case "mirror":
		mirror(w, r)
	case "person":
		fmt.Fprint(w, `{"name":"Zoë 😀 \ud83d\ude00 \u00e9\/","age":41,"more":{"nothing":[null,1e3,-0.5,true]}}`)
	case "odd-person":
		fmt.Fprint(w, `{"name":"Zoë","age":"old"}`)
	case "long":
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, long)
	case "binary":
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(binary)
	case "empty":
		w.Header()["Content-Type"] = nil
	case "huge":
		w.Header().Set("Content-Length", strconv.Itoa(5<<20))
	case "slow":
		<-r.Context().Done()
	case "drop":
		panic(http.ErrAbortHandler)
	case "status": // /status/CODE/RETRY-AFTER
		code, after, _ := strings.Cut(rest, "/")
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		status, _ := strconv.Atoi(code)
		w.WriteHeader(status)
		fmt.Fprint(w, "it is "+unicode+strings.Repeat(" so", 200))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// mirror tells what arrived.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	seen := map[string]any{"method": r.Method, "type": r.Header.Get("Content-Type"), "accept": r.Header.Get("Accept"), "key": r.Header.Get("Idempotency-Key"),
		"token": r.Header.Get("X-Token"), "trial": r.Header.Get("X-Trial"), "length": len(body)}
	if len(body) < 4<<10 {
		seen["body"] = string(body)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(seen)
}

// startLine is a server that reads a line and answers: "echo" and what followed it, "long" with a lot, "binary" with every byte.
func startLine(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answerLine(conn)
		}
	}()
	return l.Addr().String()
}

func answerLine(conn net.Conn) {
	defer conn.Close()
	var line []byte
	for one := make([]byte, 1); len(line) < 1<<20; line = append(line, one[0]) {
		if _, err := conn.Read(one); err != nil || one[0] == '\n' {
			break
		}
	}
	switch text := string(line); {
	case strings.HasPrefix(text, "echo"):
		_, _ = conn.Write(line)
	case text == "long":
		_, _ = io.WriteString(conn, long)
	default:
		_, _ = conn.Write(binary)
	}
}
