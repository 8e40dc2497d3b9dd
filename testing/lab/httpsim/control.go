package httpsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const maxWait = time.Minute

// Control is the handler through which another process steers the simulator; mount it with its prefix stripped.
//
//	GET    /state    what State gives
//	GET    /calls    the calls seen, oldest first; ?path= (prefix) and ?contains= (as in Fault) narrow them,
//	                 ?min=n&wait=10s answers as soon as n such calls were seen, or 504 with those seen so far
//	GET    /faults   the faults that are set
//	POST   /faults   one Fault as JSON: 204, or 400 with {"error": …}
//	DELETE /faults   Clear: 204
//	POST   /reset    Reset: 204
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.State()) })
	mux.HandleFunc("GET /calls", s.getCalls)
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.Faults()) })
	mux.HandleFunc("POST /faults", s.postFault)
	mux.HandleFunc("DELETE /faults", func(w http.ResponseWriter, _ *http.Request) {
		s.Clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (s *Server) postFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	in.DisallowUnknownFields()
	err := in.Decode(&f)
	if err == nil && in.More() {
		err = errors.New("one JSON object is expected, more was found")
	}
	if err == nil {
		err = s.Fail(f)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) getCalls(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	atLeast, wait, err := waitParams(q.Get("min"), q.Get("wait"))
	if err != nil {
		writeError(w, err)
		return
	}
	of := Fault{Match: q.Get("path"), Contains: q.Get("contains")}
	pick := func(calls []Call) []Call {
		out := []Call{}
		for _, c := range calls {
			if strings.HasPrefix(c.Path, of.Match) && of.contains(c.Query) {
				out = append(out, c)
			}
		}
		return out
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	calls, err := s.WaitCalls(ctx, func(calls []Call) bool { return len(pick(calls)) >= atLeast })
	if err != nil {
		writeJSON(w, http.StatusGatewayTimeout, pick(calls))
		return
	}
	writeJSON(w, http.StatusOK, pick(calls))
}

func waitParams(atLeast, wait string) (n int, d time.Duration, err error) {
	if atLeast != "" {
		if n, err = strconv.Atoi(atLeast); err != nil || n < 0 {
			return 0, 0, fmt.Errorf("min: expected a count, got %q", atLeast)
		}
	}
	if wait != "" {
		if d, err = time.ParseDuration(wait); err != nil {
			return 0, 0, fmt.Errorf("wait: expected a duration such as 10s, got %q", wait)
		}
	}
	if d > maxWait {
		return 0, 0, errors.New("wait: at most " + maxWait.String())
	}
	return n, d, nil
}

func writeError(w http.ResponseWriter, err error) {
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n')) // the asker may have gone
}
