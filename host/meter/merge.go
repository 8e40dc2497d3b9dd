package meter

import (
	"slices"
)

// mergeGap is the number of zero bytes that are written to join two segments. A segment costs a few bytes of header and, at each
// instantiation, about as much time as copying this many bytes.
const mergeGap = 256

// segment is a data segment.
type segment struct {
	span
	passive  bool
	constant bool   // the offset is an i32.const
	offset   uint32 // if constant
	init     span
}

func (m *module) parseSegment(r *reader) segment {
	s := segment{span: span{start: r.pos}}
	switch kind := r.u32(); kind {
	case 0, 2:
		if kind == 2 && r.u32() != 0 {
			r.fail("data segment of another memory than 0")
		}
		s.offset, s.constant = m.offsetExpr(r)
	case 1:
		s.passive = true
	default:
		r.fail("data segment of unknown kind %d", kind)
	}
	n := r.count("bytes of data", 1, r.left())
	s.init = span{r.pos, r.pos + n}
	r.take(n)
	s.end = r.pos
	return s
}

// offsetExpr reads the offset of an active segment.
func (m *module) offsetExpr(r *reader) (uint32, bool) {
	at := r.pos
	m.constExpr(r, nil)
	if !r.ok() || r.b[at] != opI32Const {
		return 0, false
	}
	var v uint32
	c := &reader{b: r.b, pos: at + 1, end: r.pos}
	for shift := 0; shift < 35; shift += 7 {
		b := c.byte()
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			if b&0x40 != 0 && shift < 28 {
				v |= ^uint32(0) << (shift + 7)
			}
			break
		}
	}
	return v, c.ok() && c.left() == 1
}

// MergeData joins the active data segments of a module into few. Compilers such as Go's emit tens of thousands of them, and a
// runtime evaluates the offset of each at every instantiation.
//
// Active segments are written in their order, so where two overlap the later one wins; the merged ones hold what is there after the
// last. A module is returned as it came, which is not an error, if nothing is gained or the meaning could change: if the code uses
// memory.init or data.drop, if a segment is passive, if an offset is not a constant, if a segment does not lie inside the initial
// memory (then instantiation fails half way), or if the memory is imported (then bytes in a gap might not be zero).
func MergeData(bin []byte) ([]byte, error) {
	m, err := parse(bin, DefaultLimits())
	if err != nil {
		return nil, err
	}
	if err := m.scanCode(); err != nil {
		return nil, err
	}
	if len(m.segments) < 2 || m.bulkMemory || m.impMemory || !m.hasMemory {
		return bin, nil
	}
	size := uint64(m.memMin) << 16
	for _, s := range m.segments {
		if s.passive || !s.constant || uint64(s.offset)+uint64(s.init.end-s.init.start) > size {
			return bin, nil
		}
	}
	runs := m.runs()
	if len(runs) >= len(m.segments) {
		return bin, nil
	}
	return m.withData(runs, nil), nil
}

// scanCode decodes all bodies, for what the module is known to use.
func (m *module) scanCode() error {
	f := &function{m: m}
	for i := range m.bodies {
		if err := f.read(i); err != nil {
			return err
		}
	}
	return nil
}

// run is a piece of memory to be written at instantiation.
type run struct {
	offset uint32
	data   []byte
}

// runs lays the segments out: first where there will be data, then what.
func (m *module) runs() []run {
	spans := make([]span, 0, len(m.segments))
	for _, s := range m.segments {
		if n := s.init.end - s.init.start; n > 0 {
			spans = append(spans, span{int(s.offset), int(s.offset) + n})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	var runs []run
	end := 0
	for _, s := range spans {
		if len(runs) == 0 || s.start > end+mergeGap {
			runs = append(runs, run{offset: uint32(s.start)})
			end = s.start
		}
		last := &runs[len(runs)-1]
		if end = max(end, s.end); end-int(last.offset) > len(last.data) {
			last.data = append(last.data, make([]byte, end-int(last.offset)-len(last.data))...)
		}
	}
	for _, s := range m.segments {
		i, exact := slices.BinarySearchFunc(runs, s.offset, func(r run, at uint32) int {
			return int(int64(r.offset) - int64(at))
		})
		if !exact {
			i--
		}
		if s.init.end > s.init.start {
			copy(runs[i].data[s.offset-runs[i].offset:], m.bin[s.init.start:s.init.end])
		}
	}
	return runs
}

// withData returns the module with other data segments, and other content for the sections in replace.
func (m *module) withData(runs []run, replace map[byte][]byte) []byte {
	total := 0
	for _, r := range runs {
		total += len(r.data) + 16
	}
	data := appendU32(make([]byte, 0, total), uint32(len(runs)))
	for _, r := range runs {
		data = appendS64(append(data, 0, opI32Const), int64(int32(r.offset)))
		data = appendU32(append(data, opEnd), uint32(len(r.data)))
		data = append(data, r.data...)
	}
	out := make([]byte, 0, len(m.bin)+total)
	out = append(out, m.bin[:8]...)
	wrote := false
	for _, s := range m.sections {
		content, changed := replace[s.id]
		switch {
		case s.id == secCustom:
			out = appendSection(out, s.id, append(appendName(nil, s.name), m.customContent(s)...))
		case s.id == secData:
			wrote = true
			out = appendSection(out, s.id, data)
		case s.id == secDataCount:
			out = appendSection(out, s.id, appendU32(nil, uint32(len(runs))))
		case changed && content == nil: // removed
		case changed:
			out = appendSection(out, s.id, content)
		default:
			out = appendSection(out, s.id, m.bin[s.start:s.end])
		}
	}
	if !wrote && len(runs) > 0 {
		out = appendSection(out, secData, data)
	}
	return out
}

// namesData is the subsection with the names of data segments.
const namesData = 9

// customContent returns a custom section without the names of data segments, which are other ones now.
func (m *module) customContent(s section) []byte {
	if s.name != "name" {
		return m.bin[s.start:s.end]
	}
	r := &reader{b: m.bin, pos: s.start, end: s.end}
	var out []byte
	for r.more() {
		at := r.pos
		id := r.byte()
		r.take(r.count("bytes", 1, r.left()))
		if r.ok() && id != namesData {
			out = append(out, m.bin[at:r.pos]...)
		}
	}
	if !r.ok() {
		return m.bin[s.start:s.end]
	}
	return out
}
