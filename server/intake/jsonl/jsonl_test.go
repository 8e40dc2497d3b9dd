package jsonl

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/server/alarm"
)

var now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func TestSplitKeepsTextAndLines(t *testing.T) {
	documents, fault := Split([]byte("\ufeff{\"a\": 1}\r\n\r\n [1,\n2] \"x\"\n{}"), 10)
	if fault != nil {
		t.Fatal(fault)
	}
	var got []string
	for _, d := range documents {
		got = append(got, d.Where+" "+string(d.Text))
	}
	if want := "line 1 {\"a\": 1}|line 3 [1,\n2]|line 4 \"x\"|line 5 {}"; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
}

// FuzzParse: what is taken leniently or strictly is valid JSON without a name twice at the top, and strictness only refuses more.
func FuzzParse(f *testing.F) {
	f.Add(`{"source":{"ip":"10.0.0.5"},"a":[{"b":[[1]]}],"severity":{"score":1e2},"ext":{"labels":{"a":"b"}}}`)
	f.Add(`{"a":1,"a":2}`)
	f.Add(`{"event.id":"a","uid":"b","received":"x","tags":["a",null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		lenient := Parse(text, false, alarm.NewBuilder(now, alarm.Intake{}, text))
		strict := Parse(text, true, alarm.NewBuilder(now, alarm.Intake{}, text))
		if lenient != nil && strict == nil {
			t.Fatalf("only the strict reading takes it: %v", lenient)
		}
		if valid := json.Valid([]byte(text)); lenient == nil && !valid {
			t.Fatal("broken JSON was taken")
		}
		if lenient != nil && (lenient.Where == "" || !strings.Contains(lenient.Message, "line ")) {
			t.Fatalf("a fault without a place: %v", lenient)
		}
	})
}
