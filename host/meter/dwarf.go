package meter

import (
	"debug/dwarf"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
)

// Limits of what is read to find the places of a trap. The sections are an author's, and debug/dwarf was not made for those who mean harm.
const (
	maxDebug  = 32 << 20 // bytes of all sections that are read
	maxAbbrev = 1 << 20  // bytes of the abbreviations
	debugWork = 4 << 20  // attributes, ranges and rows
	maxUnits  = 50_000
	maxInline = 100     // functions inlined into each other
	maxFiles  = 100_000 // files, or folders, of one line table
)

var errDebugWork = errors.New("the debug sections are too large to be read")

// lookUp finds the places of addresses, which are offsets in the code section; 0 is nowhere. What cannot be read has no places.
func (m *module) lookUp(addresses []int) (found [][]Place) {
	found = make([][]Place, len(addresses))
	defer func() {
		_ = recover() // of debug/dwarf, about sections that are damaged
	}()
	d, units := m.dwarf()
	if d == nil {
		return found
	}
	l := &lineFinder{data: d, table: m.debug("line"), traces: make([]trace, len(addresses)), work: debugWork}
	for i, a := range addresses {
		l.traces[i].address = uint64(a)
	}
	for _, offset := range units {
		if err := l.unit(offset); errors.Is(err, errDebugWork) {
			break
		}
	}
	for i := range l.traces {
		found[i] = l.traces[i].places
	}
	return found
}

// dwarf opens the debug sections, unless they are too large or not sound.
func (m *module) dwarf() (*dwarf.Data, []dwarf.Offset) {
	total := 0
	section := func(name string) []byte {
		b := m.debug(name)
		total += len(b)
		return b
	}
	abbrev, info := section("abbrev"), section("info")
	first, sound := units(info, abbrev)
	if !sound {
		return nil, nil
	}
	d, err := dwarf.New(abbrev, nil, nil, info, section("line"), nil, section("ranges"), section("str"))
	for _, name := range []string{"addr", "line_str", "rnglists", "str_offsets"} { // of DWARF 5
		if b := section(name); err == nil && b != nil {
			err = d.AddSection(debugPrefix+name, b)
		}
	}
	if err != nil || total > maxDebug || len(abbrev) > maxAbbrev {
		return nil, nil
	}
	return d, first
}

// units gives the offset of the first entry of each unit, or says that the section is not sound: debug/dwarf reads the abbreviations of every
// unit before anything else, so their tables must lie apart (DWARF 5 sections 7.5.1 and 7.5.3).
func units(info, abbrev []byte) (first []dwarf.Offset, sound bool) {
	tables := map[uint32]bool{}
	for at := 0; at < len(info); {
		if len(info)-at < 12 || len(first) == maxUnits {
			return nil, false
		}
		length, table, header := binary.LittleEndian.Uint32(info[at:]), at+6, 11
		if binary.LittleEndian.Uint16(info[at+4:]) >= 5 {
			table, header = at+8, 12
		}
		if length < 8 || int64(length) > int64(len(info)-at-4) {
			return nil, false
		}
		tables[binary.LittleEndian.Uint32(info[table:])] = true
		first = append(first, dwarf.Offset(at+header))
		at += 4 + int(length)
	}
	r := &reader{b: abbrev, end: len(abbrev), section: "abbreviations"}
	for _, table := range slices.Sorted(maps.Keys(tables)) {
		if int64(table) < int64(r.pos) {
			return nil, false
		}
		r.pos = min(int(table), r.end)
		for r.u32() != 0 {
			skipAbbreviation(r)
		}
	}
	return first, r.ok()
}

// skipAbbreviation passes over an abbreviation, whose code was read.
func skipAbbreviation(r *reader) {
	r.u32() // tag
	r.byte()
	for r.ok() {
		attribute, form := r.u32(), r.u32()
		if form == 0x21 { // implicit_const
			r.skipLEB(10)
		}
		if attribute == 0 && form == 0 {
			return
		}
	}
}

// lineFinder looks for the places of several addresses at once.
type lineFinder struct {
	data   *dwarf.Data
	table  []byte // the section with the line tables
	traces []trace
	work   int // that may still be done
}

// trace is an address on its way to places.
type trace struct {
	address uint64
	inside  []*dwarf.Entry // of the unit at hand: the function that holds it, and those inlined there
	row     dwarf.LineEntry
	places  []Place
}

func (l *lineFinder) spend(n int) error {
	if l.work -= n + 1; l.work < 0 {
		return errDebugWork
	}
	return nil
}

// unit looks for the addresses in one compilation unit.
func (l *lineFinder) unit(first dwarf.Offset) error {
	r := l.data.Reader()
	r.Seek(first)
	unit, err := r.Next()
	if err != nil || unit == nil {
		return err
	}
	here, err := l.within(unit, l.open())
	if err != nil || len(here) == 0 || unit.Tag != dwarf.TagCompileUnit {
		return err
	}
	if err := l.entries(r, unit, here); err != nil {
		return err
	}
	return l.lines(unit, here)
}

// open gives the traces without places.
func (l *lineFinder) open() (all []*trace) {
	for i := range l.traces {
		if len(l.traces[i].places) == 0 {
			all = append(all, &l.traces[i])
		}
	}
	return all
}

// within gives those traces whose address an entry holds. Linkers leave what they removed at the addresses 0, -1 and -2.
func (l *lineFinder) within(e *dwarf.Entry, traces []*trace) ([]*trace, error) {
	ranges, err := l.data.Ranges(e)
	if err := l.spend(len(ranges) + len(e.Field)); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, nil //nolint:nilerr // an entry that cannot be read holds nothing
	}
	var here []*trace
	for _, t := range traces {
		for _, span := range ranges {
			if span[0] > 0 && span[0] <= t.address && t.address < span[1] {
				here = append(here, t)
				break
			}
		}
	}
	return here, nil
}

// entries notes the functions that hold the addresses, from the outermost to what is inlined in it.
func (l *lineFinder) entries(r *dwarf.Reader, unit *dwarf.Entry, here []*trace) error {
	var function []*trace // those in the function at hand
	for depth := b2u(unit.Children); depth > 0; {
		e, err := r.Next()
		if err != nil || e == nil {
			return err
		}
		if err := l.spend(len(e.Field)); err != nil {
			return err
		}
		switch {
		case e.Tag == 0:
			depth--
		case e.Children:
			depth++
		}
		switch e.Tag {
		case dwarf.TagSubprogram:
			if function, err = l.within(e, here); err != nil {
				return err
			}
			for _, t := range function {
				t.inside = []*dwarf.Entry{e}
			}
		case dwarf.TagInlinedSubroutine:
			in, err := l.within(e, function)
			if err != nil {
				return err
			}
			for _, t := range in {
				if len(t.inside) <= maxInline {
					t.inside = append(t.inside, e)
				}
			}
		}
	}
	return nil
}

// lines reads the rows of the unit's line table, and makes the places.
func (l *lineFinder) lines(unit *dwarf.Entry, here []*trace) error {
	if offset, ok := unit.Val(dwarf.AttrStmtList).(int64); !ok || !soundHeader(l.table, offset) {
		return nil
	}
	table, err := l.data.LineReader(unit)
	if err != nil || table == nil {
		return err
	}
	var row, last dwarf.LineEntry
	for {
		err := table.Next(&row)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = l.spend(1)
		}
		if err != nil {
			return err
		}
		for _, t := range here {
			if last.File != nil && !last.EndSequence && 0 < last.Address && last.Address <= t.address && t.address < row.Address {
				t.row = last
			}
		}
		last = row
	}
	dir, _ := unit.Val(dwarf.AttrCompDir).(string)
	for _, t := range here {
		if t.row.File != nil {
			t.places = l.chain(t, table.Files(), dir)
		}
	}
	return nil
}

// soundHeader says that a line table does not announce more folders and files than it can have. debug/dwarf makes room for as many as DWARF 5
// (section 6.2.4) says there are, before it reads them.
func soundHeader(section []byte, offset int64) bool {
	if offset < 0 || offset > int64(len(section)) {
		return false
	}
	r := &reader{b: section, pos: int(offset), end: len(section), section: "line"}
	r.take(4) // length
	if version := r.take(2); !r.ok() || version[0] < 5 {
		return r.ok()
	}
	r.take(11) // sizes of addresses and of the header, and how instructions are encoded
	r.take(int(r.byte()) - 1)
	for range 2 { // folders, then files
		var forms []uint32
		for range r.byte() {
			r.u32()
			forms = append(forms, r.u32())
		}
		for range r.count("entries", 0, maxFiles) {
			for _, form := range forms {
				skipForm(r, form)
			}
		}
	}
	return r.ok()
}

// skipForm passes over a value, DWARF 5 section 7.5.6.
func skipForm(r *reader, form uint32) {
	switch form {
	case 0x08: // string
		for r.byte() != 0 {
			continue
		}
	case 0x0b, 0x25: // data1, strx1
		r.take(1)
	case 0x05, 0x26:
		r.take(2)
	case 0x06, 0x28, 0x0e, 0x1f: // data4, strx4, strp, line_strp
		r.take(4)
	case 0x07:
		r.take(8)
	case 0x1e:
		r.take(16)
	case 0x0f, 0x1a: // udata, strx
		r.skipLEB(10)
	case 0x09: // block
		r.take(int(r.u32()))
	default:
		r.fail("form %#x", form)
	}
}

// chain gives the places of an address: its row, and for each function that was inlined where it was called.
func (l *lineFinder) chain(t *trace, files []*dwarf.LineFile, dir string) []Place {
	place := func(file *dwarf.LineFile, line, column int) Place {
		name := file.Name
		if dir != "" {
			name = strings.TrimPrefix(name, strings.TrimSuffix(dir, "/")+"/")
		}
		return Place{File: name, Line: line, Column: column}
	}
	places := []Place{place(t.row.File, t.row.Line, t.row.Column)}
	for i := len(t.inside) - 1; i >= 0; i-- {
		e := t.inside[i]
		places[len(places)-1].Function = l.name(e)
		if e.Tag != dwarf.TagInlinedSubroutine {
			break
		}
		file, _ := e.Val(dwarf.AttrCallFile).(int64)
		line, _ := e.Val(dwarf.AttrCallLine).(int64)
		column, _ := e.Val(dwarf.AttrCallColumn).(int64)
		if file < 0 || file >= int64(len(files)) || files[file] == nil {
			break
		}
		places = append(places, place(files[file], int(line), int(column)))
	}
	return places
}

// name gives the name of a function, which may stand where it was declared.
func (l *lineFinder) name(e *dwarf.Entry) string {
	for range 4 {
		if l.spend(len(e.Field)) != nil {
			break
		}
		if name, ok := e.Val(dwarf.AttrName).(string); ok {
			return name
		}
		declared, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			declared, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset)
		}
		if !ok {
			break
		}
		r := l.data.Reader()
		r.Seek(declared)
		next, err := r.Next()
		if err != nil || next == nil {
			break
		}
		e = next
	}
	return ""
}
