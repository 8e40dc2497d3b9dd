package hostcall

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

func TestTLSTerms(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse the certificate are what this test is about
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	pin := func(cert *x509.Certificate) string {
		sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	other := base64.StdEncoding.EncodeToString(make([]byte, 32))
	b := newBench(t, abi.Requirement{ID: "api", Kind: "http", Reason: "test", URL: server.URL + "/**", Methods: map[string]abi.Effect{"GET": abi.Read}})
	// The order matters: a connection that good terms opened must not serve bad ones.
	for _, c := range []struct {
		name  string
		terms capability.TLS
		says  string
	}{
		{"the authority is named", capability.TLS{CA: ca}, ""},
		{"system authorities", capability.TLS{}, "unknown authority"},
		{"another name", capability.TLS{CA: ca, ServerName: "fw.corp.test"}, "another name"},
		{"the pin", capability.TLS{CA: ca, Pins: []string{other, pin(server.Certificate())}, Min: "1.3"}, ""},
		{"another pin", capability.TLS{CA: ca, Pins: []string{other}}, "pinned"},
	} {
		b.grant = capability.Grant{"api": {TLS: &c.terms}}
		_, fault := call[any](t, b.session(), "http.fetch", get(server.URL+"/"))
		if c.says == "" && fault != nil || c.says != "" && (fault == nil || fault.Retryable || !strings.Contains(fault.Message, c.says)) {
			t.Errorf("%s: got %v", c.name, fault)
		}
	}
	for _, terms := range []capability.TLS{{CA: ca + "x"}, {CA: os.DevNull}, {Pins: []string{"x"}}} {
		b.grant = capability.Grant{"api": {TLS: &terms}}
		if _, fault := b.try(); fault == nil || fault.Kind != abi.Invalid {
			t.Errorf("%+v: %v", terms, fault)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	b := newBench(t, abi.Requirement{ID: "api", Kind: "http", Reason: "test", URL: server.URL + "/**", Methods: map[string]abi.Effect{"GET": abi.Read, "DELETE": abi.Unsafe}})
	for range 5 {
		if _, fault := call[any](t, b.session(), "http.fetch", get(server.URL+"/")); fault != nil {
			t.Fatal(fault)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for 5 invocations", n)
	}
	request := get(server.URL + "/")
	request.Method = "DELETE"
	if _, fault := call[any](t, b.session(), "http.fetch", request); fault != nil || connections.Load() != 2 {
		t.Errorf("an unsafe request shares a connection: %v", fault)
	}
}

// What arrives at the wire is the canonical request: no second spelling of the host or the path gets there.
func TestWire(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	lines := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		r := bufio.NewReader(conn)
		var all strings.Builder
		for {
			line, err := r.ReadString('\n')
			all.WriteString(line)
			if line == "\r\n" || errors.Is(err, io.EOF) {
				break
			}
		}
		lines <- all.String()
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	}()
	b := newBench(t, abi.Requirement{ID: "api", Kind: "http", Reason: "test", URL: "http://" + listener.Addr().String() + "/api/**", Methods: map[string]abi.Effect{"PUT": abi.Keyed}})
	_, fault := call[any](t, b.session(), "http.fetch", abi.HTTPRequest{Capability: "api", Method: "PUT", URL: "HTTP://" + listener.Addr().String() + "/x/%2e%2E/%61pi/a%2fb/./c%20d?q=%41#f",
		Headers: map[string]string{"user-agent": "trial"}})
	if fault != nil {
		t.Fatal(fault)
	}
	want := "PUT /api/a%2Fb/c%20d?q=%41 HTTP/1.1\r\nHost: " + listener.Addr().String() + "\r\nUser-Agent: trial\r\nContent-Length: 0\r\nIdempotency-Key: " +
		tape.WriteKey("key-1", 1) + "\r\nAccept-Encoding: gzip\r\n\r\n"
	if got := <-lines; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTLSVersionIsBounded(t *testing.T) {
	terms, fault := newClientTLS(capability.TLS{})
	if fault != nil || terms.config.MinVersion != tls.VersionTLS12 || terms.config.InsecureSkipVerify {
		t.Errorf("got %+v %v", terms.config, fault)
	}
}

// TestAnswersAreReadInPieces reads answers of all lengths around its limits, from readers that give little, end late, or break off.
func TestAnswersAreReadInPieces(t *testing.T) {
	var p pieces
	whole := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	for _, length := range []int{0, 1, 511, 512, 513, 1535, 1536, 1537, 64 << 10, 200_000} {
		for _, most := range []int64{1, 512, 1536, 199_999, 200_000, 200_001} {
			for _, announced := range []int64{-1, 0, int64(length)} {
				for name, slow := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r },
					"halves": iotest.HalfReader, "end with data": iotest.DataErrReader} {
					got, err := p.read(slow(bytes.NewReader(whole[:length])), most, announced)
					want, long := whole[:length], error(nil)
					if int64(length) > most {
						want, long = nil, errLong
					}
					if !errors.Is(err, long) || !bytes.Equal(got, want) {
						t.Fatalf("%s: of %d bytes, at most %d, announced %d: %d bytes, %v", name, length, most, announced, len(got), err)
					}
				}
			}
		}
	}
	broken := io.MultiReader(bytes.NewReader(whole[:1000]), iotest.ErrReader(io.ErrUnexpectedEOF))
	if got, err := p.read(broken, 5000, 3000); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 1000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
