package host

import (
	"bytes"
	"testing"

	"github.com/riposte-soar/riposte/host/strict"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// FuzzPlainOutput: what is taken for a plain output is what a reader finds, and nothing else is there.
func FuzzPlainOutput(f *testing.F) {
	for text, plain := range map[string]bool{
		`{"output":1}`: true, `{"output":null}`: true, `{"output":{"a": [1, "}"]}}`: true, `{"output":"a\nb"}`: true, "{\"output\":\"\xff\"}": true,
		``: false, `{"output":`: false, `{"output":}`: false, `{"output":1}}`: false, `{"output":1} `: false, `{"output": 1}`: false, `{"output":1 }`: false, `{"output":01}`: false,
		`{"output":1,"output":2}`: false, `{"output":1,"fault":{"kind":"failed","message":"m"}}`: false, `{"output":1,"stack":["a"]}`: false, `{"Output":1}`: false,
		`{"fault":{"kind":"failed","message":"m"}}`: false, `{"output":"` + string(bytes.Repeat([]byte("a"), 16<<10)) + `"}`: false,
	} {
		if got := plainOutput([]byte(text)) != nil; got != plain {
			f.Errorf("%.100s: %v", text, got)
		}
		f.Add([]byte(text))
	}
	var reader strict.Reader
	f.Fuzz(func(t *testing.T, text []byte) {
		got := plainOutput(text)
		if got == nil {
			return
		}
		var want abi.Result
		if err := reader.Read(text, &want); err != nil || !bytes.Equal(got, want.Output) || want.Fault != nil || want.Stack != nil {
			t.Errorf("%s: a reader finds %+v, %v", text, want, err)
		}
	})
}
