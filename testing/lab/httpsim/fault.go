package httpsim

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault makes calls fail. The first fault that was set, matches a call and has strikes left, strikes.
//
// What happens, in this order: the delay passes; with Apply the vendor handles the call, so that it has its effect, and its answer is
// thrown away; then comes one of Hang, Drop, Truncate, Huge, or an answer with Status and Body. A Fault that only has a delay is a
// slow but right answer.
type Fault struct {
	// Match is a prefix of the path; "" matches every path.
	Match string `json:"match,omitempty"`
	// Contains, if set, must occur in one of the parameters, written name=value with the value not escaped; it tells apart calls
	// that share a path, for instance "type=user-id" or "cmd=<uid-message".
	Contains string `json:"contains,omitempty"`
	// Status to answer; 0 means 500 when Body or RetryAfter asks for an answer at all.
	Status int `json:"status,omitempty"`
	// RetryAfter goes into the header of that name, in seconds.
	RetryAfter int `json:"retry_after,omitempty"`
	// DelayMS is how many milliseconds pass before anything else.
	DelayMS int `json:"delay_ms,omitempty"`
	// Apply lets the call have its effect first: the work is done, only the answer is lost or spoilt.
	Apply bool `json:"apply,omitempty"`
	// Hang never answers, until the client goes away or the simulator closes.
	Hang bool `json:"hang,omitempty"`
	// Drop closes the connection without an answer.
	Drop bool `json:"drop,omitempty"`
	// Truncate sends half of the answer's body, under the full Content-Length, and closes. The answer is Body if that is set,
	// else the vendor's, whose effect then happens.
	Truncate bool `json:"truncate,omitempty"`
	// Huge streams this many bytes instead of an answer.
	Huge int64 `json:"huge,omitempty"`
	// Body of the answer.
	Body string `json:"body,omitempty"`
	// Times is how often the fault strikes; 0 means until it is cleared.
	Times int `json:"times,omitempty"`
}

func (f *Fault) check() error {
	switch {
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status: expected 200 to 599, got %d", f.Status)
	case f.DelayMS < 0 || f.RetryAfter < 0 || f.Huge < 0 || f.Times < 0:
		return errors.New("delay_ms, retry_after, huge and times must not be negative")
	case f.Kind() == "":
		return errors.New("a fault needs one of status, retry_after, body, delay_ms, hang, drop, truncate, huge")
	}
	return nil
}

// Kind names what the fault does: hang, drop, truncate, huge, status or delay; "" for a fault that does nothing.
func (f *Fault) Kind() string {
	switch {
	case f.Hang:
		return "hang"
	case f.Drop:
		return "drop"
	case f.Truncate:
		return "truncate"
	case f.Huge > 0:
		return "huge"
	case f.Status != 0 || f.RetryAfter != 0 || f.Body != "":
		return "status"
	case f.DelayMS > 0:
		return "delay"
	}
	return ""
}

// Fail adds a fault; an impossible one is refused.
func (s *Server) Fail(f Fault) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
	s.left[&f] = f.Times
	return nil
}

// Clear removes all faults. Calls that hang already go on hanging.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	clear(s.left)
}

// Faults lists the faults that are set and have strikes left; Times is what is left.
func (s *Server) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Fault{}
	for _, f := range s.faults {
		set := *f
		set.Times = s.left[f]
		out = append(out, set)
	}
	return out
}

// strike finds the fault for a call and counts it down.
func (s *Server) strike(path string, params url.Values) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if !strings.HasPrefix(path, f.Match) || !f.contains(params) {
			continue
		}
		if f.Times > 0 {
			if s.left[f]--; s.left[f] == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
				delete(s.left, f)
			}
		}
		return f
	}
	return nil
}

func (f *Fault) contains(params url.Values) bool {
	if f.Contains == "" {
		return true
	}
	for name, values := range params {
		for _, v := range values {
			if strings.Contains(name+"="+v, f.Contains) {
				return true
			}
		}
	}
	return false
}

// serve does what the fault says to one call; end notes what was sent.
func (f *Fault) serve(w http.ResponseWriter, r *http.Request, vendor http.Handler, end func(status int, fault string)) {
	kind := f.Kind()
	if f.DelayMS > 0 {
		timer := time.NewTimer(time.Duration(f.DelayMS) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			end(0, kind)
			return
		}
	}
	answer := httptest.NewRecorder()
	if f.Apply || kind == "delay" || kind == "truncate" && f.Body == "" {
		vendor.ServeHTTP(answer, r)
	}
	if f.RetryAfter > 0 {
		answer.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if f.Body != "" {
		answer.Body = bytes.NewBufferString(f.Body)
	}
	switch kind {
	case "hang":
		end(0, kind)
		<-r.Context().Done()
	case "drop":
		end(0, kind)
		panic(http.ErrAbortHandler) // net/http's way to cut the connection
	case "huge":
		f.stream(w, end)
	case "truncate":
		end(f.status(answer.Code), kind)
		send(w, answer, f.status(answer.Code), answer.Body.Len()/2)
		panic(http.ErrAbortHandler)
	case "delay":
		end(answer.Code, kind)
		send(w, answer, answer.Code, answer.Body.Len())
	default:
		if f.Body == "" {
			answer.Body.Reset()
		}
		end(f.status(http.StatusInternalServerError), kind)
		send(w, answer, f.status(http.StatusInternalServerError), answer.Body.Len())
	}
}

func (f *Fault) status(otherwise int) int {
	if f.Status != 0 {
		return f.Status
	}
	return otherwise
}

// send writes the first n bytes of an answer under its full length.
func send(w http.ResponseWriter, answer *httptest.ResponseRecorder, status, n int) {
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(answer.Body.Bytes()[:n]) // a client that has gone is no concern of a fault
	_ = http.NewResponseController(w).Flush()
}

// stream writes Huge bytes, without a length, until they are out or the client goes.
func (f *Fault) stream(w http.ResponseWriter, end func(status int, fault string)) {
	w.Header().Set("Content-Type", "application/octet-stream")
	end(f.status(http.StatusOK), "huge")
	w.WriteHeader(f.status(http.StatusOK))
	chunk := bytes.Repeat([]byte("A"), 64<<10)
	for left := f.Huge; left > 0; left -= int64(len(chunk)) {
		if _, err := w.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
			return
		}
	}
}
