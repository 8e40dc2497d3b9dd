package worker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frame is one message between a process and its worker. What the kinds, the numbers and both parts mean is for those who talk.
type Frame struct {
	Kind   byte
	Number uint64 // of the piece of work that it belongs to
	Head   []byte // at most MaxHead bytes
	Body   []byte
}

// MaxHead bounds the head of a frame, in bytes.
const MaxHead = 256 << 10

// maxBody is the most that a body can have, in bytes; a Pipe may take less.
const maxBody = 1 << 30

// ErrFrame is in the chain of every error about bytes that are no frame.
var ErrFrame = errors.New("worker: this is no frame")

// On the wire a frame is its kind, its number, the lengths of head and body, and both. Numbers are little endian.
const (
	numberAt  = 1
	headAt    = numberAt + 8
	bodyAt    = headAt + 4
	headBytes = bodyAt + 4
)

// Pipe carries frames in both directions. One goroutine at a time may use it.
type Pipe struct {
	r    *bufio.Reader
	w    io.Writer
	most int64 // bytes of a body that is received
}

// NewPipe makes one that takes bodies of at most so many bytes.
func NewPipe(r io.Reader, w io.Writer, most int64) *Pipe {
	return &Pipe{r: bufio.NewReaderSize(r, 64<<10), w: w, most: min(most, maxBody)}
}

// Send writes a frame.
func (p *Pipe) Send(f Frame) error {
	if len(f.Head) > MaxHead || len(f.Body) > maxBody {
		return fmt.Errorf("worker: a frame of %d and %d bytes is too large", len(f.Head), len(f.Body))
	}
	const together = 64 << 10 // bytes; a copy of so much costs less than a second write
	buffer := make([]byte, headBytes, headBytes+len(f.Head)+min(len(f.Body), together))
	buffer[0] = f.Kind
	binary.LittleEndian.PutUint64(buffer[numberAt:], f.Number)
	binary.LittleEndian.PutUint32(buffer[headAt:], uint32(len(f.Head)))
	binary.LittleEndian.PutUint32(buffer[bodyAt:], uint32(len(f.Body)))
	buffer = append(buffer, f.Head...)
	rest := f.Body
	if len(rest) <= together {
		buffer, rest = append(buffer, rest...), nil
	}
	_, err := p.w.Write(buffer)
	if err == nil && len(rest) > 0 {
		_, err = p.w.Write(rest)
	}
	return err
}

// Receive reads a frame. The error is io.EOF where the other side closed the pipe between two frames.
func (p *Pipe) Receive() (Frame, error) {
	var fixed [headBytes]byte
	if _, err := io.ReadFull(p.r, fixed[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Kind: fixed[0], Number: binary.LittleEndian.Uint64(fixed[numberAt:])}
	head, body := int64(binary.LittleEndian.Uint32(fixed[headAt:])), int64(binary.LittleEndian.Uint32(fixed[bodyAt:]))
	if head > MaxHead || body > p.most {
		return Frame{}, fmt.Errorf("%w: it has %d and %d bytes, at most %d and %d are taken", ErrFrame, head, body, MaxHead, p.most)
	}
	var err error
	if f.Head, err = p.take(head); err == nil {
		f.Body, err = p.take(body)
	}
	return f, err
}

// take reads n bytes. Room is made as they come: the length is only what the other side says.
func (p *Pipe) take(n int64) ([]byte, error) {
	const trusted = 64 << 10
	if n <= trusted {
		b := make([]byte, n)
		_, err := io.ReadFull(p.r, b)
		return b, whole(err)
	}
	var b bytes.Buffer
	_, err := io.CopyN(&b, p.r, n)
	return b.Bytes(), whole(err)
}

// whole makes an end within a frame an error.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
