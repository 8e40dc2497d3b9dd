package hostcall

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// written is a tape of which only the lines are made, as by a store.
type written struct {
	chain tape.Chain
	line  []byte
}

// Append implements tape.Log.
func (w *written) Append(e tape.Entry, _ bool) (err error) {
	w.line, err = w.chain.Append(w.line[:0], &e)
	return err
}

// Recorded implements tape.Log.
func (w *written) Recorded() []tape.Entry { return nil }

// answerer is a receiver that costs next to nothing, since it is in the same process: it takes what comes up to the end of a body that ends in
// "}", and gives the same answer each time.
func answerer(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	b.Cleanup(func() { _ = ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				buffer := make([]byte, 16<<10)
				for filled := 0; ; {
					n, err := conn.Read(buffer[filled:])
					if filled += n; err != nil {
						_ = conn.Close()
						return
					}
					if buffer[filled-1] != '}' {
						continue
					}
					filled = 0
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nServer: plain\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}")
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// BenchmarkTransport is the part of BenchmarkFetch that is net/http's: the same request, and its answer read.
func BenchmarkTransport(b *testing.B) {
	address := answerer(b)
	services := NewServices(ServicesOptions{Network: loopback()})
	b.Cleanup(services.Close)
	terms, fault := newClientTLS(capability.TLS{})
	if fault != nil {
		b.Fatal(fault)
	}
	body := []byte(`{"address":"192.0.2.1","alarm":"a-1","text":"a connection to a server that is known"}`)
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}, "Idempotency-Key": {tape.WriteKey("key-1", 1)}}
	b.ReportAllocs()
	for b.Loop() {
		request := &http.Request{Method: "POST", Header: header, Host: address, URL: &url.URL{Scheme: "http", Host: address, Path: "/hook/in"},
			ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body))}
		response, err := services.transport(terms, true, false).RoundTrip(request)
		if err != nil {
			b.Fatal(err)
		}
		var answer [12]byte
		if _, err := io.ReadFull(response.Body, answer[:]); !errors.Is(err, io.ErrUnexpectedEOF) {
			b.Fatal(err)
		}
		_ = response.Body.Close()
	}
}

// BenchmarkFetch is what an invocation with one POST takes of the dispatcher: its session, the call, and the lines of the tape for both.
func BenchmarkFetch(b *testing.B) {
	address := answerer(b)
	for _, signed := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "signed"}[signed]
		b.Run(name, func(b *testing.B) {
			manifest := &abi.Manifest{Plugin: "trial", Actions: map[string]abi.Action{"act": {Effect: abi.Keyed, Uses: []string{"api"}}},
				Requires: []abi.Requirement{{ID: "api", Kind: "http", Reason: "r", URL: "{settings.url}/**", Methods: map[string]abi.Effect{"POST": abi.Keyed}}}}
			settings := `{"url":"http://` + address + `/hook"}`
			if signed {
				manifest.Requires[0].Auth = &abi.Auth{Secret: "token", Inject: "header:X-Token"}
				settings = `{"url":"http://` + address + `/hook","token":{"secret":"env:TOKEN"}}`
			}
			services := NewServices(ServicesOptions{Network: loopback(), Secrets: vault{"env:TOKEN": apiKey}})
			b.Cleanup(services.Close)
			request := []byte(`{"capability":"api","method":"POST","url":"http://` + address + `/hook/in","headers":{"accept":"application/json","content-type":"application/json"},` +
				`"body":{"text":"{\"address\":\"192.0.2.1\",\"alarm\":\"a-1\",\"text\":\"a connection to a server that is known\"}"}}`)
			o := SessionOptions{ID: "inv-1", Key: "key-1", Namespace: "bench", Manifest: manifest, Action: "act", Settings: json.RawMessage(settings),
				Grant: capability.Grant{"api": {}}, Services: services, MaxCalls: 1000}
			log := &written{}
			o.Tape = log
			b.ReportAllocs()
			for b.Loop() {
				log.chain = tape.Chain{}
				s, fault := NewSession(o)
				if fault != nil {
					b.Fatal(fault)
				}
				var head tape.Header
				s.Describe(b.Context(), &head)
				if answer := s.Call(b.Context(), "http.fetch", request); !bytes.Contains(answer, []byte(`"status":200`)) {
					b.Fatalf("%s", answer)
				}
				s.Close()
			}
		})
	}
}
