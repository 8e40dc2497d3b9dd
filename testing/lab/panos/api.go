package panos

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// The error codes of the XML API that the simulator uses, from the guide's table. 400 and 403 are the HTTP status as well, the
// others come with status 200.
const (
	codeBadRequest     = 400
	codeForbidden      = 403
	codeUnknownCommand = 1
	codeInvalidCommand = 17
	codeMalformed      = 18
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api", s.api)
	mux.HandleFunc("/api/{$}", s.api)
	return mux
}

// api answers every request of the XML API: GET and POST, parameters in the URL, in a form or, for -F of curl, in a multipart
// form.
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	params, err := parameters(r)
	if err != nil {
		fail(w, codeBadRequest, err.Error())
		return
	}
	if params.Get("type") == "keygen" {
		s.keygen(w, params)
		return
	}
	key := r.Header.Get("X-PAN-KEY")
	if key == "" {
		key = params.Get("key")
	}
	if !s.knows(key) {
		forbid(w)
		return
	}
	switch kind := params.Get("type"); kind {
	case "user-id":
		s.userID(w, params)
	case "op":
		s.op(w, params)
	case "version":
		succeed(w, "<sw-version>11.1.4</sw-version><multi-vsys>off</multi-vsys><model>PA-VM</model><serial>007000000000001</serial>")
	case "":
		fail(w, codeBadRequest, `Missing value for parameter "type".`)
	default:
		fail(w, codeBadRequest, fmt.Sprintf(`Invalid value %q for parameter "type".`, kind))
	}
}

// parameters collects the parameters of URL and body; those of the body go first.
func parameters(r *http.Request) (url.Values, error) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			return nil, fmt.Errorf("malformed multipart form: %w", err)
		}
		if file, _, err := r.FormFile("file"); err == nil { // type=user-id takes the uid-message as a file
			defer file.Close()
			cmd, err := io.ReadAll(file)
			if err != nil {
				return nil, err
			}
			r.Form.Set("cmd", string(cmd))
		}
		return r.Form, nil
	}
	if err := r.ParseForm(); err != nil {
		return nil, fmt.Errorf("malformed form: %w", err)
	}
	return r.Form, nil
}

func (s *Server) keygen(w http.ResponseWriter, params url.Values) {
	if params.Get("user") != s.opts.User || params.Get("password") != s.opts.Password {
		forbid(w)
		return
	}
	succeed(w, "<key>"+escape(s.newKey())+"</key>")
}

func (s *Server) op(w http.ResponseWriter, params url.Values) {
	var cmd opCommand
	if err := xml.Unmarshal([]byte(params.Get("cmd")), &cmd); err != nil {
		fail(w, codeInvalidCommand, "cmd is not well-formed XML of an operational command: "+err.Error())
		return
	}
	switch {
	case cmd.XMLName.Local == "show" && cmd.RegisteredIP != nil:
		s.showRegistered(w, vsys(params), cmd.RegisteredIP)
	case cmd.XMLName.Local == "show" && cmd.SystemInfo != nil:
		succeed(w, "<system><hostname>gw-core-01</hostname><ip-address>10.20.0.1</ip-address><family>vm</family><model>PA-VM</model>"+
			"<serial>007000000000001</serial><sw-version>11.1.4</sw-version><multi-vsys>off</multi-vsys></system>")
	case cmd.XMLName.Local == "show":
		fail(w, codeInvalidCommand, "show is unexpected")
	default:
		fail(w, codeUnknownCommand, cmd.XMLName.Local+" is unexpected")
	}
}

func vsys(params url.Values) string {
	if v := params.Get("vsys"); v != "" {
		return v
	}
	return "vsys1"
}

func succeed(w http.ResponseWriter, result string) {
	answer(w, http.StatusOK, `<response status="success"><result>`+result+`</result></response>`)
}

func forbid(w http.ResponseWriter) {
	answer(w, http.StatusForbidden, `<response status = 'error' code = '403'><result><msg>Invalid Credential</msg></result></response>`)
}

func fail(w http.ResponseWriter, code int, message string) {
	status := http.StatusOK
	if code == codeBadRequest || code == codeForbidden {
		status = code
	}
	answer(w, status, fmt.Sprintf(`<response status="error" code="%d"><msg><line>%s</line></msg></response>`, code, escape(message)))
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // a client that has gone is none of the firewall's business
}

func escape(s string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(s)) // a Builder does not fail
	return out.String()
}
