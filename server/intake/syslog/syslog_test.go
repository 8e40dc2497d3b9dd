package syslog_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/intake/syslog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps alarms; while shut it blocks, as a full queue does.
type sink struct {
	mu     sync.Mutex
	change *sync.Cond
	alarms []*alarm.Alarm
	asked  int
	shut   bool
}

func newSink() *sink {
	s := &sink{}
	s.change = sync.NewCond(&s.mu)
	return s
}

func (s *sink) Accept(ctx context.Context, a *alarm.Alarm, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	s.change.Broadcast()
	stop := context.AfterFunc(ctx, func() { s.mu.Lock(); s.change.Broadcast(); s.mu.Unlock() })
	defer stop()
	for s.shut {
		if ctx.Err() != nil {
			go done(ctx.Err())
			return
		}
		s.change.Wait()
	}
	s.alarms = append(s.alarms, a)
	s.change.Broadcast()
	go done(nil)
}

func (s *sink) set(shut bool) {
	s.mu.Lock()
	s.shut = shut
	s.change.Broadcast()
	s.mu.Unlock()
}

// wait returns when n alarms were taken.
func (s *sink) wait(t *testing.T, n int) []*alarm.Alarm {
	t.Helper()
	s.until(t, func() bool { return len(s.alarms) >= n })
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*alarm.Alarm(nil), s.alarms...)
}

func (s *sink) until(t *testing.T, ok func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(60*time.Second, func() { s.mu.Lock(); late = true; s.change.Broadcast(); s.mu.Unlock() })
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		if late {
			t.Fatalf("%d alarms after a minute", len(s.alarms))
		}
		s.change.Wait()
	}
}

func listen(t *testing.T, s *sink, o syslog.Options) *syslog.Server {
	t.Helper()
	o.Sink, o.Log = s, slog.New(slog.NewTextHandler(io.Discard, nil))
	server, err := syslog.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, server) })
	return server
}

func shutDown(t *testing.T, server *syslog.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, address net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

const cefLine = `<134>Nov 21 10:00:00 siem CEF:0|LogPoint|LogPoint|7.4|4711|Malicious outbound|8|src=10.0.0.5 dst=203.0.113.9`

func TestUDP(t *testing.T) {
	s := newSink()
	server := listen(t, s, syslog.Options{UDP: "127.0.0.1:0", MaxMessage: 2000})
	conn := dial(t, server.UDPAddr())
	send(t, conn, cefLine)
	send(t, conn, cefLine+"\n"+cefLine+"\x00")
	send(t, conn, cefLine+" msg=one\ntwo")
	send(t, conn, cefLine+" msg="+strings.Repeat("x", 3000))
	alarms := s.wait(t, 5)
	for i, a := range alarms {
		if ip, _ := a.Get("source.ip"); ip != "10.0.0.5" || a.Intake.Source != alarm.SyslogUDP || a.Intake.Peer != "127.0.0.1" {
			t.Errorf("alarm %d: %v from %v", i, ip, a.Intake)
		}
	}
	if w := alarms[2].Parse.Warnings; len(w) != 1 || w[0] != "not the first message of its datagram" {
		t.Errorf("the second of a datagram: %q", w)
	}
	if msg, _ := alarms[3].Get("message"); msg != "one\ntwo" {
		t.Errorf("a line feed inside a value: %q", msg)
	}
	if w := alarms[4].Parse.Warnings; len(w) != 1 || !strings.HasPrefix(w[0], "cut at 2000 of ") || len(alarms[4].Raw) != 2000 {
		t.Errorf("a message that is too long: %q, %d bytes", w, len(alarms[4].Raw))
	}
}

func TestTCPMixedFraming(t *testing.T) {
	s := newSink()
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0"})
	conn := dial(t, server.TCPAddr())
	counted := cefLine + " msg=first\nsecond"
	send(t, conn, cefLine+"\n"+fmt.Sprintf("%d %s", len(counted), counted)+cefLine+"\r\n"+cefLine+"\x00"+cefLine)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	alarms := s.wait(t, 5)
	for i, a := range alarms {
		if !a.Parse.Clean || a.Intake.Source != alarm.SyslogTCP {
			t.Errorf("alarm %d: %+v %v", i, a.Parse, a.Intake)
		}
	}
	if msg, _ := alarms[1].Get("message"); msg != "first\nsecond" {
		t.Errorf("a line feed behind an octet count: %q", msg)
	}
}

func TestLyingCountLosesNothing(t *testing.T) {
	s := newSink()
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0"})
	conn := dial(t, server.TCPAddr())
	good := fmt.Sprintf("%d %s", len(cefLine), cefLine)
	send(t, conn, fmt.Sprintf("%d %s", len(cefLine)+7, cefLine)+good+ // too great: it ends within the next
		good+fmt.Sprintf("%d %s", len(cefLine)-7, cefLine)+good+ // too small
		good+"99999999 "+cefLine+good+good)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	odd := 0
	for i, a := range s.wait(t, 9) {
		if v, ok := a.Get("destination.ip"); !ok || a.Parse.Format != alarm.CEF {
			t.Errorf("alarm %d: %v %+v %q", i, v, a.Parse, a.Raw)
		}
		if !a.Parse.Clean {
			odd++
		}
	}
	if odd != 6 {
		t.Errorf("%d alarms have a warning, expected the three with the lie and those behind them", odd)
	}
}

func TestLongLineIsCutAndConnectionKept(t *testing.T) {
	s := newSink()
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0", MaxMessage: 1 << 10})
	conn := dial(t, server.TCPAddr())
	long := cefLine + " msg=" + strings.Repeat("x", 1<<20)
	send(t, conn, long+"\n"+cefLine+"\n"+fmt.Sprintf("%d %s%d %s", len(long), long, len(cefLine), cefLine))
	alarms := s.wait(t, 4)
	for i, a := range alarms {
		if cut := i%2 == 0; cut != (len(a.Raw) == 1<<10) || a.Parse.Clean == cut {
			t.Errorf("alarm %d: %d bytes, %q", i, len(a.Raw), a.Parse.Warnings)
		}
	}
	if n := server.Counters().Cut.Load(); n != 2 {
		t.Errorf("%d messages counted as cut", n)
	}
}

func TestSlowSenderIsEnded(t *testing.T) {
	s := newSink()
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0", FrameTimeout: 50 * time.Millisecond})
	conn := dial(t, server.TCPAddr())
	send(t, conn, cefLine) // and never its end
	alarms := s.wait(t, 1)
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection was not closed: %v", err)
	}
	if alarms[0].Parse.Format != alarm.CEF || server.Counters().Timeouts.Load() != 1 {
		t.Errorf("the unfinished message was lost: %+v", alarms[0].Parse)
	}
}

func TestTooManyConnections(t *testing.T) {
	s := newSink()
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0", MaxConns: 1})
	first := dial(t, server.TCPAddr())
	send(t, first, cefLine+"\n")
	s.wait(t, 1)
	second := dial(t, server.TCPAddr())
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("the second connection was not closed")
	}
	send(t, first, cefLine+"\n")
	s.wait(t, 2)
	if n := server.Counters().Refused.Load(); n != 1 {
		t.Errorf("%d connections counted as refused", n)
	}
}

func TestFiveHundredConnections(t *testing.T) {
	const conns, each = 500, 20
	s := newSink()
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0"})
	var group sync.WaitGroup
	for range conns {
		conn := dial(t, server.TCPAddr())
		group.Go(func() {
			for range each {
				if _, err := fmt.Fprintf(conn, "%d %s", len(cefLine), cefLine); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for _, a := range s.wait(t, conns*each) {
		if !a.Parse.Clean {
			t.Fatalf("%+v", a.Parse)
		}
	}
}

func TestBackPressure(t *testing.T) {
	s := newSink()
	s.set(true)
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0"})
	conn := dial(t, server.TCPAddr()).(*net.TCPConn)
	// Write until the sender is stuck: neither side's kernel takes more. The shut sink was asked for one alarm only.
	line := cefLine + " msg=" + strings.Repeat("x", 10_000) + "\n"
	sent, stuck := 0, 0
	for stuck < 3 {
		if err := conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := io.WriteString(conn, line[sent%len(line):])
		sent += n
		if stuck++; n > 0 && err == nil {
			stuck = 0
		}
		if sent > 256<<20 {
			t.Fatal("the server reads on though its sink is full")
		}
	}
	if waiting := server.Counters().Waiting.Load(); waiting != 1 {
		t.Errorf("%d alarms wait in memory", waiting)
	}
	s.set(false)
	if err := conn.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	send(t, conn, line[sent%len(line):])
	alarms := s.wait(t, sent/len(line)+1)
	for i, a := range alarms {
		if !a.Parse.Clean || len(a.Raw) != len(line)-1 {
			t.Fatalf("alarm %d of %d: %d bytes, %+v", i, len(alarms), len(a.Raw), a.Parse)
		}
	}
}

func TestCloseSettlesWhatArrived(t *testing.T) {
	s := newSink()
	s.set(true)
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0"})
	stream, packets := dial(t, server.TCPAddr()), dial(t, server.UDPAddr())
	send(t, stream, strings.Repeat(cefLine+"\n", 10))
	for range 10 {
		send(t, packets, cefLine)
	}
	s.until(t, func() bool { return s.asked == 2 })
	closed := make(chan struct{})
	go func() { shutDown(t, server); close(closed) }()
	s.set(false)
	<-closed
	if n := len(s.wait(t, 20)); n != 20 || server.Counters().Stored.Load() != 20 {
		t.Errorf("%d alarms", n)
	}
}

func TestCloseGivesUp(t *testing.T) {
	s := newSink()
	s.set(true)
	server := listen(t, s, syslog.Options{TCP: "127.0.0.1:0"})
	send(t, dial(t, server.TCPAddr()), cefLine+"\n")
	s.until(t, func() bool { return s.asked == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := server.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 alarms not settled") {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	certificate, pool := selfSigned(t)
	s := newSink()
	server := listen(t, s, syslog.Options{TLS: "127.0.0.1:0", TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}})
	conn, err := tls.Dial("tcp", server.TLSAddr().String(), &tls.Config{RootCAs: pool, ServerName: "siem.corp.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, fmt.Sprintf("%d %s", len(cefLine), cefLine))
	if a := s.wait(t, 1)[0]; a.Intake.Source != alarm.SyslogTLS || !a.Parse.Clean {
		t.Errorf("%v %+v", a.Intake, a.Parse)
	}
	plain := dial(t, server.TLSAddr())
	send(t, plain, cefLine+"\n")
	if _, err := io.ReadAll(plain); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if n := server.Counters().Messages.Load(); n != 1 {
		t.Errorf("%d messages: plain text was taken on the TLS port", n)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"siem.corp.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestListenFailsWhole(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := syslog.Listen(syslog.Options{UDP: "127.0.0.1:0", TCP: taken.Addr().String(), Sink: newSink()}); err == nil {
		t.Error("listening on a taken port succeeded")
	}
	if _, err := syslog.Listen(syslog.Options{TLS: "127.0.0.1:0", Sink: newSink()}); err == nil {
		t.Error("listening on TLS without a certificate succeeded")
	}
}
