package syslog

import (
	"errors"
	"fmt"
	"os"

	"github.com/riposte-soar/riposte/server/alarm"
)

// readPackets reads datagrams until Close; those that the kernel holds at that moment are still read.
func (s *Server) readPackets() {
	defer s.udp.Close()
	buf, control := make([]byte, 1<<16), make([]byte, 128)
	var dropped uint32
	for {
		n, c, _, from, err := s.udp.ReadMsgUDPAddrPort(buf, control)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), err != nil && s.closing.Load():
			return
		case err != nil: // a port that was unreachable, for a datagram of nobody's
			s.o.Log.Debug("reading a datagram failed", "error", err)
			continue
		}
		if now, ok := drops(control[:c]); ok && now != dropped {
			s.counters.Dropped.Add(int64(now - dropped))
			s.o.Log.Warn("datagrams were dropped: the store is slower than the senders", "dropped", now-dropped)
			dropped = now
		}
		s.takePacket(alarm.Intake{Source: alarm.SyslogUDP, Peer: peer(from)}, buf[:n])
	}
}

func (s *Server) takePacket(in alarm.Intake, data []byte) {
	packet(data, func(f frame) {
		if len(f.data) > s.o.MaxMessage {
			f.note = fmt.Sprintf("cut at %d of %d bytes", s.o.MaxMessage, len(f.data))
			f.data = f.data[:s.o.MaxMessage]
			s.counters.Cut.Add(1)
		}
		s.take(in, f)
	})
}
