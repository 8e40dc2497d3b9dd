package journal

import (
	"encoding/json"
	"testing"
	"time"
)

// What is stored is what json.Marshal gives, in fewer steps.
func TestFactsAreStoredAsJSON(t *testing.T) {
	for _, f := range []Fact{
		{},
		{Seq: 1, Time: time.Unix(1, 5).UTC(), Kind: "incident.opened", Incident: "INC-000001"},
		{Seq: 2, Kind: "k", Incident: "i", Run: "r", Step: `s<">`, By: "b", Data: json.RawMessage(`{"a":["\u003c",null]}`)},
	} {
		want, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		ops, err := FactOps([]Fact{f})
		if err != nil || string(ops[0].Value) != string(want) {
			t.Errorf("stored %s, want %s: %v", ops[0].Value, want, err)
		}
	}
}
