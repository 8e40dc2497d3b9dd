package meter_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/meter"
)

// TestHostileDebugSections gives sections that were made to take long or to take much: the work on them must be bounded.
func TestHostileDebugSections(t *testing.T) {
	le := binary.LittleEndian
	// A unit with its addresses in a range list, and its lines at the beginning of the line table.
	abbrev := []byte("\x01\x11\x00\x55\x17\x10\x17\x00\x00" + // 1: a compile unit: ranges, stmt_list
		"\x02\x11\x01\x11\x01\x12\x06\x10\x17\x00\x00" + // 2: one with children: low_pc, high_pc, stmt_list
		"\x03\x2e\x01\x11\x01\x12\x06\x00\x00" + // 3: a function with children
		"\x04\x1d\x01\x31\x13\x11\x01\x12\x06\x00\x00" + // 4: one that is inlined
		"\x05\x2e\x01" + strings.Repeat("\x3f\x19", 300_000) + "\x00\x00\x00") // 5: a function with attributes that take no room
	unit := func(entries string) []byte {
		body := "\x04\x00\x00\x00\x00\x00\x04" + entries
		return append(le.AppendUint32(nil, uint32(len(body))), body...)
	}
	whole := "\x01\x00\x00\x00\xf0\xff\xff\x7f" // all addresses
	inlined := "\x04\x0b\x00\x00\x00" + whole
	metered, err := meter.Instrument(withDebug(map[string][]byte{".debug_info": {0}, ".debug_line": {0}}), meter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	line := debugSections(metered)[".debug_line"]
	var interleaved []byte // units, each of which begins its abbreviations elsewhere in one long abbreviation
	for at := range uint32(40_000) {
		u := unit("\x01")
		le.PutUint32(u[6:], 64+2*at)
		interleaved = append(interleaved, u...)
	}
	for name, sections := range map[string]map[string][]byte{
		"many units of many ranges": {".debug_info": bytes.Repeat(unit("\x01\x00\x00\x00\x00\x00\x00\x00\x00"), 50_000),
			".debug_ranges": bytes.Repeat([]byte("\xf0\xff\xff\x00\xf1\xff\xff\x00"), 1<<20)},
		"deep inlining":                {".debug_info": unit("\x02" + whole + "\x00\x00\x00\x00" + "\x03" + whole + strings.Repeat(inlined, 500_000))},
		"attributes that take no room": {".debug_info": unit("\x02" + whole + "\x00\x00\x00\x00" + strings.Repeat("\x05", 4<<20))},
		"many rows":                    {".debug_info": unit("\x02" + whole + "\x00\x00\x00\x00\x00"), ".debug_line": append(bytes.Clone(line[:38]), bytes.Repeat([]byte{1}, 30<<20)...)},
		"many folders": {".debug_info": unit("\x02" + whole + "\x00\x00\x00\x00\x00"), ".debug_line": []byte("\x40\x00\x00\x00\x05\x00\x04\x00\x20\x00\x00\x00\x01\x01\x01\x00\x01\x0a" +
			"\x00\x01\x01\x01\x01\x00\x00\x00\x01\x01\x01\x08\xff\xff\xff\xff\x0f/\x00")},
		"too many units":       {".debug_info": bytes.Repeat(unit("\x01\x00\x00\x00\x00\x00\x00\x00\x00"), 1_000_000)},
		"tables in each other": {".debug_info": interleaved},
		"too much":             {".debug_info": unit("\x02" + whole + "\x00\x00\x00\x00" + strings.Repeat("\x00", 33<<20))},
	} {
		t.Run(name, func(t *testing.T) {
			sections[".debug_abbrev"] = abbrev
			if sections[".debug_line"] == nil {
				sections[".debug_line"] = line
			}
			if l := sections[".debug_line"]; len(l) > 1<<20 {
				le.PutUint32(l, uint32(len(l)-4))
			}
			start := time.Now()
			places, err := meter.Places(withDebug(sections), meter.Options{}, []uint64{7, 8, 9})
			if err != nil || len(places) != 3 || len(places[0]) > 200 {
				t.Errorf("%d places, %v", len(places), err)
			}
			t.Log("took ", time.Since(start))
		})
	}
}
