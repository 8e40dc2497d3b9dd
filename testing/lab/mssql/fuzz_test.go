package mssql

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// seedCall is what go-mssqldb sends for a query with one text parameter, and more parameters of other types.
func seedCall() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 22) // ALL_HEADERS: one transaction descriptor
	b = binary.LittleEndian.AppendUint32(b, 18)
	b = append(b, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)
	b = append(b, 0xFF, 0xFF, procExecuteSQL, 0, 0, 0)
	text := func(name, value string) {
		b = append(b, byte(len(name)))
		b = appendUTF16(b, name)
		b = append(b, 0, typNVarChar, 0x40, 0x1F)
		b = append(b, collation()...)
		b = binary.LittleEndian.AppendUint16(b, uint16(2*len(value)))
		b = appendUTF16(b, value)
	}
	text("", "SELECT hostname FROM dbo.assets WHERE ip = @ip")
	text("", "@ip nvarchar(11), @n int")
	text("@ip", "10.20.30.40")
	b = append(b, 0, 0, typIntN, 4, 4, 1, 0, 0, 0)
	b = append(b, 0, 0, typDateTime2N, 7, 8, 0, 0, 0, 0, 0, 0x80, 0x3C, 0x0B)
	b = append(b, 0, 0, typDateTimeOffset, 7, 10, 0, 0, 0, 0, 0, 0x80, 0x3C, 0x0B, 60, 0)
	b = append(b, 0, 0, typDecimalN, 17, 38, 2, 5, 1, 0x39, 0x30, 0, 0)
	b = append(b, 0, 0, typGUID, 16, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	b = append(b, 0, 0, typBigVarBinary, 0xFF, 0xFF, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0)
	return append(b, 0, 0, typBitN, 1, 0)
}

func TestParseCall(t *testing.T) {
	c, err := parseCall(seedCall())
	if err != nil {
		t.Fatal(err)
	}
	sql, vars, err := c.statement()
	if err != nil || c.procedure != "sp_executesql" || sql != "SELECT hostname FROM dbo.assets WHERE ip = @ip" {
		t.Fatalf("%q %q %v", c.procedure, sql, err)
	}
	if vars["@ip"] != "10.20.30.40" || vars["@n"] != int64(1) {
		t.Errorf("variables %v", vars)
	}
	if got := c.params[6].value; got != 123.45 {
		t.Errorf("decimal %v", got)
	}
	if got := c.params[7].value; got != "04030201-0605-0807-090A-0B0C0D0E0F10" {
		t.Errorf("guid %v", got)
	}
	if got, ok := c.params[8].value.([]byte); !ok || string(got) != "abc" {
		t.Errorf("binary %v", c.params[8].value)
	}
	if c.params[9].value != nil {
		t.Errorf("null bit %v", c.params[9].value)
	}
	whole := seedCall()
	for cut := len(whole) - 1; cut > len(whole)-40; cut-- { // within the last parameters
		if c, err := parseCall(whole[:cut]); err == nil && len(c.params) == 10 {
			t.Errorf("cut at %d: no error", cut)
		}
	}
}

func seedLogin() []byte {
	b := make([]byte, firstLoginSize)
	binary.LittleEndian.PutUint32(b[4:], version74)
	binary.LittleEndian.PutUint32(b[8:], defaultPacket)
	put := func(at int, s string, mask bool) {
		raw := appendUTF16(nil, s)
		binary.LittleEndian.PutUint16(b[at:], uint16(len(b)))
		binary.LittleEndian.PutUint16(b[at+2:], uint16(len(raw)/2))
		if mask {
			for i, c := range raw {
				raw[i] = (c<<4 | c>>4) ^ 0xA5
			}
		}
		b = append(b, raw...)
	}
	put(36, "host", false)
	put(40, "riposte_ro", false)
	put(44, "Geheim#1é", true)
	put(68, "cmdb", false)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

func TestParseLogin7(t *testing.T) {
	l, err := parseLogin7(seedLogin())
	if err != nil || l.user != "riposte_ro" || l.password != "Geheim#1é" || l.database != "cmdb" || l.host != "host" || l.packetSize != defaultPacket {
		t.Errorf("%+v %v", l, err)
	}
	b := seedLogin()
	binary.LittleEndian.PutUint16(b[42:], 0xFFFF)
	if _, err := parseLogin7(b); err == nil || !strings.Contains(err.Error(), "ends at") {
		t.Errorf("a text beyond the end: %v", err)
	}
}

func TestPacketsAreCutAndJoined(t *testing.T) {
	for _, size := range []int{0, 1, 504, 505, 5000} {
		body := bytes.Repeat([]byte("x"), size)
		m, err := readMessage(bytes.NewReader(packets(packRPC, body, minPacket)))
		if err != nil || m.kind != packRPC || !bytes.Equal(m.body, body) {
			t.Errorf("%d bytes: %d came back, %v", size, len(m.body), err)
		}
	}
	if _, err := readMessage(bytes.NewReader(packets(packRPC, make([]byte, maxMessage+1), maxPacket))); err == nil {
		t.Error("a message over the limit was read")
	}
}

// FuzzRequests gives one message of any type to the parser of that type.
func FuzzRequests(f *testing.F) {
	f.Add(packets(packRPC, seedCall(), defaultPacket))
	f.Add(packets(packLogin7, seedLogin(), minPacket))
	f.Add(packets(packPrelogin, prelogin(encryptOn), defaultPacket))
	f.Add(packets(packBatch, append([]byte{4, 0, 0, 0}, appendUTF16(nil, "SELECT 1")...), defaultPacket))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := readMessage(bytes.NewReader(data))
		if err != nil {
			return
		}
		if again, err := readMessage(bytes.NewReader(packets(m.kind, m.body, minPacket))); err != nil || !bytes.Equal(again.body, m.body) {
			t.Errorf("the message does not survive: %v", err)
		}
		switch m.kind {
		case packRPC:
			c, err := parseCall(m.body)
			if err != nil {
				return
			}
			if len(c.params) > maxParams {
				t.Errorf("%d parameters", len(c.params))
			}
			_, _, _ = c.statement() // must not panic
		case packBatch:
			if sql, err := parseBatch(m.body); err == nil && len(sql) > 3*len(m.body) {
				t.Errorf("%d bytes of text out of %d", len(sql), len(m.body))
			}
		case packLogin7:
			if l, err := parseLogin7(m.body); err == nil && (l.packetSize < minPacket || l.packetSize > maxPacket) {
				t.Errorf("packet size %d", l.packetSize)
			}
		case packPrelogin:
			_, _ = parsePrelogin(m.body) // must not panic
		}
	})
}
