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

type document struct {
	Name string `json:"name"`
	List []int  `json:"list"`
}

// rehearsing is set while the image is made, by a host that does such a thing: then the types are shown to encoding/json, and nothing is read.
var rehearsing bool

//go:wasmexport riposte_warm
func warm() { rehearsing = !rehearsing }

//go:wasmexport run
func run() int32 {
	if rehearsing {
		_, err := answer([]byte(`{"name":"a name","list":[1]}`), func() string { return "a greeting" })
		return code(err)
	}
	out, err := answer(input(), greeting)
	if err == nil {
		outputSet(give(out), uint64(len(out)))
	}
	return code(err)
}

func code(err error) int32 {
	if err != nil {
		return 1
	}
	return 0
}

func answer(input []byte, greeting func() string) ([]byte, error) {
	var in document
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"said": greeting() + " " + in.Name, "list": in.List})
}

func greeting() string {
	setting := configGet(give([]byte("greeting")))
	b := make([]byte, length(setting))
	for i := range b {
		b[i] = byte(load8(setting + uint64(i)))
	}
	return string(b)
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
