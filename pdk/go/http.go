package pdk

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// HTTP sends requests under one http capability of the manifest.
type HTTP struct {
	call       *Call
	capability string
}

// HTTP gives the door of the http capability with this id.
func (c *Call) HTTP(capability string) HTTP { return HTTP{c, capability} }

// Do sends a request. Any status is a response; an error means that there was none.
func (h HTTP) Do(request abi.HTTPRequest) (*Response, error) {
	return h.do(request, headersOf(request.Headers))
}

// do sends a request with these headers in place of its own; they are JSON, with names in order.
func (h HTTP) do(request abi.HTTPRequest, headers string) (*Response, error) {
	request.Capability = h.capability
	value, err := askFor(h.call, "http.fetch", httpFetch, writeRequest(request, headers), readResponse)
	if err != nil {
		return nil, err
	}
	answer := &h.call.response
	if answer.call != nil {
		answer = new(Response)
	}
	*answer = Response{value.Status, value.Body, value.Headers, h.call}
	return answer, nil
}

// Get fetches a URL.
func (h HTTP) Get(url string) (*Response, error) {
	return h.Do(abi.HTTPRequest{Method: "GET", URL: url})
}

// Delete sends DELETE without a body.
func (h HTTP) Delete(url string) (*Response, error) {
	return h.Do(abi.HTTPRequest{Method: "DELETE", URL: url})
}

// PostJSON posts v as JSON.
func (h HTTP) PostJSON(url string, v any) (*Response, error) { return h.SendJSON("POST", url, v) }

// SendJSON sends v as JSON with any method; a json.RawMessage goes as it is.
func (h HTTP) SendJSON(method, url string, v any) (*Response, error) {
	raw, isJSON := v.(json.RawMessage)
	if !isJSON || len(raw) == 0 {
		var err error
		if raw, err = Marshal(v); err != nil {
			return nil, Fail(abi.Invalid, "the body cannot be written as JSON: "+err.Error(), "")
		}
	}
	body := payload(raw)
	return h.do(abi.HTTPRequest{Method: method, URL: url, Body: &body}, `{"accept":"application/json","content-type":"application/json"}`)
}

// PostForm posts fields as application/x-www-form-urlencoded; fields is already encoded, as by url.Values.Encode.
func (h HTTP) PostForm(url, fields string) (*Response, error) {
	body := payload(octetsOf(fields))
	return h.do(abi.HTTPRequest{Method: "POST", URL: url, Body: &body}, `{"content-type":"application/x-www-form-urlencoded"}`)
}

// payload is Body for bytes that do not change while it is in use.
func payload(b []byte) abi.Payload {
	if utf8.Valid(b) {
		return abi.Payload{Text: view(b)}
	}
	return abi.Payload{Base64: b}
}

// Body wraps bytes for a request: as text where they are UTF-8.
func Body(b []byte) *abi.Payload {
	if utf8.Valid(b) {
		return &abi.Payload{Text: string(b)}
	}
	return &abi.Payload{Base64: b}
}

// Bytes unwraps a payload.
func Bytes(p abi.Payload) []byte {
	if len(p.Base64) > 0 {
		return p.Base64
	}
	return []byte(p.Text)
}

// Response is the answer to a request.
type Response struct {
	Status  int
	Body    abi.Payload
	headers json.RawMessage
	call    *Call
}

// Bytes is the body.
func (r *Response) Bytes() []byte { return Bytes(r.Body) }

// Header gives a header by its name in any case; several values are joined by ", ".
func (r *Response) Header(name string) string { return r.Headers()[strings.ToLower(name)] }

// Headers gives all headers, their names in lower case.
func (r *Response) Headers() map[string]string {
	var all map[string]string
	if len(r.headers) == 0 || Unmarshal(r.headers, &all) != nil {
		return nil
	}
	return all
}

// Into checks for a status of 2xx and decodes the JSON body into v, which may be filled in part after an error.
func (r *Response) Into(v any) error {
	if err := r.Expect(); err != nil {
		return err
	}
	body := r.Body.Base64
	if len(body) == 0 {
		body = octetsOf(r.Body.Text)
	}
	if err := Unmarshal(body, v); err != nil {
		return Fail(abi.Unavailable, "the other side answered something else than the expected JSON: "+err.Error(), "check the address in the connector's settings")
	}
	return nil
}

// Expect is nil if the status is one of those given, or 2xx if none is given. Otherwise the error is a Fault of the kind that the status
// stands for: 401 and 403 unauthorized, 404 not_found, 409 conflict, 413 too_large, 429 rate_limited with the wait that Retry-After asks
// for (RFC 9110 section 10.2.3), 5xx unavailable, others failed.
func (r *Response) Expect(statuses ...int) error {
	for _, status := range statuses {
		if r.Status == status {
			return nil
		}
	}
	if len(statuses) == 0 && r.Status >= 200 && r.Status < 300 {
		return nil
	}
	kind, hint := abi.Failed, ""
	switch {
	case r.Status == 401 || r.Status == 403:
		kind, hint = abi.Unauthorized, "check the credentials in the connector's settings, and what they are allowed to do"
	case r.Status == 404:
		kind = abi.NotFound
	case r.Status == 408:
		kind = abi.Timeout
	case r.Status == 409:
		kind = abi.Conflict
	case r.Status == 413:
		kind = abi.TooLarge
	case r.Status == 429:
		kind = abi.RateLimited
	case r.Status >= 500:
		kind = abi.Unavailable
	}
	f := abi.NewFault(kind, "the other side answered "+strconv.Itoa(r.Status)+excerpt(r.Bytes()), hint)
	f.RetryAfter = r.retryAfter()
	return f
}

// retryAfter reads the header in milliseconds; a date counts from the server's own Date, or else from the time of the call.
func (r *Response) retryAfter() int64 {
	value := r.Header("retry-after")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(seconds, 0) * 1000
	}
	const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"
	until, err := time.Parse(httpDate, value)
	if err != nil {
		return 0
	}
	from := r.call.Now()
	if date, err := time.Parse(httpDate, r.Header("date")); err == nil {
		from = date
	}
	return max(until.Sub(from).Milliseconds(), 0)
}

// excerpt is the beginning of a body, for a person to read.
func excerpt(body []byte) string {
	const most = 200
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), 4*most)]), "")), " ")
	if text == "" {
		return ""
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return ": " + text
}
