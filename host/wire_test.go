package host

import (
	"encoding/json"
	"testing"

	"github.com/riposte-soar/riposte/host/worker"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// FuzzWorkerSays: whatever a worker says, it is an ending or a module within its bounds, or an error.
func FuzzWorkerSays(f *testing.F) {
	e := ending{output: []byte(`{"n":1}`), said: []abi.LogEntry{{Level: "error", Message: "oh", Fields: map[string]any{"stream": "stderr"}}}, stack: []string{"main.main()"}, fuel: 9}
	for _, fault := range []*abi.Fault{nil, abi.NewFault(abi.Trap, "it crashed", "")} {
		e.fault = fault
		frame, err := e.frame(1)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame.Head, frame.Body)
	}
	f.Add([]byte(`{"code":2}`), []byte("abc"))
	f.Add([]byte(`{"faults":[{"kind":"invalid","message":"no"},{}]}`), []byte(nil))
	f.Add([]byte(`{"code":-1,"fuel":-1,"said":[{}],"stack":[""],"fault":{"retry_after":-1}}`), []byte("0"))
	f.Fuzz(func(t *testing.T, head, body []byte) {
		if e, err := endingOf(worker.Frame{Kind: frameEnded, Head: head, Body: body}); err == nil {
			if (e.fault == nil) != json.Valid(e.output) || e.fuel < 0 || e.memory < 0 || e.setup < 0 || len(e.stack) > maxStack || len(e.said) > speechLines {
				t.Errorf("the ending is %+v", e)
			}
		}
		if m, err := made(worker.Frame{Kind: frameDone, Head: head, Body: body}); err == nil && len(m.code)+len(m.image) != len(body) {
			t.Errorf("of %d bytes %d are code and %d image", len(body), len(m.code), len(m.image))
		}
	})
}
