package intake_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
	"github.com/riposte-soar/riposte/server/intake"
)

var (
	update = flag.Bool("update", false, "write the alarms of testdata anew; read the difference before you keep it")
	now    = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	from   = alarm.Intake{Source: alarm.SyslogTCP, Peer: "192.0.2.1"}
)

// TestGolden holds each message of testdata to its alarm. A file is a remark, the section "message" (or "quoted": the message as a
// Go string), and the section "alarm": the document without uid, received, intake, and without raw if that is the message.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, want, _ := strings.Cut(string(text), "\n-- alarm --\n")
	head = strings.TrimSuffix(head, "\n")
	_, message, plain := strings.Cut(head, "\n-- message --\n")
	if !plain {
		_, message, _ = strings.Cut(head, "\n-- quoted --\n")
		if message, err = strconv.Unquote(message); err != nil {
			t.Fatal(err)
		}
	}
	a := intake.Decode(now, from, []byte(message))
	got := document(t, a, message)
	if *update {
		want = string(got)
		if err := os.WriteFile(file, []byte(head+"\n-- alarm --\n"+want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want != string(got) {
		t.Errorf("got\n%s\nexpected\n%s", got, want)
	}
	// What is stored and read again is the same, and so is what is decoded again.
	var stored alarm.Alarm
	if text, err := json.Marshal(a); err != nil || json.Unmarshal(text, &stored) != nil {
		t.Fatal("the alarm cannot be stored", err)
	}
	if again := document(t, &stored, message); !bytes.Equal(again, got) {
		t.Errorf("stored and read again:\n%s", again)
	}
	if again := document(t, intake.Redecode(now, &stored), message); !bytes.Equal(again, got) && !strings.Contains(string(got), "UTF-8") {
		t.Errorf("decoded again:\n%s", again)
	}
}

func document(t *testing.T, a *alarm.Alarm, message string) []byte {
	t.Helper()
	doc := a.Doc()
	delete(doc, "uid")
	delete(doc, "received")
	delete(doc, "intake")
	if a.Raw == message {
		delete(doc, "raw")
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}
