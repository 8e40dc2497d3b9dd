// Command plain is a guest that knows Extism only: it decodes its input, asks for a setting, and gives both back.
package main

import (
	"encoding/binary"
	"encoding/json"
)

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u64
func inputLoad64(offset uint64) uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoad8(offset uint64) uint32

//go:wasmimport extism:host/env length
func length(handle uint64) uint64

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env load_u8
func load8(offset uint64) uint32

//go:wasmimport extism:host/env store_u64
func store64(offset, value uint64)

//go:wasmimport extism:host/env store_u8
func store8(offset uint64, value uint32)

//go:wasmimport extism:host/env config_get
func configGet(name uint64) uint64

//go:wasmimport extism:host/env output_set
func outputSet(handle, length uint64)

func main() {}

//go:wasmexport run
func run() int32 {
	var in struct {
		Name string `json:"name"`
		List []int  `json:"list"`
	}
	if err := json.Unmarshal(input(), &in); err != nil {
		return 1
	}
	setting := configGet(give([]byte("greeting")))
	greeting := make([]byte, length(setting))
	for i := range greeting {
		greeting[i] = byte(load8(setting + uint64(i)))
	}
	out, err := json.Marshal(map[string]any{"said": string(greeting) + " " + in.Name, "list": in.List})
	if err != nil {
		return 1
	}
	outputSet(give(out), uint64(len(out)))
	return 0
}

func input() []byte {
	b := make([]byte, inputLength())
	i := 0
	for ; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], inputLoad64(uint64(i)))
	}
	for ; i < len(b); i++ {
		b[i] = byte(inputLoad8(uint64(i)))
	}
	return b
}

func give(b []byte) uint64 {
	handle := alloc(uint64(len(b)))
	i := 0
	for ; i+8 <= len(b); i += 8 {
		store64(handle+uint64(i), binary.LittleEndian.Uint64(b[i:]))
	}
	for ; i < len(b); i++ {
		store8(handle+uint64(i), uint32(b[i]))
	}
	return handle
}
