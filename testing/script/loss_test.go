package script_test

import (
	"context"
	"encoding/json"
	"flag"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/testing/lab/sink"
)

// alarms is how many alarms TestNothingIsLost sends.
var alarms = flag.Int("alarms", 5000, "alarms that TestNothingIsLost sends")

// TestNothingIsLost sends alarms over several connections at once through a runbook that tells each to a receiver: each arrives once, as it was,
// under a key of its own.
func TestNothingIsLost(t *testing.T) {
	receiver, err := sink.Start(sink.Options{Keep: 2 * *alarms})
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	s := &story{dir: t.TempDir()}
	writeFiles(t, filepath.Join(s.dir, "content"), toldContent(receiver.URL(), "{}"))
	s.start(t)
	defer func() { s.server.kill() }()

	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(*alarms)*5*time.Millisecond)
	defer cancel()
	began := time.Now()
	s.rain(ctx, t, *alarms)
	sent := time.Since(began)
	if err := receiver.Wait(ctx, *alarms); err != nil {
		t.Errorf("%d of %d alarms arrived: %v", receiver.Total(), *alarms, err)
	}
	took := time.Since(began)
	t.Logf("%d alarms sent in %s, told in %s: %.0f a second", *alarms, sent.Round(time.Millisecond), took.Round(time.Millisecond), float64(*alarms)/took.Seconds())
	if err := s.server.stop(); err != nil { // whatever still runs ends here, so that what came twice has come
		t.Error(err)
	}
	checkOnce(t, receiver.Requests(), *alarms)
}

// rain sends alarms 0 to n-1: half over four syslog connections, half over HTTP by four senders.
func (s *story) rain(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	const ways = 8
	var wait sync.WaitGroup
	for way := range ways {
		wait.Go(func() {
			if way%2 == 0 {
				var messages []string
				for i := way; i < n; i += ways {
					messages = append(messages, numbered(i).cef())
				}
				if err := sendTCP(s.server.tcp, messages); err != nil {
					t.Error(err)
				}
				return
			}
			for i := way; i < n; {
				var body []byte
				count := 0
				for ; i < n && count < 50; i += ways {
					body = append(append(body, numbered(i).json()...), '\n')
					count++
				}
				var done api.Accepted
				if _, err := s.server.call(ctx, "POST", "/api/v1/alarms", body, &done); err != nil || done.Accepted != count {
					t.Errorf("%d of %d alarms were accepted: %v", done.Accepted, count, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// checkOnce finds what is missing, what came twice, what was mixed up.
func checkOnce(t *testing.T, requests []sink.Request, n int) {
	t.Helper()
	seen, keys := make(map[int]bool, n), make(map[string]string, n)
	for _, r := range requests {
		var a told
		if err := json.Unmarshal([]byte(r.Body), &a); err != nil {
			t.Fatalf("%s: %v", r.Body, err)
		}
		i, whole := a.number()
		if !whole || i < 0 || i >= n {
			t.Errorf("mixed up: %s", r.Body)
		}
		if seen[i] {
			t.Errorf("%s came twice", a.ID)
		}
		if other, known := keys[r.Key]; known || r.Key == "" {
			t.Errorf("the key %q of %s is that of %s", r.Key, a.ID, other)
		}
		seen[i], keys[r.Key] = true, a.ID
	}
	if len(seen) != n {
		t.Errorf("%d of %d alarms were told", len(seen), n)
	}
}
