package main

import (
	"encoding/json"
	"testing"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

func TestQuery(t *testing.T) {
	var asked abi.SQLRequest
	answer := abi.SQLResponse{Columns: []string{"host", "owner"}, Rows: []map[string]any{{"host": "ws-1", "owner": "it@corp.test"}}, Truncated: true}
	stub := func(fn string, raw []byte) abi.Reply {
		if err := json.Unmarshal(raw, &asked); err != nil || fn != "sql.query" {
			t.Error(fn, err)
		}
		return pdk.Value(answer)
	}
	got, fault := pdk.Try(query, nil, params{Statement: "asset-by-ip", Params: map[string]any{"ip": "10.0.0.1"}}, stub)
	if fault != nil || got.Count != 1 || got.Rows[0]["owner"] != "it@corp.test" || len(got.Columns) != 2 || !got.Truncated {
		t.Errorf("got %+v %v", got, fault)
	}
	if asked.Capability != "database" || asked.Statement != "asset-by-ip" || asked.Params["ip"] != "10.0.0.1" {
		t.Errorf("asked %+v", asked)
	}
	answer = abi.SQLResponse{}
	if got, fault = pdk.Try(query, nil, params{Statement: "none"}, stub); fault != nil || got.Rows == nil || got.Columns == nil {
		t.Errorf("an empty answer must stay a list: %+v %v", got, fault)
	}
}

func TestFaults(t *testing.T) {
	want := abi.Fault{Kind: abi.Refused, Message: `statement "drop" is not granted`}
	_, fault := pdk.Try(query, nil, params{Statement: "drop"}, func(string, []byte) abi.Reply { return abi.Reply{Fault: &want} })
	if fault == nil || *fault != want {
		t.Errorf("got %v", fault)
	}
	if _, fault := pdk.Try(query, nil, params{}, nil); fault == nil || fault.Kind != abi.Invalid {
		t.Errorf("got %v", fault)
	}
}
