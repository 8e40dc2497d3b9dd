package rig

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxFault bounds the body of POST /faults.
const maxFault = 1 << 20

// Control is the control page of one server, whose faults are of type F:
//
//	GET    /state   the server's State as JSON; ?min=n&wait=10s answers as soon as n entries are in its log since the last
//	                reset, or 504 with the State as it is then
//	GET    /faults  the armed faults
//	POST   /faults  arms one fault, a JSON object: 201 and the fault, or 400 and {"error": …}
//	DELETE /faults  disarms all: 204
//	POST   /reset   forgets what was seen, disarms all: 204
type Control[F any] struct {
	State func() any
	Fail  func(F) error                          // checks the fault and arms it
	Wait  func(ctx context.Context, n int) error // for n entries in the log
	Armed *Faults[F]
	Reset func()
}

// Handler serves the control page at the root of its path.
func (c Control[F]) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", c.getState)
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, c.Armed.List()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var f F
		err := decode(http.MaxBytesReader(w, r.Body, maxFault), &f)
		if err == nil {
			err = c.Fail(f)
		}
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusCreated, f)
	})
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		c.Armed.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		c.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// maxWait bounds how long GET /state waits.
const maxWait = time.Minute

func (c Control[F]) getState(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(cmp.Or(r.FormValue("min"), "0"))
	if err != nil {
		writeError(w, fmt.Errorf("min: %q; expected a number", r.FormValue("min")))
		return
	}
	wait, err := time.ParseDuration(cmp.Or(r.FormValue("wait"), "0s"))
	if err != nil {
		writeError(w, fmt.Errorf("wait: %q; expected a duration such as 10s", r.FormValue("wait")))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, maxWait))
	defer cancel()
	status := http.StatusOK
	if c.Wait(ctx, n) != nil {
		status = http.StatusGatewayTimeout
	}
	writeJSON(w, status, c.State())
}

func writeError(w http.ResponseWriter, err error) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func decode(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("fault: %w", err)
	}
	if d.More() {
		return fmt.Errorf("fault: one JSON object expected, more found")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"state cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a reader that went away needs no answer
}
