// Command webhook is a plugin that sends JSON to an address of the operator's choice: chat systems, ticket systems, home-grown receivers.
package main

import (
	"encoding/json"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

type settings struct {
	URL    string `json:"url"`
	Query  string `json:"query"`
	Signed bool   `json:"signed"`
}

type params struct {
	Body   json.RawMessage `json:"body"`
	Path   string          `json:"path"`
	Method string          `json:"method"`
}

type result struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body,omitempty"`
}

var _ = pdk.Learn(new(settings))

//go:wasmexport post
func post() int32 { return pdk.Run(send) }

func main() {}

// send posts the body. The host adds the secret header and the idempotency key.
func send(c *pdk.Call, p params) (result, error) {
	var s settings
	if err := c.Settings(&s); err != nil {
		return result{}, err
	}
	if p.Method == "" {
		p.Method = "POST"
	}
	url, err := s.address(p.Path)
	if err != nil {
		return result{}, err
	}
	capability := "target"
	if s.Signed {
		capability = "signed-target"
	}
	answer, err := c.HTTP(capability).SendJSON(p.Method, url, p.Body)
	if err != nil {
		return result{}, err
	}
	if err := answer.Expect(); err != nil {
		return result{}, err
	}
	return result{Status: answer.Status, Body: asJSON(answer.Bytes())}, nil
}

// address appends a path of the runbook's author below the address of the operator.
func (s settings) address(path string) (string, error) {
	url := s.URL
	if strings.ContainsAny(path, "?#") {
		f := abi.NewFault(abi.Invalid, "a path must not hold '?' or '#'", "put the query into the connector's settings")
		f.Where = "$.parameters.path"
		return "", f
	}
	if path != "" {
		url = strings.TrimRight(url, "/") + "/" + strings.TrimLeft(path, "/")
	}
	if s.Query != "" {
		url += "?" + s.Query
	}
	return url, nil
}

// asJSON gives the body as it is where it is JSON, otherwise as a string.
func asJSON(body []byte) json.RawMessage {
	if len(body) == 0 {
		return nil
	}
	if json.Valid(body) {
		return body
	}
	text, err := json.Marshal(string(body))
	if err != nil {
		return nil
	}
	return text
}
