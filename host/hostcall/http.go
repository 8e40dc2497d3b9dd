package hostcall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Limits of http.fetch. A manifest or a grant may set the first one, up to the second.
const (
	defaultResponse  = 8 << 20
	maxResponse      = 64 << 20
	maxRequestHeader = 64 << 10
)

// fetch is http.fetch.
type fetch struct {
	id, method, url string  // as in abi.HTTPRequest
	headers         []field // by name
	body            []byte
	unclear         *abi.Fault // why the body is none
	timeout         int64

	target  capability.Target
	refusal *capability.Refusal // why the URL has no target
	named   bool
	effect  abi.Effect
	header  http.Header
}

func (f *fetch) capability() (kind, id string) { return "http", f.id }

func (f *fetch) summary() string {
	if f.target, f.refusal = capability.ParseTarget(f.url); f.refusal != nil {
		return f.method
	}
	t := f.target
	t.Query = ""
	return f.method + " " + t.String()
}

// hostOwned says that a header, named in the canonical way, is the host's to set.
func hostOwned(name string) bool {
	switch name {
	case "Host", "Content-Length", "Transfer-Encoding", "Te", "Trailer", "Connection", "Keep-Alive", "Upgrade", "Proxy-Connection",
		"Proxy-Authorization", "Proxy-Authenticate", "Expect", "Accept-Encoding", "Idempotency-Key", "X-Idempotency-Key":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}

func validHeaderName(name string) bool { return httpguts.ValidHeaderFieldName(name) }

func (f *fetch) authorise(r *capability.Right) (abi.Effect, *abi.Fault) {
	if f.refusal != nil {
		return "", f.refusal.Fault()
	}
	var refusal *capability.Refusal
	if f.effect, f.named, refusal = r.HTTP.Allow(f.method, f.target); refusal != nil {
		return "", refusal.Fault()
	}
	if f.unclear != nil {
		return "", f.unclear
	}
	return f.effect, f.readHeaders(r.Auth)
}

// readHeaders takes the guest's headers, but for those that are the host's.
func (f *fetch) readHeaders(auth *abi.Auth) *abi.Fault {
	f.header = make(http.Header, len(f.headers)+2)
	values, secret, size := make([]string, len(f.headers)), authHeader(auth), 0
	for i, h := range f.headers {
		size += len(h.name) + len(h.value)
		name := http.CanonicalHeaderKey(h.name)
		switch _, twice := f.header[name]; {
		case !validHeaderName(h.name) || !httpguts.ValidHeaderFieldValue(h.value):
			return abi.NewFault(abi.Invalid, "a header has a name or a value that HTTP does not allow", "line ends, for example")
		case hostOwned(name) || name == secret:
			return &abi.Fault{Kind: abi.Refused, Message: "header " + h.name + " is set by the host", Hint: "leave it out", Where: "header"}
		case twice:
			return abi.NewFault(abi.Invalid, "header "+h.name+" is given twice", "")
		}
		values[i] = h.value
		f.header[name] = values[i : i+1 : i+1]
	}
	if size > maxRequestHeader {
		return abi.NewFault(abi.TooLarge, fmt.Sprintf("the headers have more than %d bytes", maxRequestHeader), "")
	}
	if auth != nil && strings.HasPrefix(auth.Inject, "query:") {
		if values, err := url.ParseQuery(f.target.Query); err != nil || values.Has(auth.Inject[len("query:"):]) {
			return &abi.Fault{Kind: abi.Refused, Message: "the query has the parameter that the host sets, or cannot be read", Hint: "leave it out"}
		}
	}
	return nil
}

// hop is one request of a fetch: the first, or one that a redirect asked for.
type hop struct {
	method string
	target capability.Target
	named  bool
	header http.Header
	body   []byte
}

func (f *fetch) perform(ctx context.Context, s *Session, g granted, key string) (any, *abi.Fault) {
	ctx, cancel := within(ctx, f.timeout)
	defer cancel()
	sent := false // a request may have left
	if f.effect == abi.Unsafe {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }})
	}
	h := hop{method: f.method, target: f.target, named: f.named, header: f.header, body: f.body}
	if f.effect == abi.Keyed {
		h.header.Set("Idempotency-Key", key)
	}
	for followed := 0; ; followed++ {
		value, next, fault := f.do(ctx, s, g, h)
		if next != nil {
			if followed >= g.right.HTTP.Redirects {
				fault = refused("redirect", fmt.Sprintf("%s redirects once more, after %d", h.target.HostPort(), followed))
			} else {
				fault = f.follow(g.right.HTTP, &h, next)
			}
		}
		switch {
		case fault != nil && sent && fault.Kind != abi.Refused:
			return nil, inDoubt(fault)
		case fault != nil:
			return nil, fault
		case next == nil:
			return value, nil
		}
	}
}

type redirect struct {
	status   int
	location string
}

// do sends one request, and gives the response, or the redirect that is to be followed. The secret goes only where the first request was allowed to go.
func (f *fetch) do(ctx context.Context, s *Session, g granted, h hop) (*response, *redirect, *abi.Fault) {
	if auth := g.right.Auth; auth != nil && h.target.SameOrigin(f.target) {
		var fault *abi.Fault
		if h, fault = s.inject(auth, h); fault != nil {
			return nil, nil, fault
		}
	}
	authority := h.target.Authority()
	request := (&http.Request{
		Method: h.method, Header: h.header, Host: authority, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: &url.URL{Scheme: h.target.Scheme, Host: authority, RawQuery: h.target.Query},
	}).WithContext(ctx)
	setPath(request.URL, h.target.Path)
	if body := h.body; len(body) > 0 {
		request.ContentLength = int64(len(body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
	}
	got, err := s.o.Services.transport(g.tls, h.named, f.effect == abi.Unsafe).RoundTrip(request)
	if err != nil {
		return nil, nil, netFault(ctx, err, h.target.HostPort())
	}
	defer func() { _ = got.Body.Close() }()
	location := got.Header.Get("Location")
	if g.right.HTTP.Redirects > 0 && location != "" && isRedirect(got.StatusCode) {
		return nil, &redirect{got.StatusCode, location}, nil
	}
	value, fault := f.read(ctx, s, g.right.HTTP, got, h.target)
	return value, nil, fault
}

// setPath gives the URL the escaped path as it stands, so that what is sent is what was authorised.
func setPath(u *url.URL, escaped string) {
	u.RawPath = escaped
	path, err := url.PathUnescape(escaped)
	if err != nil {
		path = escaped
	}
	u.Path = path
}

// read takes in the response, up to its limit after decompression, and masks the echoes of secrets in its body before it is put into JSON.
func (f *fetch) read(ctx context.Context, s *Session, right *capability.HTTP, from *http.Response, target capability.Target) (*response, *abi.Fault) {
	if coding := from.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, &abi.Fault{Kind: abi.Unavailable, Message: target.HostPort() + " answers in a content encoding that was not asked for"}
	}
	limit := int64(defaultResponse)
	if right.MaxBytes > 0 {
		limit = min(right.MaxBytes, maxResponse)
	}
	tooLarge := func() *abi.Fault {
		return abi.NewFault(abi.TooLarge, fmt.Sprintf("%s answers more than %d bytes", target.HostPort(), limit), "ask for less, or raise max_bytes of the capability")
	}
	if from.ContentLength > limit {
		return nil, tooLarge()
	}
	body, err := s.o.Services.pieces.read(from.Body, limit, from.ContentLength)
	switch {
	case errors.Is(err, errLong):
		return nil, tooLarge()
	case err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded):
		return nil, abi.NewFault(abi.Unavailable, fmt.Sprintf("%s broke off its answer (status %d) after %d bytes", target.HostPort(), from.StatusCode, len(body)), "")
	case err != nil:
		return nil, netFault(ctx, err, target.HostPort())
	}
	value := &response{status: from.StatusCode, headers: make([]field, 0, len(from.Header)), body: s.redactor.Bytes(body)}
	for name, values := range from.Header {
		value.headers = append(value.headers, field{strings.ToLower(name), s.redactor.String(strings.Join(values, ", "))})
	}
	slices.SortFunc(value.headers, byName)
	value.headers = slices.CompactFunc(value.headers, func(a, b field) bool { return a.name == b.name })
	return value, nil
}

// pieces of largestPiece bytes in which answers of unknown length are read. They serve again, so that peers which answer without end make no garbage.
type pieces struct{ pool sync.Pool }

const firstPiece, largestPiece = 512, 64 << 10

func (p *pieces) get(size int64) []byte {
	if size == largestPiece {
		if piece, ok := p.pool.Get().(*[largestPiece]byte); ok {
			return piece[:]
		}
	}
	return make([]byte, size)
}

func (p *pieces) put(all [][]byte) {
	for _, piece := range all {
		if cap(piece) == largestPiece {
			p.pool.Put((*[largestPiece]byte)(piece[:largestPiece]))
		}
	}
}

// errLong says that an answer is longer than it may be.
var errLong = errors.New("longer than it may be")

// read reads what comes, with errLong and without its bytes if those are more than most. Room for what was announced, unless that is -1, is made at
// once, for more in pieces, so that an answer that is too large takes no more than its limit.
func (p *pieces) read(r io.Reader, most, announced int64) ([]byte, error) {
	most++                // to see that there is more
	size := announced + 1 // to see the end too
	if announced < 0 {
		size = firstPiece
	}
	var full [][]byte
	part := make([]byte, min(size, most))
	for {
		n, err := 0, error(nil)
		for n < len(part) && err == nil {
			var more int
			more, err = r.Read(part[n:])
			n += more
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		most -= int64(n)
		if err == nil && n == len(part) && most > 0 {
			size = min(2*size, largestPiece)
			full, part = append(full, part), p.get(min(size, most))
			continue
		}
		if most == 0 {
			p.put(append(full, part))
			return nil, errLong
		}
		if len(full) == 0 {
			return part[:n], err
		}
		full = append(full, part[:n])
		all := slices.Concat(full...)
		p.put(full)
		return all, err
	}
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// follow makes the next request of a redirect (RFC 9110, section 15.4), if the right covers it. Off the first origin the guest's headers
// stay behind, as the secret does.
func (f *fetch) follow(right *capability.HTTP, h *hop, to *redirect) *abi.Fault {
	base, err := url.Parse(h.target.String())
	if err != nil {
		return abi.NewFault(abi.Internal, "a URL that was sent cannot be read", "")
	}
	next, err := base.Parse(to.location)
	if err != nil {
		return abi.NewFault(abi.Unavailable, h.target.HostPort()+" redirects to what is no URL", "")
	}
	method, body := h.method, h.body
	if to.status == http.StatusSeeOther && method != "HEAD" || to.status < http.StatusSeeOther && method == "POST" {
		method, body = "GET", nil
	}
	target, refusal := capability.ParseTarget(next.String())
	if refusal == nil {
		var effect abi.Effect
		effect, h.named, refusal = right.Allow(method, target)
		if refusal == nil && capability.Rank(effect) > capability.Rank(f.effect) {
			return refused(capability.Method, "the redirect leads to a request of another effect")
		}
	}
	if refusal != nil {
		fault := refusal.Fault()
		fault.Message = h.target.HostPort() + " redirects to what is not granted: " + fault.Message
		return fault
	}
	header := h.header.Clone()
	if body == nil {
		header.Del("Content-Type")
	}
	if !target.SameOrigin(f.target) {
		for name := range header {
			switch name {
			case "Accept", "Accept-Language", "Content-Type", "User-Agent":
			default:
				header.Del(name)
			}
		}
	}
	h.method, h.target, h.body, h.header = method, target, body, header
	return nil
}
