package mssql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The types of packets ([MS-TDS] 2.2.3.1.1).
const (
	packBatch     = 0x01
	packRPC       = 0x03
	packReply     = 0x04
	packAttention = 0x06
	packTransMgr  = 0x0E
	packLogin7    = 0x10
	packPrelogin  = 0x12
)

const (
	headerSize     = 8
	statusEOM      = 0x01 // the last packet of a message
	defaultPacket  = 4096
	maxPacket      = 32767
	minPacket      = 512
	maxMessage     = 4 << 20 // bytes of one message of a client
	firstLoginSize = 94      // fixed part of LOGIN7
)

// message is what a client sent, its packets joined.
type message struct {
	kind byte
	body []byte
}

// readMessage reads packets up to the one that ends a message.
func readMessage(r io.Reader) (message, error) {
	var m message
	for {
		var h [headerSize]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return m, err
		}
		size := int(binary.BigEndian.Uint16(h[2:]))
		if size < headerSize {
			return m, fmt.Errorf("packet: length %d, expected at least %d", size, headerSize)
		}
		if len(m.body) > 0 && h[0] != m.kind {
			return m, fmt.Errorf("packet: type %#x within a message of type %#x", h[0], m.kind)
		}
		m.kind = h[0]
		size -= headerSize
		if len(m.body)+size > maxMessage {
			return m, fmt.Errorf("message: more than %d bytes", maxMessage)
		}
		m.body = append(m.body, make([]byte, size)...)
		if _, err := io.ReadFull(r, m.body[len(m.body)-size:]); err != nil {
			return m, err
		}
		if h[1]&statusEOM != 0 {
			return m, nil
		}
	}
}

// packets cuts body into the packets of one message of the given type.
func packets(kind byte, body []byte, size int) []byte {
	out := make([]byte, 0, len(body)+(len(body)/(size-headerSize)+1)*headerSize)
	for id := byte(1); ; id++ {
		n := min(len(body), size-headerSize)
		status := byte(0)
		if n == len(body) {
			status = statusEOM
		}
		out = append(out, kind, status)
		out = binary.BigEndian.AppendUint16(out, uint16(n+headerSize))
		out = append(out, 0, 0, id, 0)
		out = append(out, body[:n]...)
		if body = body[n:]; status == statusEOM {
			return out
		}
	}
}

// handshakeConn carries a TLS handshake in packets of type PRELOGIN; once done is set, it is transparent.
type handshakeConn struct {
	net.Conn
	pending []byte
	done    bool
}

// Read unwraps.
func (c *handshakeConn) Read(p []byte) (int, error) {
	if len(c.pending) == 0 && !c.done {
		m, err := readMessage(c.Conn)
		if err != nil {
			return 0, err
		}
		if m.kind != packPrelogin {
			return 0, errors.New("handshake: expected a packet of type PRELOGIN")
		}
		c.pending = m.body
	}
	if len(c.pending) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Write wraps.
func (c *handshakeConn) Write(p []byte) (int, error) {
	if c.done {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write(packets(packPrelogin, p, minPacket)); err != nil {
		return 0, err
	}
	return len(p), nil
}
