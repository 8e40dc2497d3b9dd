// Package alarm holds the alarm: one signal that something is wrong, as it arrived and as normalised to ECS field names. It knows
// which fields have which type, turns text into typed values, and makes the one document that expressions, the API and the store
// see. It does no I/O.
package alarm

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// Prefix begins every alarm's UID.
const Prefix = "al-"

// MaxRaw is the greatest length of Alarm.Raw in bytes; what is longer was cut, which is noted in Parse.Warnings.
const MaxRaw = 1 << 20

// Alarm is one alarm. A Builder makes it; its fields are read by Get, Fields and Doc. Nobody changes an alarm after intake.
type Alarm struct {
	UID      string
	Received time.Time
	Intake   Intake
	Severity Severity
	Parse    Parse
	Raw      string

	values []value // of known fields, each once, in the order in which they came
	ext    texts
	labels texts // ext.labels
}

// Source names the door that an alarm came through.
type Source string

// The doors.
const (
	SyslogUDP Source = "syslog-udp"
	SyslogTCP Source = "syslog-tcp"
	SyslogTLS Source = "syslog-tls"
	HTTP      Source = "http"
	File      Source = "file"
)

// Intake says how an alarm arrived. Peer is the sender's IP address without port, or a file's name.
type Intake struct {
	Source Source
	Peer   string
}

// Format names what a message was parsed as.
type Format string

// The formats. An unparsed alarm has its reason in Parse.Error and can be decoded again from Raw.
const (
	CEF      Format = "cef"
	LEEF     Format = "leef"
	JSON     Format = "json"
	Syslog   Format = "syslog"
	Unparsed Format = "unparsed"
)

// Parse tells how the message was understood. Clean means: parsed, and nothing odd about it. A rule whose runbook acts by itself
// should require it, because a sender that does not escape its values lets an attacker write fields (see package cef).
type Parse struct {
	Format   Format
	Clean    bool
	Warnings []string
	Error    string
}

// NewUID makes an alarm's identity: Prefix and a ULID (26 characters of Crockford's base 32), so that UIDs sort by time. The first
// 48 bits are milliseconds, as the ULID specification (github.com/ulid/spec) says; 20 of the 80 random bits are the nanoseconds
// within the millisecond, which keeps the order of what one process received.
func NewUID(now time.Time) string {
	var id [16]byte
	_, _ = rand.Read(id[8:]) // never fails: it ends the process instead
	ns := uint64(now.Nanosecond() % 1e6)
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|ns>>4)
	id[8] = id[8]&0x0f | byte(ns<<4)

	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var text [len(Prefix) + 26]byte
	copy(text[:], Prefix)
	high, low := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	for i := len(text) - 1; i >= len(Prefix); i-- {
		text[i] = digits[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return string(text[:])
}
