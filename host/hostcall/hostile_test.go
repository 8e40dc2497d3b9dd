package hostcall

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
	dnssim "github.com/riposte-soar/riposte/testing/lab/dns"
)

// TestFetchFaults talks to vendors that misbehave.
func TestFetchFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		status  int // of a response; a status of 400 and more is no fault
		fault   abi.Kind
	}{
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, 401, ""},
		{"429", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, 429, ""},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 500, ""},
		{"nothing for long", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, abi.Timeout},
		{"half a body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		}, 0, abi.Unavailable},
		{"half a chunked body", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 0, abi.Unavailable},
		{"endless body", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, 0, abi.TooLarge},
		{"large by its own word", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999") }, 0, abi.TooLarge},
		{"gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 64 {
				_, _ = z.Write(make([]byte, 1<<20))
			}
			_ = z.Close()
		}, 0, abi.TooLarge},
		{"gzip in gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip, gzip")
			_, _ = io.WriteString(w, "x")
		}, 0, abi.Unavailable},
		{"broken gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "this is no gzip")
		}, 0, abi.Unavailable},
		{"redirect that is not granted", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.test/", http.StatusFound)
		}, 302, ""},
		{"endless header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, 0, abi.Unavailable},
		{"closed at once", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, abi.Unavailable},
		{"no HTTP", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "SSH-2.0-x\r\n")
				_ = conn.Close()
			}
		}, 0, abi.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, url := vendor(t, c.handler)
			request := get(url + "/api/x?token=in-the-query")
			request.Timeout = 30_000
			if c.fault == abi.Timeout {
				request.Timeout = 50
			}
			got, fault := call[abi.HTTPResponse](t, b.session(), "http.fetch", request)
			switch {
			case c.fault == "" && (fault != nil || got.Status != c.status):
				t.Errorf("got %+v, %v", got, fault)
			case c.fault != "" && (fault == nil || fault.Kind != c.fault):
				t.Errorf("got %+v, %v; want %s", got.Status, fault, c.fault)
			case fault != nil && (strings.Contains(fault.Error(), "in-the-query") || !strings.Contains(fault.Message, "127.0.0.1:")):
				t.Errorf("the fault says %q", fault.Error())
			}
			if c.status == 429 && got.Headers["retry-after"] != "7" {
				t.Errorf("headers %v", got.Headers)
			}
		})
	}
}

func TestFetchLimits(t *testing.T) {
	b, url := vendor(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0123456789") })
	b.manifest.Requires[0].MaxBytes = 10
	if got, fault := call[abi.HTTPResponse](t, b.session(), "http.fetch", get(url+"/api/x")); fault != nil || got.Body.Text != "0123456789" {
		t.Errorf("exactly the limit: %v", fault)
	}
	b.grant["api"] = capability.Narrowing{MaxBytes: 9}
	if _, fault := call[abi.HTTPResponse](t, b.session(), "http.fetch", get(url+"/api/x")); fault == nil || fault.Kind != abi.TooLarge {
		t.Errorf("one byte over: %v", fault)
	}
}

func TestFetchCancelled(t *testing.T) {
	arrived := make(chan struct{})
	b, url := vendor(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, fault := callContext[any](t, ctx, b.session(), "http.fetch", get(url+"/api/x")); fault == nil || fault.Kind != abi.Cancelled {
		t.Errorf("got %v", fault)
	}
}

// An unsafe write whose answer is lost is in doubt; one that never left is not.
func TestUnsafeWriteInDoubt(t *testing.T) {
	var seen atomic.Int32
	b, url := vendor(t, func(http.ResponseWriter, *http.Request) {
		seen.Add(1)
		panic(http.ErrAbortHandler)
	})
	s := b.session()
	request := get(url + "/api/x")
	request.Method = "DELETE"
	if _, fault := call[any](t, s, "http.fetch", request); fault == nil || fault.Kind != abi.InDoubt || fault.Retryable || seen.Load() != 1 {
		t.Errorf("an answer that is lost: %v, sent %d times", fault, seen.Load())
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.settings = `{"base_url":"http://` + closed.Addr().String() + `"}`
	_ = closed.Close()
	request.URL = "http://" + closed.Addr().String() + "/api/x"
	if _, fault := call[any](t, b.session(), "http.fetch", request); fault == nil || fault.Kind != abi.Unavailable {
		t.Errorf("nobody listens: %v", fault)
	}
}

func TestFetchRefusesHeaders(t *testing.T) {
	b, url := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request came") })
	b.manifest.Requires[0].Auth = &abi.Auth{Secret: "api_key", Inject: "header:X-Pan-Key"}
	s := b.session()
	for name, value := range map[string]string{"Host": "evil.test", "content-length": "0", "Transfer-Encoding": "chunked", "Connection": "close", "Upgrade": "h2c",
		"proxy-authorization": "x", "Idempotency-Key": "x", "x-pan-key": "mine", "Accept-Encoding": "br", "X\r\nY": "z", "X": "a\r\nY: b", "X-Nul": "a\x00b", "": "x", "A B": "c"} {
		request := get(url + "/api/x")
		request.Headers = map[string]string{name: value}
		if _, fault := call[any](t, s, "http.fetch", request); fault == nil || fault.Kind != abi.Refused && fault.Kind != abi.Invalid {
			t.Errorf("header %q: %v", name, fault)
		}
	}
}

// TestDestinations proves that the address that is dialled is what counts, whatever the URL calls it.
func TestDestinations(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came") }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	names, err := dnssim.Start(dnssim.Options{Records: []dnssim.Record{{Name: "inside.corp.test", Type: "A", Value: "127.0.0.1"},
		{Name: "mapped.corp.test", Type: "AAAA", Value: "::ffff:127.0.0.1"}, {Name: "device.corp.test", Type: "A", Value: "10.255.255.1"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = names.Close() }()
	b := newBench(t, abi.Requirement{ID: "api", Kind: "http", Reason: "test", URL: "http://*:" + port + "/**", Methods: map[string]abi.Effect{"GET": abi.Read}})
	b.services.Network = capability.Network{}
	b.services.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, names.Addr())
	}}
	s := b.session()
	for _, host := range []string{"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "localhost",
		"①②⑦.⓪.⓪.①", "127。0。0。1", "inside.corp.test", "mapped.corp.test", "INSIDE.corp.test.", "[64:ff9b::7f00:1]", "169.254.169.254", "device.corp.test"} {
		_, fault := call[any](t, s, "http.fetch", get("http://"+host+":"+port+"/"))
		if fault == nil || fault.Kind != abi.Refused && !(host == "localhost" && fault.Kind == abi.Unavailable) {
			t.Errorf("%s: %v", host, fault)
		}
	}
	b.svc.o.Network = capability.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Own: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:" + port)}}
	if _, fault := call[any](t, b.session(), "http.fetch", get("http://127.0.0.1:"+port+"/")); fault == nil || !strings.Contains(fault.Message, "this server itself") {
		t.Errorf("ourselves: %v", fault)
	}
}

// redirecting makes a vendor whose /api/go redirects to where its query says, and a second origin that must not see secrets.
func redirecting(t *testing.T) (b *bench, base, other string, seen *[]*http.Request) {
	var requests []*http.Request
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r)
		_, _ = io.WriteString(w, "elsewhere")
	}))
	t.Cleanup(elsewhere.Close)
	b, base = vendor(t, func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r)
		if to := r.URL.Query().Get("to"); to != "" {
			status := http.StatusFound
			if r.URL.Query().Get("keep") != "" {
				status = http.StatusTemporaryRedirect
			}
			w.Header().Set("Location", to)
			w.WriteHeader(status)
			return
		}
		_, _ = io.WriteString(w, "here "+r.Method)
	})
	b.manifest.Requires[0].URL = "{settings.base_url}/api/**"
	b.manifest.Requires[0].Redirects = 2
	b.manifest.Requires[0].Auth = &abi.Auth{Secret: "api_key", Inject: "bearer"}
	return b, base, elsewhere.URL, &requests
}

func TestRedirects(t *testing.T) {
	b, base, other, seen := redirecting(t)
	fetch := func(query string) (abi.HTTPResponse, *abi.Fault) {
		*seen = nil
		request := get(base + "/api/go?" + query)
		request.Method = "POST"
		request.Headers = map[string]string{"X-Token": "mine", "Content-Type": "text/plain"}
		request.Body = &abi.Payload{Text: "body"}
		return call[abi.HTTPResponse](t, b.session(), "http.fetch", request)
	}
	if got, fault := fetch("to=" + url.QueryEscape("/api/next")); fault != nil || got.Body.Text != "here GET" || len(*seen) != 2 || (*seen)[1].Header.Get("Authorization") == "" ||
		(*seen)[1].Header.Get("Content-Type") != "" || (*seen)[1].ContentLength > 0 {
		t.Errorf("same origin: %+v %v", got, fault)
	}
	if got, fault := fetch("keep=1&to=" + url.QueryEscape("/api/next")); fault != nil || got.Body.Text != "here POST" {
		t.Errorf("307: %+v %v", got, fault)
	}
	for _, to := range []string{"/elsewhere", "/api/../elsewhere", other + "/api/x", "http://169.254.169.254/", "file:///etc/passwd", "http://user:pw@127.0.0.1/api/", "//evil.test/api"} {
		if _, fault := fetch("to=" + url.QueryEscape(to)); fault == nil || fault.Kind != abi.Refused || len(*seen) != 1 {
			t.Errorf("%s: %v, %d requests", to, fault, len(*seen))
		}
	}
	loop := "/api/go?to=x"
	for range 3 {
		loop = "/api/go?to=" + url.QueryEscape(loop)
	}
	if _, fault := fetch("to=" + url.QueryEscape(loop)); fault == nil || !strings.Contains(fault.Message, "after 2") {
		t.Errorf("too many: %v", fault)
	}
	zero := 0
	b.grant["api"] = capability.Narrowing{Redirects: &zero}
	if got, fault := fetch("to=" + url.QueryEscape("/api/next")); fault != nil || got.Status != 302 || len(*seen) != 1 {
		t.Errorf("not granted: %+v %v", got, fault)
	}
}

// On another origin, though it is granted too, neither the secret nor the guest's own headers arrive.
func TestRedirectToAnotherOriginLeavesSecretsBehind(t *testing.T) {
	var there string
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(first.Addr().String())
	second, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(l net.Listener, handler http.HandlerFunc) {
		server := httptest.NewUnstartedServer(handler)
		_ = server.Listener.Close()
		server.Listener = l
		server.Start()
		t.Cleanup(server.Close)
	}
	here := 0
	serve(first, func(w http.ResponseWriter, r *http.Request) {
		body, _ := httputil.DumpRequest(r, true)
		here += strings.Count(string(body), apiKey) + strings.Count(string(body), url.QueryEscape(apiKey))
		w.Header().Set("Location", "http://127.0.0.2:"+port+"/landing")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	serve(second, func(_ http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, true)
		there = string(dump)
	})
	for _, inject := range []string{"bearer", "header:X-Key", "query:key", "form:key"} {
		b := newBench(t, abi.Requirement{ID: "api", Kind: "http", Reason: "test", URL: "http://[127.0.0.0/8]:" + port + "/**", Redirects: 1,
			Methods: map[string]abi.Effect{"POST": abi.Idempotent}, Auth: &abi.Auth{Secret: "api_key", Inject: inject}})
		b.settings, b.services.Secrets = `{"api_key":{"secret":"store:key"}}`, vault{"store:key": apiKey}
		here, there = 0, ""
		_, fault := call[any](t, b.session(), "http.fetch", abi.HTTPRequest{Capability: "api", Method: "POST", URL: "http://127.0.0.1:" + port + "/",
			Headers: map[string]string{"X-Token": "mine", "Content-Type": "application/x-www-form-urlencoded", "Accept": "text/plain"}, Body: &abi.Payload{Text: "a=b"}})
		if fault != nil || here != 1 || !strings.HasPrefix(there, "POST /landing HTTP/1.1\r\n") || !strings.HasSuffix(there, "\r\n\r\na=b") ||
			!strings.Contains(there, "Accept: text/plain") || strings.Contains(there, "s3cr3t") || strings.Contains(there, "mine") {
			t.Errorf("%s: %v; the vendor saw %d secrets, the other origin this:\n%s", inject, fault, here, there)
		}
	}
}
