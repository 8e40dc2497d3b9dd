package syslog

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// frames cuts a whole stream.
func frames(t testing.TB, r io.Reader, most int) []frame {
	t.Helper()
	f := newFramer(most)
	var all []frame
	for {
		_, err := f.fill(r)
		for {
			out, ok := f.next(err != nil)
			if !ok {
				break
			}
			all = append(all, frame{data: bytes.Clone(out.data), note: out.note})
		}
		if cap(f.buf) > 2*most+firstRead {
			t.Fatalf("the buffer grew to %d", cap(f.buf))
		}
		if err != nil {
			return all
		}
	}
}

func counted(messages ...string) string {
	var b strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&b, "%d %s", len(m), m)
	}
	return b.String()
}

func TestFraming(t *testing.T) {
	const long = "<1>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" // 78 bytes; the limit here is 64
	cut, lied := "cut at 64 bytes", "recovered behind an octet count that lied"
	tests := []struct {
		name, stream string
		want         []frame
	}{
		{"lines", "<1>a\n<2>b\r\n\n\x00<3>c\x00<4>d", []frame{{[]byte("<1>a"), ""}, {[]byte("<2>b\r"), ""}, {[]byte("<3>c"), ""}, {[]byte("<4>d"), ""}}},
		{"counts", counted("<1>a\nb", "<2>c"), []frame{{[]byte("<1>a\nb"), ""}, {[]byte("<2>c"), ""}}},
		{"counts with line feeds between", "4 <1>a\n4 <2>b\n", []frame{{[]byte("<1>a"), ""}, {[]byte("<2>b"), ""}}},
		{"mixed", counted("<1>a") + "<2>b\n" + counted("CEF:0|x"), []frame{{[]byte("<1>a"), ""}, {[]byte("<2>b"), ""}, {[]byte("CEF:0|x"), ""}}},
		{"a date is no count", "2026-11-21 text\n123456789 x\n", []frame{{[]byte("2026-11-21 text"), ""}, {[]byte("123456789 x"), ""}}},
		{"count too great", "9 <1>a" + counted("<2>b", "<3>c"), []frame{{[]byte("<1>a"), "the octet count 9 is wrong"}, {[]byte("<2>b"), lied}, {[]byte("<3>c"), ""}}},
		{"count too small", "4 <1>text" + counted("<2>b"), []frame{{[]byte("<1>text"), "the octet count 4 is wrong"}, {[]byte("<2>b"), lied}}},
		{"count too small, line feed", "4 <1>text\n<2>b\n", []frame{{[]byte("<1>text"), "the octet count 4 is wrong"}, {[]byte("<2>b"), lied}}},
		{"count beyond the end", "60 <1>a" + counted("<2>b"), []frame{{[]byte("<1>a"), "only 10 of 60 octets arrived"}, {[]byte("<2>b"), lied}}},
		{"count beyond the limit", "99999999 <1>a" + counted("<2>b", "<3>c"), []frame{{[]byte("<1>a"), "only 16 of 99999999 octets arrived"}, {[]byte("<2>b"), lied}, {[]byte("<3>c"), ""}}},
		{"digits before a count", "20 <1>port 443" + counted("<2>b", "<3>c"), []frame{{[]byte("<1>port 443"), "the octet count 20 is wrong"}, {[]byte("<2>b"), lied}, {[]byte("<3>c"), ""}}},
		{"rubbish between counts", counted("<1>a") + "rubbish" + counted("<2>b"), []frame{{[]byte("<1>arubbish"), "the octet count 4 is wrong"}, {[]byte("<2>b"), lied}}},
		{"long line", long + "\n<2>b\n", []frame{{[]byte(long[:64]), cut}, {[]byte("<2>b"), ""}}},
		{"long line without an end", long + long, []frame{{[]byte(long[:64]), cut}}},
		{"long count", counted(long, "<2>b"), []frame{{[]byte(long[:64]), "cut at 64 of 78 bytes"}, {[]byte("<2>b"), ""}}},
		{"cut by the end", "9 <1>a", []frame{{[]byte("<1>a"), "only 4 of 9 octets arrived"}}},
		{"only a count", "12", []frame{{[]byte("12"), ""}}},
		{"a count of nothing", "12 ", nil},
		{"nothing", "\r\n\x00 ", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := frames(t, strings.NewReader(test.stream), 64); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q", got)
			}
			if strings.Contains(fmt.Sprint(test.want), "octet") { // which shows later, byte for byte
				return
			}
			if got := frames(t, iotest.OneByteReader(strings.NewReader(test.stream)), 64); !reflect.DeepEqual(got, test.want) {
				t.Errorf("byte for byte: %q", got)
			}
		})
	}
}

func TestPackets(t *testing.T) {
	const odd = "not the first message of its datagram"
	tests := []struct {
		data string
		want []frame
	}{
		{"<1>a", []frame{{[]byte("<1>a"), ""}}},
		{"<1>a\nb\n", []frame{{[]byte("<1>a\nb"), ""}}},
		{"<1>a\n<2>b\x00CEF:0|c\n\n", []frame{{[]byte("<1>a"), ""}, {[]byte("<2>b"), odd}, {[]byte("CEF:0|c"), odd}}},
		{counted("<1>a\n<2>b", "<3>c"), []frame{{[]byte("<1>a\n<2>b"), ""}, {[]byte("<3>c"), odd}}},
		{"\n\x00 ", nil},
		{"12 x", []frame{{[]byte("12 x"), ""}}},
	}
	for _, test := range tests {
		var got []frame
		packet([]byte(test.data), func(f frame) { got = append(got, f) })
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %q", test.data, got)
		}
	}
}

// FuzzFramer: every stream ends, no message is longer than the limit, and no byte is given out twice.
func FuzzFramer(f *testing.F) {
	f.Add([]byte("<1>a\n4 <2>b9 <1>a4 <2>c"), uint8(16))
	f.Add([]byte("99999999 <1>4 <2>b\x00CEF:0|\n"), uint8(4))
	f.Add([]byte("12 12 <1>12 <1>12 12"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, most uint8) {
		limit := int(most) + 1
		for _, r := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
			total := 0
			for _, out := range frames(t, r, limit) {
				total += len(out.data)
				if len(out.data) == 0 || len(out.data) > limit {
					t.Fatalf("a message of %d bytes, the limit is %d", len(out.data), limit)
				}
			}
			if total > len(stream) {
				t.Fatalf("%d bytes of %d", total, len(stream))
			}
		}
		packet(stream, func(out frame) {
			if len(out.data) == 0 {
				t.Fatal("an empty message")
			}
		})
	})
}

// FuzzHonestSender: whatever the messages hold, honest counts keep them apart.
func FuzzHonestSender(f *testing.F) {
	f.Add("<1>a\n9 <2>b", "<3>c")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a, b = "<1>"+a, "<2>"+b; len(a) > 1<<16 || len(b) > 1<<16 {
			return
		}
		want := []frame{{[]byte(a), ""}, {[]byte(b), ""}}
		if got := frames(t, strings.NewReader(counted(a, b)), 1<<17); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q", got)
		}
	})
}

func BenchmarkFraming(b *testing.B) {
	message := "<134>Nov 21 09:58:00 siem CEF:0|V|P|1|id|n|5|" + strings.Repeat("k=value ", 27)
	for name, stream := range map[string]string{"counts": strings.Repeat(counted(message), 1000), "lines": strings.Repeat(message+"\n", 1000)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(stream)))
			r := strings.NewReader("")
			for b.Loop() {
				r.Reset(stream)
				f := newFramer(256 << 10)
				n := 0
				for {
					_, err := f.fill(r)
					for {
						if _, ok := f.next(err != nil); !ok {
							break
						}
						n++
					}
					if err != nil {
						break
					}
				}
				if n != 1000 {
					b.Fatalf("%d messages", n)
				}
			}
		})
	}
}
