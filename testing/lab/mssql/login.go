package mssql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// The tokens of PRELOGIN, and the ways to encrypt ([MS-TDS] 2.2.6.5).
const (
	preVersion    = 0x00
	preEncryption = 0x01
	preInstance   = 0x02
	preThread     = 0x03
	preMARS       = 0x04
	preEnd        = 0xFF

	encryptOff    = 0x00
	encryptOn     = 0x01
	encryptNotSup = 0x02
	encryptReq    = 0x03
)

// parsePrelogin gives what the client wants of encryption.
func parsePrelogin(b []byte) (encryption byte, err error) {
	encryption = encryptNotSup
	for at := 0; ; at += 5 {
		if at >= len(b) {
			return 0, errors.New("prelogin: expected a terminator")
		}
		if b[at] == preEnd {
			return encryption, nil
		}
		if at+5 > len(b) {
			return 0, errors.New("prelogin: an option is cut short")
		}
		from, size := int(binary.BigEndian.Uint16(b[at+1:])), int(binary.BigEndian.Uint16(b[at+3:]))
		if from+size > len(b) {
			return 0, fmt.Errorf("prelogin: option %#x ends at %d of %d bytes", b[at], from+size, len(b))
		}
		if b[at] == preEncryption && size > 0 {
			encryption = b[from]
		}
	}
}

// prelogin is the server's answer.
func prelogin(encryption byte) []byte {
	options := []struct {
		token byte
		value []byte
	}{
		{preVersion, []byte{15, 0, 0x07, 0xD0, 0, 0}}, // 15.0.2000: SQL Server 2019
		{preEncryption, []byte{encryption}},
		{preInstance, []byte{0}},
		{preThread, nil},
		{preMARS, []byte{0}},
	}
	var head, values []byte
	for _, o := range options {
		head = append(head, o.token)
		head = binary.BigEndian.AppendUint16(head, uint16(5*len(options)+1+len(values)))
		head = binary.BigEndian.AppendUint16(head, uint16(len(o.value)))
		values = append(values, o.value...)
	}
	return append(append(head, preEnd), values...)
}

// login is what a client says in LOGIN7 ([MS-TDS] 2.2.6.4).
type login struct {
	host, user, password, app, database string
	version                             uint32
	packetSize                          int
	integrated                          bool // Windows authentication is asked for
}

func parseLogin7(b []byte) (l login, err error) {
	if len(b) < firstLoginSize {
		return l, fmt.Errorf("login: %d bytes, expected at least %d", len(b), firstLoginSize)
	}
	l.version = binary.LittleEndian.Uint32(b[4:])
	l.packetSize = min(max(int(binary.LittleEndian.Uint32(b[8:])&0xFFFFFF), minPacket), maxPacket)
	l.integrated = b[25]&0x80 != 0
	for _, f := range []struct {
		at   int
		into *string
		mask bool
	}{{36, &l.host, false}, {40, &l.user, false}, {44, &l.password, true}, {48, &l.app, false}, {68, &l.database, false}} {
		from, size := int(binary.LittleEndian.Uint16(b[f.at:])), 2*int(binary.LittleEndian.Uint16(b[f.at+2:]))
		if size == 0 {
			continue
		}
		if from+size > len(b) {
			return l, fmt.Errorf("login: the text at byte %d ends at %d of %d bytes", f.at, from+size, len(b))
		}
		raw := append([]byte(nil), b[from:from+size]...)
		if f.mask { // the client swaps the halves of each byte and flips some bits
			for i, c := range raw {
				c ^= 0xA5
				raw[i] = c<<4 | c>>4
			}
		}
		*f.into = utf16String(raw)
	}
	return l, nil
}

// utf16String decodes UTF-16LE; an odd last byte is ignored.
func utf16String(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

// appendUTF16 appends s as UTF-16LE.
func appendUTF16(b []byte, s string) []byte {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}
