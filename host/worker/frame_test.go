package worker_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/riposte-soar/riposte/host/worker"
)

func pipe(in []byte, most int64) (*worker.Pipe, *bytes.Buffer) {
	var out bytes.Buffer
	return worker.NewPipe(bytes.NewReader(in), &out, most), &out
}

func TestFramesComeAsTheyWere(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	list := []worker.Frame{{Kind: 1, Number: 1<<64 - 1, Head: []byte("head"), Body: []byte("body")}, {Head: []byte{}, Body: []byte{}}, {Kind: 255, Head: large[:worker.MaxHead], Body: large}}
	send, wire := pipe(nil, 0)
	for _, f := range list {
		if err := send.Send(f); err != nil {
			t.Fatal(err)
		}
	}
	receive, _ := pipe(wire.Bytes(), int64(len(large)))
	for _, want := range list {
		if got, err := receive.Receive(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("kind %d came as kind %d, with %d and %d bytes, %v", want.Kind, got.Kind, len(got.Head), len(got.Body), err)
		}
	}
	if _, err := receive.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
}

func TestFramesAreBounded(t *testing.T) {
	send, wire := pipe(nil, 0)
	if err := send.Send(worker.Frame{Head: make([]byte, worker.MaxHead+1)}); err == nil || wire.Len() > 0 {
		t.Errorf("a head that is too large was sent: %v", err)
	}
	if err := send.Send(worker.Frame{Body: make([]byte, 101)}); err != nil {
		t.Fatal(err)
	}
	receive, _ := pipe(wire.Bytes(), 100)
	if _, err := receive.Receive(); !errors.Is(err, worker.ErrFrame) {
		t.Errorf("a body that is too large: %v", err)
	}
	receive, _ = pipe(wire.Bytes()[:50], 101)
	if _, err := receive.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a frame: %v", err)
	}
}

// FuzzReceive: whatever comes, it is frames that would be sent as the same bytes, or an error.
func FuzzReceive(f *testing.F) {
	send, wire := pipe(nil, 0)
	for _, frame := range []worker.Frame{{}, {Kind: 1, Number: 2, Head: []byte("http.fetch"), Body: []byte(`{"url":"https://a.corp.test/"}`)}} {
		if err := send.Send(frame); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(wire.Bytes()))
	}
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, out := pipe(in, 1<<16)
		for {
			frame, err := p.Receive()
			if err != nil {
				if !bytes.HasPrefix(in, out.Bytes()) {
					t.Errorf("%x was read as %x", in, out.Bytes())
				}
				return
			}
			if err := p.Send(frame); err != nil {
				t.Fatal(err)
			}
		}
	})
}
