// Package strict reads the JSON that guests write: one document, no unknown members, numbers as they stand.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sync"
)

// Reader reads documents. The zero value is ready to use, by several goroutines. It reads by a json.Decoder, which copies a document into a buffer
// that grows to more than twice its length. The buffers serve again, so that guests which send large documents make no garbage by it.
type Reader struct{ idle sync.Pool }

type decoder struct {
	source bytes.Reader
	json   *json.Decoder
}

// errMore says that a document is followed by something.
var errMore = errors.New("there is something behind its end")

// Read decodes the document, which nothing may follow.
func (r *Reader) Read(document []byte, into any) error {
	d, ok := r.idle.Get().(*decoder)
	if !ok {
		d = &decoder{}
		d.json = json.NewDecoder(&d.source)
		d.json.DisallowUnknownFields()
		d.json.UseNumber()
	}
	d.source.Reset(document)
	if err := d.json.Decode(into); err != nil {
		return err // and the decoder is not used again: it remembers what it could not read
	}
	if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
		return errMore
	}
	d.source.Reset(nil)
	r.idle.Put(d)
	return nil
}
