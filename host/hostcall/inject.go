package hostcall

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/riposte-soar/riposte/host/secret"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// authHeader is the header that a secret travels in, or empty.
func authHeader(auth *abi.Auth) string {
	if auth == nil {
		return ""
	}
	how, name, _ := strings.Cut(auth.Inject, ":")
	switch how {
	case "bearer", "basic":
		return "Authorization"
	case "header":
		return http.CanonicalHeaderKey(name)
	}
	return ""
}

// resolveSecrets gets the connector's secrets once for the session. One that cannot be had is missed when it is injected.
func (s *Session) resolveSecrets(ctx context.Context) {
	if s.secrets != nil || len(s.plan.secrets) == 0 || s.o.Services.o.Secrets == nil {
		return
	}
	s.secrets = make([]held, len(s.plan.secrets))
	for i, wanted := range s.plan.secrets {
		value, err := s.o.Services.o.Secrets.Resolve(ctx, wanted.ref)
		if err != nil {
			s.o.Services.o.Log.Warn("secret cannot be had", "setting", wanted.name, "reference", string(wanted.ref), "error", err)
			continue
		}
		s.secrets[i] = held{value, true}
	}
	s.redactor = s.plan.redactorFor(s.secrets)
}

// secretFor gives the secret that a capability injects.
func (s *Session) secretFor(auth *abi.Auth) (secret.Secret, *abi.Fault) {
	var value held
	i, known := slices.BinarySearchFunc(s.plan.secrets, auth.Secret, func(x secretSetting, name string) int { return strings.Compare(x.name, name) })
	if known && s.secrets != nil {
		value = s.secrets[i]
	}
	switch {
	case !known:
		return value.Secret, &abi.Fault{Kind: abi.Refused, Message: "the secret setting " + auth.Secret + " is not set", Hint: "complete the connector's settings"}
	case !value.ok:
		return value.Secret, &abi.Fault{Kind: abi.Unavailable, Message: "the secret of setting " + auth.Secret + " cannot be had", Hint: "check " + string(s.plan.secrets[i].ref)}
	case len(value.Reveal()) < secret.MinLength:
		return value.Secret, &abi.Fault{Kind: abi.Invalid, Message: "the secret of setting " + auth.Secret + " is too short",
			Hint: fmt.Sprintf("it needs %d characters, so that echoes of it can be masked", secret.MinLength)}
	}
	return value.Secret, nil
}

// inject gives the request with the secret in it. What it was given stays as it is, so that another origin never sees the secret.
func (s *Session) inject(auth *abi.Auth, h hop) (hop, *abi.Fault) {
	value, fault := s.secretFor(auth)
	if fault != nil {
		return h, fault
	}
	how, name, _ := strings.Cut(auth.Inject, ":")
	text := value.Reveal()
	switch how {
	case "bearer":
		text = "Bearer " + text
	case "basic":
		if name == "" {
			name = auth.User
		}
		user, fault := s.setting(name)
		if fault != nil {
			return h, fault
		}
		text = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+text))
	}
	if header := authHeader(auth); header != "" {
		if !httpguts.ValidHeaderFieldValue(text) {
			return h, abi.NewFault(abi.Invalid, "the secret of setting "+auth.Secret+" has characters that a header cannot carry", "a line end, for example")
		}
		h.header = h.header.Clone()
		h.header.Set(header, text)
		return h, nil
	}
	switch how {
	case "query":
		if h.target.Query != "" {
			h.target.Query += "&"
		}
		h.target.Query += url.QueryEscape(name) + "=" + url.QueryEscape(text)
	case "form":
		h.body, fault = injectForm(h, name, text)
	case "json":
		h.body, fault = injectJSON(h.body, name, text)
	}
	return h, fault
}

func injectForm(h hop, name, value string) ([]byte, *abi.Fault) {
	media, _, _ := strings.Cut(h.header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return nil, abi.NewFault(abi.Invalid, "the secret travels in a form, but the body is none", "set content-type application/x-www-form-urlencoded")
	}
	values, err := url.ParseQuery(string(h.body))
	if err != nil || values.Has(name) {
		return nil, abi.NewFault(abi.Invalid, "the form cannot be read, or has the field that the host sets", "leave out "+name)
	}
	body := string(h.body)
	if body != "" {
		body += "&"
	}
	return []byte(body + url.QueryEscape(name) + "=" + url.QueryEscape(value)), nil
}

// injectJSON sets the string at a JSON pointer (RFC 6901); objects on the way are made.
func injectJSON(body []byte, pointer, value string) ([]byte, *abi.Fault) {
	invalid := func(message string) ([]byte, *abi.Fault) {
		return nil, abi.NewFault(abi.Invalid, "the secret travels in a JSON body at "+pointer+": "+message, "")
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var document any
	if err := d.Decode(&document); err != nil || d.More() {
		return invalid("the body is no JSON")
	}
	object, ok := document.(map[string]any)
	tokens := strings.Split(pointer[1:], "/")
	for i, token := range tokens {
		if !ok {
			return invalid("the way to it is no object")
		}
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		if i == len(tokens)-1 {
			object[token] = value
			break
		}
		if _, there := object[token]; !there {
			object[token] = map[string]any{}
		}
		object, ok = object[token].(map[string]any)
	}
	out, fault := marshal(document)
	return out, fault
}
