package hostcall

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// decode reads a request strictly.
func (s *Services) decode(request []byte, into any) *abi.Fault {
	if err := s.requests.Read(request, into); err != nil {
		return abi.NewFault(abi.Invalid, "the request cannot be read: "+err.Error(), "")
	}
	return nil
}

// read reads a request, and gives its document: all that the request says, written in one way.
func (s *Services) read(request []byte, into any) ([]byte, *abi.Fault) {
	if fault := s.decode(request, into); fault != nil {
		return nil, fault
	}
	return marshal(into)
}

func marshal(v any) ([]byte, *abi.Fault) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, abi.NewFault(abi.Internal, fmt.Sprintf("a %T cannot be written: %v", v, err), "")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// reply writes an abi.Reply.
func reply(value any, fault *abi.Fault) []byte {
	if fault == nil && value == nil {
		return []byte("{}")
	}
	if r, ok := value.(*response); ok && fault == nil {
		return r.reply()
	}
	document, failed := marshal(struct {
		Value any        `json:"value,omitempty"`
		Fault *abi.Fault `json:"fault,omitempty"`
	}{value, fault})
	if failed != nil {
		return []byte(`{"fault":{"kind":"internal","message":"the answer cannot be written"}}`)
	}
	return document
}

// payload carries bytes: as text if they are UTF-8.
func payload(data []byte) abi.Payload {
	if utf8.Valid(data) {
		return abi.Payload{Text: string(data)}
	}
	return abi.Payload{Base64: data}
}

// content gives the bytes of a payload, of which at most one member may be set.
func content(p *abi.Payload) ([]byte, *abi.Fault) {
	switch {
	case p == nil:
		return nil, nil
	case p.Text != "" && len(p.Base64) > 0:
		return nil, abi.NewFault(abi.Invalid, "a payload has both text and base64", "set one of them")
	case p.Text != "":
		return []byte(p.Text), nil
	}
	return p.Base64, nil
}
