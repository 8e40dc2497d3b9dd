package rig

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxFault bounds the body of POST /faults.
const maxFault = 1 << 20

// Control is the control page of one server, whose faults are of type F:
//
//	GET    /state   the server's State as JSON
//	GET    /faults  the armed faults
//	POST   /faults  arms one fault (a JSON object); 400 and {"error": …} if it is not understood
//	DELETE /faults  disarms all
//	POST   /reset   forgets what was seen, disarms all
//
// Changes answer 204.
type Control[F any] struct {
	State func() any
	Arm   func(F) error // checks the fault and arms it
	Armed *Faults[F]
	Reset func()
}

// Handler serves the control page at the root of its path.
func (c Control[F]) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, c.State()) })
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, c.Armed.List()) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var f F
		if err := decode(http.MaxBytesReader(w, r.Body, maxFault), &f); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		if err := c.Arm(f); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
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
