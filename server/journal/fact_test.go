package journal

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// What is stored is what encoding/json gives without escaping HTML, some facts under each key.
func TestFactsAreStoredAsJSON(t *testing.T) {
	long := strings.Repeat("x", maxTogether/3)
	facts := []Fact{
		{Seq: 1, Time: time.Unix(1, 5).UTC(), Kind: "incident.opened", Incident: "INC-000001"},
		{Seq: 2, Kind: "k", Incident: "INC-000001", Run: "r", Step: `s<">`, By: "b", Data: json.RawMessage(`{"a":["\u003c",null]}`)},
		{Seq: 3, Incident: "INC-000001", By: long},
		{Seq: 4, Incident: "INC-000001", By: long},
		{Seq: 5, Incident: "INC-000001", By: long + long + long + long},
		{Seq: 6, Incident: "INC-000001"},
		{Seq: 7, Incident: "INC-000001"},
	}
	ops, err := FactOps(facts)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, op := range ops {
		var list []Fact
		if err := json.Unmarshal(op.Value, &list); err != nil || len(list) == 0 {
			t.Fatalf("%s: %v", op.Value, err)
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(facts[at : at+len(list)]); err != nil || want.String() != string(op.Value)+"\n" {
			t.Errorf("stored %.1000s, want %.1000s: %v", op.Value, want.String(), err)
		}
		if at += len(list); string(op.Key) != string(FactKey("INC-000001", uint64(at))) {
			t.Errorf("the key of facts up to %d is %q", at, op.Key)
		}
	}
	if at != len(facts) || len(ops) != 2 {
		t.Errorf("%d facts under %d keys", at, len(ops))
	}
}
