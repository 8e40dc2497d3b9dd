package mssql

import (
	"encoding/binary"
	"math"
	"time"
	"unicode/utf16"

	"github.com/riposte-soar/riposte/testing/lab/mssql/tsql"
)

// The tokens of a reply ([MS-TDS] 2.2.7).
const (
	tokColMetadata  = 0x81
	tokReturnStatus = 0x79
	tokError        = 0xAA
	tokInfo         = 0xAB
	tokLoginAck     = 0xAD
	tokRow          = 0xD1
	tokEnvChange    = 0xE3
	tokDone         = 0xFD
	tokDoneProc     = 0xFE
	tokDoneInProc   = 0xFF
)

// The status bits of DONE.
const (
	doneMore  = 0x01
	doneError = 0x02
	doneCount = 0x10
	doneAttn  = 0x20
)

const (
	cmdSelect     = 0xC1
	version74     = 0x74000004
	maxInline     = 4000 // characters of an nvarchar that is not nvarchar(max)
	serverName    = "LAB"
	programName   = "Microsoft SQL Server"
	envDatabase   = 1
	envPacketSize = 4
	envCollation  = 7
	envBegin      = 8
	envCommit     = 9
	envRollback   = 10
)

// collation is SQL_Latin1_General_CP1_CI_AS.
func collation() []byte { return []byte{0x09, 0x04, 0xD0, 0x00, 0x34} }

// reply collects the tokens of one answer.
type reply struct{ b []byte }

func (r *reply) u8(v byte)    { r.b = append(r.b, v) }
func (r *reply) u16(v uint16) { r.b = binary.LittleEndian.AppendUint16(r.b, v) }
func (r *reply) u32(v uint32) { r.b = binary.LittleEndian.AppendUint32(r.b, v) }
func (r *reply) u64(v uint64) { r.b = binary.LittleEndian.AppendUint64(r.b, v) }

// short writes text behind its length in characters as one byte (B_VARCHAR); longer text is cut.
func (r *reply) short(s string) {
	u := utf16.Encode([]rune(s))
	u = u[:min(len(u), 255)]
	r.u8(byte(len(u)))
	for _, c := range u {
		r.u16(c)
	}
}

// long writes text behind its length as two bytes (US_VARCHAR); longer text is cut.
func (r *reply) long(s string) {
	u := utf16.Encode([]rune(s))
	u = u[:min(len(u), 4000)]
	r.u16(uint16(len(u)))
	for _, c := range u {
		r.u16(c)
	}
}

// sized writes a token whose length stands before its content.
func (r *reply) sized(tok byte, content func()) {
	r.u8(tok)
	at := len(r.b)
	r.u16(0)
	content()
	binary.LittleEndian.PutUint16(r.b[at:], uint16(len(r.b)-at-2))
}

func (r *reply) err(e *tsql.Error) {
	r.sized(tokError, func() {
		r.u32(uint32(e.Number))
		r.u8(e.State)
		r.u8(e.Class)
		r.long(e.Message)
		r.short(serverName)
		r.short("") // procedure
		r.u32(uint32(e.Line))
	})
}

func (r *reply) info(number uint32, text string) {
	r.sized(tokInfo, func() {
		r.u32(number)
		r.u8(2)
		r.u8(0)
		r.long(text)
		r.short(serverName)
		r.short("")
		r.u32(1)
	})
}

func (r *reply) done(tok byte, status, command uint16, rows int) {
	r.u8(tok)
	r.u16(status)
	r.u16(command)
	r.u64(uint64(rows))
}

// changed tells the client of a new database or packet size.
func (r *reply) changed(what byte, now, before string) {
	r.sized(tokEnvChange, func() {
		r.u8(what)
		r.short(now)
		r.short(before)
	})
}

// changedBytes is changed for values that are no text; no bytes are none.
func (r *reply) changedBytes(what byte, now, before []byte) {
	r.sized(tokEnvChange, func() {
		r.u8(what)
		r.u8(byte(len(now)))
		r.b = append(r.b, now...)
		r.u8(byte(len(before)))
		r.b = append(r.b, before...)
	})
}

func (r *reply) loginAck() {
	r.sized(tokLoginAck, func() {
		r.u8(1) // T-SQL
		r.b = binary.BigEndian.AppendUint32(r.b, version74)
		r.short(programName)
		r.b = append(r.b, 15, 0, 0x07, 0xD0)
	})
}

// result writes the columns and rows of a result.
func (r *reply) result(res tsql.Result) {
	r.u8(tokColMetadata)
	r.u16(uint16(len(res.Columns)))
	large := make([]bool, len(res.Columns)) // nvarchar(max)
	for i, c := range res.Columns {
		for _, row := range res.Rows {
			if s, ok := row[i].(string); ok && len(s) > maxInline {
				large[i] = true
			}
		}
		r.u32(0)      // user type
		r.u16(0x0001) // may be NULL
		r.typeInfo(c.Type, large[i])
		r.short(c.Name)
	}
	for _, row := range res.Rows {
		r.u8(tokRow)
		for i, v := range row {
			r.value(res.Columns[i].Type, large[i], v)
		}
	}
}

func (r *reply) typeInfo(t tsql.Type, large bool) {
	switch t {
	case tsql.Int:
		r.b = append(r.b, typIntN, 4)
	case tsql.BigInt:
		r.b = append(r.b, typIntN, 8)
	case tsql.Bit:
		r.b = append(r.b, typBitN, 1)
	case tsql.Float:
		r.b = append(r.b, typFloatN, 8)
	case tsql.DateTime:
		r.b = append(r.b, typDateTimeN, 8)
	default:
		r.u8(typNVarChar)
		if large {
			r.u16(0xFFFF)
		} else {
			r.u16(2 * maxInline)
		}
		r.b = append(r.b, collation()...)
	}
}

// value writes v, whose type in Go is that of t, or nil.
func (r *reply) value(t tsql.Type, large bool, v any) {
	switch x := v.(type) {
	case int64:
		if t == tsql.Int {
			r.u8(4)
			r.u32(uint32(x))
			return
		}
		r.u8(8)
		r.u64(uint64(x))
	case bool:
		r.u8(1)
		if x {
			r.u8(1)
		} else {
			r.u8(0)
		}
	case float64:
		r.u8(8)
		r.u64(math.Float64bits(x))
	case time.Time:
		days, ticks := datetime(x)
		r.u8(8)
		r.u32(uint32(days))
		r.u32(ticks)
	case string:
		r.text(x, large)
	default:
		r.null(t, large)
	}
}

func (r *reply) null(t tsql.Type, large bool) {
	switch {
	case t == tsql.NVarChar && large:
		r.u64(math.MaxUint64)
	case t == tsql.NVarChar:
		r.u16(0xFFFF)
	default:
		r.u8(0)
	}
}

// text writes an nvarchar, as one chunk (PLP) if it is an nvarchar(max).
func (r *reply) text(s string, large bool) {
	b := appendUTF16(nil, s)
	if !large {
		r.u16(uint16(len(b)))
		r.b = append(r.b, b...)
		return
	}
	r.u64(uint64(len(b)))
	if len(b) > 0 {
		r.u32(uint32(len(b)))
		r.b = append(r.b, b...)
	}
	r.u32(0)
}

// datetime gives the days since 1900 and the 1/300 seconds of the day, rounded.
func datetime(t time.Time) (days int32, ticks uint32) {
	t = t.UTC()
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	days = int32(math.Round(midnight.Sub(epoch).Hours() / 24))
	ticks = uint32((t.Sub(midnight)*300 + time.Second/2) / time.Second)
	if ticks >= 24*60*60*300 {
		return days + 1, 0
	}
	return days, ticks
}
