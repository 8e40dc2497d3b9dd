// Command trial is a guest with one action for each way to behave.
package main

import (
	"encoding/json"

	pdk "github.com/riposte-soar/riposte/pdk/go"
)

func main() {}

//go:wasmexport echo
func echo() int32 {
	return pdk.Run(func(_ *pdk.Call, p json.RawMessage) (json.RawMessage, error) { return p, nil })
}
