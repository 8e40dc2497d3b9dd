package mssql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
)

// reader takes a client's message apart; the first error sticks and everything after it is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		if r.err == nil {
			r.err = errors.New("the message ends too early")
		}
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// uint reads a little-endian number of n bytes.
func (r *reader) uint(n int) uint64 {
	var v uint64
	for i, c := range r.take(n) {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// text reads n characters of UTF-16.
func (r *reader) text(n int) string { return utf16String(r.take(2 * n)) }

// skipHeaders skips ALL_HEADERS ([MS-TDS] 2.2.5.3), which begins every request since TDS 7.2.
func (r *reader) skipHeaders() {
	total := int(r.uint(4))
	if r.err == nil && total < 4 {
		r.err = fmt.Errorf("headers: length %d, expected at least 4", total)
		return
	}
	r.take(total - 4)
}

// param is one parameter of a call.
type param struct {
	name  string
	value any
}

// call is a remote procedure call ([MS-TDS] 2.2.6.6).
type call struct {
	procedure string
	params    []param
}

// procExecuteSQL is the number of sp_executesql, the one procedure that is known here.
const procExecuteSQL = 10

// maxParams is the most that SQL Server takes.
const maxParams = 2100

func parseBatch(b []byte) (string, error) {
	r := reader{b: b}
	r.skipHeaders()
	if r.err == nil && len(r.b)%2 != 0 {
		r.err = errors.New("batch: half a character")
	}
	return utf16String(r.b), r.err
}

func parseCall(b []byte) (c call, err error) {
	r := reader{b: b}
	r.skipHeaders()
	if n := r.uint(2); n == 0xFFFF {
		id := r.uint(2)
		c.procedure = fmt.Sprintf("procedure %d", id)
		if id == procExecuteSQL {
			c.procedure = "sp_executesql"
		}
	} else {
		c.procedure = r.text(int(n))
	}
	r.take(2) // option flags
	for len(r.b) > 0 && r.err == nil {
		if r.b[0] == 0x80 || r.b[0] == 0xFF { // another call follows in the same message
			return c, errors.New("call: more than one in a message is not known here")
		}
		if len(c.params) == maxParams {
			return c, fmt.Errorf("call: more than %d parameters", maxParams)
		}
		p := param{name: r.text(int(r.uint(1)))}
		r.take(1) // status flags
		p.value = r.value()
		if r.err != nil {
			r.err = fmt.Errorf("parameter %d (%q): %w", len(c.params)+1, p.name, r.err)
		}
		c.params = append(c.params, p)
	}
	return c, r.err
}

// statement gives the text and the variables of a call of sp_executesql. Parameters without a name take theirs from the declaration.
func (c call) statement() (sql string, vars map[string]any, err error) {
	if len(c.params) == 0 {
		return "", nil, errors.New("sp_executesql: expected a statement")
	}
	sql, ok := c.params[0].value.(string)
	if !ok {
		return "", nil, errors.New("sp_executesql: expected the statement as nvarchar")
	}
	vars = make(map[string]any)
	if len(c.params) < 3 {
		return sql, vars, nil
	}
	declaration, _ := c.params[1].value.(string) // NULL declares nothing
	var names []string
	for _, d := range strings.Split(declaration, ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(d), " "); strings.HasPrefix(name, "@") {
			names = append(names, name)
		}
	}
	for i, p := range c.params[2:] {
		if p.name == "" && i < len(names) {
			p.name = names[i]
		}
		vars[p.name] = p.value
	}
	return sql, vars, nil
}

// The types of data ([MS-TDS] 2.2.5.4).
const (
	typNull           = 0x1F
	typInt1           = 0x30
	typBit            = 0x32
	typInt2           = 0x34
	typInt4           = 0x38
	typDateTime4      = 0x3A
	typFloat4         = 0x3B
	typDateTime       = 0x3D
	typFloat8         = 0x3E
	typInt8           = 0x7F
	typGUID           = 0x24
	typIntN           = 0x26
	typDateN          = 0x28
	typTimeN          = 0x29
	typDateTime2N     = 0x2A
	typDateTimeOffset = 0x2B
	typBitN           = 0x68
	typDecimalN       = 0x6A
	typNumericN       = 0x6C
	typFloatN         = 0x6D
	typDateTimeN      = 0x6F
	typBigVarBinary   = 0xA5
	typBigVarChar     = 0xA7
	typBigBinary      = 0xAD
	typBigChar        = 0xAF
	typNVarChar       = 0xE7
	typNChar          = 0xEF
)

// value reads a TYPE_INFO and the value after it.
func (r *reader) value() any {
	switch t := byte(r.uint(1)); t {
	case typNull:
		return nil
	case typInt1:
		return number(typIntN, r.take(1))
	case typInt2:
		return number(typIntN, r.take(2))
	case typInt4:
		return number(typIntN, r.take(4))
	case typInt8:
		return number(typIntN, r.take(8))
	case typBit:
		return number(typBitN, r.take(1))
	case typFloat4:
		return number(typFloatN, r.take(4))
	case typFloat8:
		return number(typFloatN, r.take(8))
	case typDateTime4:
		return number(typDateTimeN, r.take(4))
	case typDateTime:
		return number(typDateTimeN, r.take(8))
	case typIntN, typBitN, typFloatN, typDateTimeN, typGUID:
		r.take(1) // greatest length
		return number(t, r.take(int(r.uint(1))))
	case typDateN:
		return moment(t, 0, r.take(int(r.uint(1))))
	case typTimeN, typDateTime2N, typDateTimeOffset:
		scale := int(r.uint(1))
		return moment(t, scale, r.take(int(r.uint(1))))
	case typDecimalN, typNumericN:
		r.take(2) // greatest length, precision
		scale := int(r.uint(1))
		return decimal(scale, r.take(int(r.uint(1))))
	case typBigVarBinary, typBigBinary, typBigVarChar, typBigChar, typNVarChar, typNChar:
		return r.bytes(t)
	default:
		if r.err == nil {
			r.err = fmt.Errorf("data type %#02x is unknown", t)
		}
		return nil
	}
}

// bytes reads a value of up to 8000 bytes, or a longer one in chunks (PLP).
func (r *reader) bytes(t byte) any {
	size := r.uint(2)
	if t != typBigVarBinary && t != typBigBinary {
		r.take(5) // collation
	}
	var b []byte
	if size == 0xFFFF {
		const null = math.MaxUint64
		if r.uint(8) == null {
			return nil
		}
		for n := int(r.uint(4)); n > 0 && r.err == nil; n = int(r.uint(4)) {
			b = append(b, r.take(n)...)
		}
	} else {
		n := int(r.uint(2))
		if n == 0xFFFF {
			return nil
		}
		b = append(b, r.take(n)...)
	}
	switch t {
	case typNVarChar, typNChar:
		return utf16String(b)
	case typBigVarChar, typBigChar:
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return b
}

// number decodes a value of a type whose values have few sizes; no bytes are NULL.
func number(t byte, b []byte) any {
	r := reader{b: b}
	switch size := len(b); {
	case t == typIntN && size == 1: // tinyint has no sign
		return int64(b[0])
	case t == typIntN && size == 2:
		return int64(int16(r.uint(2)))
	case t == typIntN && size == 4:
		return int64(int32(r.uint(4)))
	case t == typIntN && size == 8:
		return int64(r.uint(8))
	case t == typBitN && size == 1:
		return b[0] != 0
	case t == typFloatN && size == 4:
		return finite(float64(math.Float32frombits(uint32(r.uint(4)))))
	case t == typFloatN && size == 8:
		return finite(math.Float64frombits(r.uint(8)))
	case t == typDateTimeN && size == 4: // days since 1900, minutes
		days := int(r.uint(2))
		return epoch.AddDate(0, 0, days).Add(time.Duration(r.uint(2)) * time.Minute)
	case t == typDateTimeN && size == 8: // days since 1900, 1/300 seconds
		days := int(int32(r.uint(4)))
		return epoch.AddDate(0, 0, days).Add(time.Duration(r.uint(4)) * time.Second / 300)
	case t == typGUID && size == 16: // the first three groups are little-endian
		return fmt.Sprintf("%08X-%04X-%04X-%X-%X", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:])
	}
	return nil
}

// finite is f, or NULL for what SQL knows no number for.
func finite(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return f
}

// epoch is day 0 of datetime.
var epoch = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

// moment decodes date, time, datetime2 and datetimeoffset: a time of day in units of 10^-scale seconds, days since the year 1, and
// minutes east of Greenwich, each if the type has it. The stored time is UTC.
func moment(t byte, scale int, b []byte) any {
	if len(b) == 0 {
		return nil
	}
	clock, date, zone := len(b), 0, 0
	switch t {
	case typDateN:
		clock, date = 0, 3
	case typDateTime2N:
		clock, date = len(b)-3, 3
	case typDateTimeOffset:
		clock, date, zone = len(b)-5, 3, 2
	}
	if clock < 0 || clock > 5 || len(b) != clock+date+zone || scale > 7 {
		return nil
	}
	r := reader{b: b}
	units := r.uint(clock)
	for range 9 - scale { // nanoseconds; a clock of 5 bytes cannot overflow for real values, others wrap
		units *= 10
	}
	at := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(r.uint(date))).Add(time.Duration(units))
	if zone == 0 {
		return at
	}
	return at.In(time.FixedZone("", int(int16(r.uint(2)))*60))
}

// decimal decodes sign and magnitude; the precision of a float64 is enough here.
func decimal(scale int, b []byte) any {
	if len(b) < 2 || scale > 38 {
		return nil
	}
	magnitude := make([]byte, len(b)-1)
	for i, c := range b[1:] {
		magnitude[len(magnitude)-1-i] = c
	}
	f, _ := new(big.Float).SetInt(new(big.Int).SetBytes(magnitude)).Float64()
	f /= math.Pow10(scale)
	if b[0] == 0 {
		f = -f
	}
	return finite(f)
}
