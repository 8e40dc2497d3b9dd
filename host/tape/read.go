package tape

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxLine bounds one line of a tape; what is larger is a blob.
const maxLine = 256 << 10

// Parse reads a tape and checks it: every line is canonical and names the digest of the one before; a header comes first; calls are counted
// without a gap, and each has at most one begin and one end, in this order. blob gives the content for a digest; with nil, bodies that are
// blobs stay without their content. Where a tape breaks off between two lines it is whole: compare Head with what was kept elsewhere.
func Parse(r io.Reader, blob func(digest string) ([]byte, error)) ([]Entry, error) {
	var p parser
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 8<<10), maxLine)
	lines.Split(wholeLines)
	var entries []Entry
	for number := 1; lines.Scan(); number++ {
		e, err := p.line(lines.Bytes())
		if err == nil && blob != nil {
			err = e.Fetch(blob)
		}
		if err != nil {
			return entries, fmt.Errorf("tape: line %d: %w", number, err)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		return entries, fmt.Errorf("tape: line %d: %w", len(entries)+1, err)
	}
	return entries, nil
}

// ErrTorn says that the last line has no end: the writer died while it wrote it.
var ErrTorn = errors.New("the last line is not whole")

func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, ErrTorn
	}
	return 0, nil, nil
}

// Verify checks a tape as Parse does, and gives the number of its entries and the digest of its last line.
func Verify(r io.Reader) (entries int, head string, err error) {
	list, err := Parse(r, nil)
	if err != nil {
		return len(list), "", err
	}
	return len(list), Head(list), nil
}

// Head is the digest of the last line of a tape: who keeps it knows whether lines were cut off. It is empty for no entries.
func Head(entries []Entry) string {
	if len(entries) == 0 {
		return ""
	}
	line, err := appendEntry(nil, &entries[len(entries)-1])
	if err != nil {
		return ""
	}
	return Digest(line)
}

// parser holds what the next line must go on from.
type parser struct {
	chain Chain
	lines int
	seq   int
	open  bool // seq has begun and not ended
}

func (p *parser) line(line []byte) (Entry, error) {
	var e Entry
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("no entry: %w", err)
	}
	canonical, err := p.chain.Follow(&e)
	if err != nil {
		return e, err
	}
	if !bytes.Equal(bytes.TrimSuffix(canonical, []byte("\n")), line) {
		return e, errors.New("the line is not canonical")
	}
	p.lines++
	return e, p.check(&e)
}

func (p *parser) check(e *Entry) error {
	switch e.Kind {
	case HeaderKind:
		if p.lines != 1 || e.Header == nil || e.Call != nil || e.Reply != nil || e.Outcome != nil || e.Seq != 0 {
			return errors.New("a header stands first, and has nothing but itself")
		}
		return nil
	case BeginKind:
		if e.Call == nil || e.Reply != nil || e.Header != nil || e.Outcome != nil || p.open || e.Seq != p.seq+1 {
			return fmt.Errorf("call %d begins out of order", e.Seq)
		}
		p.seq, p.open = e.Seq, true
		return nil
	case EndKind:
		ends := p.open && e.Seq == p.seq && e.Call == nil
		refusal := !p.open && e.Seq == p.seq+1 && e.Call != nil
		if e.Reply == nil || e.Header != nil || e.Outcome != nil || !ends && !refusal {
			return fmt.Errorf("call %d ends out of order", e.Seq)
		}
		p.seq, p.open = e.Seq, false
		return nil
	case OutcomeKind:
		if e.Outcome == nil || e.Header != nil || e.Call != nil || e.Reply != nil || e.Seq != 0 || p.open {
			return errors.New("an outcome stands behind calls that have ended, and has nothing but itself")
		}
		return nil
	}
	return fmt.Errorf("kind %q: expected header, begin, end or outcome", e.Kind)
}

// Fetch gets the contents of the entry's blobs, each by its digest, and checks them.
func (e *Entry) Fetch(blob func(string) ([]byte, error)) error {
	bodies := []*Body{e.Reply}
	if e.Call != nil {
		bodies = append(bodies, e.Call.Request)
	}
	if e.Header != nil {
		bodies = append(bodies, e.Header.Document)
	}
	for _, b := range bodies {
		if b == nil || b.Blob == "" {
			continue
		}
		data, err := blob(b.Blob)
		if err != nil {
			return err
		}
		if Digest(data) != b.Blob {
			return fmt.Errorf("the blob %s has another content", b.Blob)
		}
		if e.Blobs == nil {
			e.Blobs = map[string][]byte{}
		}
		e.Blobs[b.Blob] = data
	}
	return nil
}

// validDigest guards the way from a digest to a file name.
func validDigest(digest string) bool {
	digits, ok := strings.CutPrefix(digest, "sha256:")
	return ok && len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}
