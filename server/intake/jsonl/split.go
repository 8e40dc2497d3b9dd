package jsonl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/alarm"
)

// Split cuts a body into its JSON documents: one object, objects one after the other (NDJSON), or one array of objects. Where of a
// fault is "line N" or "$[N]".
func Split(body []byte, most int) ([]Document, *abi.Fault) {
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	decoder := json.NewDecoder(bytes.NewReader(body))
	s := splitter{body: body, decoder: decoder, most: most}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		s.array = true
		_, _ = decoder.Token()
	}
	return s.documents()
}

// Document is one alarm of a body and its place there; Line counts from 1.
type Document struct {
	Text  []byte
	Where string
	Line  int
}

type splitter struct {
	body    []byte
	decoder *json.Decoder
	most    int
	array   bool
	line    int // of offset
	offset  int64
}

func (s *splitter) documents() ([]Document, *abi.Fault) {
	var documents []Document
	for s.decoder.More() {
		where := s.where(len(documents))
		if len(documents) == s.most {
			f := abi.NewFault(abi.TooLarge, fmt.Sprintf("more than %d alarms in one body", s.most), "send them in several requests")
			f.Where = where
			return nil, f
		}
		var text json.RawMessage
		if err := s.decoder.Decode(&text); err != nil {
			return nil, s.broken(where, err)
		}
		documents = append(documents, Document{Text: text, Where: where, Line: s.line + 1})
	}
	if s.array {
		if _, err := s.decoder.Token(); err != nil {
			return nil, s.broken(s.where(len(documents)), err)
		}
		if rest := bytes.TrimSpace(s.body[s.decoder.InputOffset():]); len(rest) > 0 {
			return nil, s.broken("$", errors.New("text after the end of the array"))
		}
	} else if rest := bytes.TrimSpace(s.body[s.decoder.InputOffset():]); len(rest) > 0 {
		return nil, s.broken(s.where(len(documents)), fmt.Errorf("unexpected %s", alarm.Quote(string(rest[:1]))))
	}
	return documents, nil
}

func (s *splitter) broken(where string, err error) *abi.Fault {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("the JSON ends too early")
	}
	f := abi.NewFault(abi.Invalid, "broken JSON: "+err.Error(), "nothing of this body was taken")
	f.Where = where
	return f
}

// where names the next document: its index in an array, or the line on which it begins.
func (s *splitter) where(n int) string {
	at := s.decoder.InputOffset()
	for at < int64(len(s.body)) && bytes.IndexByte([]byte(" \t\r\n,"), s.body[at]) >= 0 {
		at++
	}
	s.line += bytes.Count(s.body[s.offset:at], []byte("\n"))
	s.offset = at
	if s.array {
		return fmt.Sprintf("$[%d]", n)
	}
	return fmt.Sprintf("line %d", s.line+1)
}
