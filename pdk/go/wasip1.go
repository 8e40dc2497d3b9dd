//go:build wasip1

package pdk

import (
	"runtime"
	"unsafe"
)

// The imports of a guest. The linker keeps those that the plugin's code can reach, and no others.

//go:wasmimport extism:host/env input_offset
func inputOffset() uint64

//go:wasmimport extism:host/env length
func length(handle uint64) uint64

//go:wasmimport extism:host/env free
func free(handle uint64)

//go:wasmimport extism:host/env output_set
func outputSet(handle, length uint64)

//go:wasmimport riposte:mem/v1 read
func memRead(handle uint64, to unsafe.Pointer)

//go:wasmimport riposte:mem/v1 write
func memWrite(from unsafe.Pointer, length uint32) uint64

//go:wasmimport riposte:http/v1 fetch
func httpFetch(request uint64) uint64

//go:wasmimport riposte:dns/v1 resolve
func dnsResolve(request uint64) uint64

//go:wasmimport riposte:tcp/v1 exchange
func tcpExchange(request uint64) uint64

//go:wasmimport riposte:sql/v1 query
func sqlQuery(request uint64) uint64

//go:wasmimport riposte:mail/v1 send
func mailSend(request uint64) uint64

//go:wasmimport riposte:kv/v1 get
func kvGet(request uint64) uint64

//go:wasmimport riposte:kv/v1 put
func kvPut(request uint64) uint64

//go:wasmimport riposte:kv/v1 delete
func kvDelete(request uint64) uint64

//go:wasmimport riposte:log/v1 write
func logWrite(request uint64) uint64

//go:wasmimport riposte:emit/v1 artifact
func emitArtifact(request uint64) uint64

//go:wasmimport riposte:emit/v1 evidence
func emitEvidence(request uint64) uint64

//go:wasmimport riposte:emit/v1 finding
func emitFinding(request uint64) uint64

// warming is on while the host rehearses the actions; see abi.WarmExport.
var warming bool

//go:wasmexport riposte_warm
func warm() {
	if warming = !warming; warming {
		runtime.GC() // what the start of the program has left
		return
	}
	// A page for objects of each size is at hand now, with pointers and without, so that no call has to get one first.
	for size := 8; size <= 1024; size += 8 {
		plain, pointers = make([]byte, size), make([]*byte, size/8)
	}
	plain, pointers = nil, nil
}

var (
	plain    []byte
	pointers []*byte
)

// pad has room for what an ordinary call reads and writes: that it is a part of the image spares an allocation for each.
var (
	pad    [16 << 10]byte
	padded int // bytes of it that are in use
)

// buffer gives an empty slice with room for so many bytes.
func buffer(size int) []byte {
	if size > len(pad)-padded {
		return make([]byte, 0, size)
	}
	padded += size
	return pad[padded-size : padded-size : padded]
}

func input() []byte { return take(inputOffset()) }

func output(result []byte) int32 {
	outputSet(give(result), uint64(len(result)))
	return 0
}

func exchange(through door, request []byte) []byte {
	handle := give(request)
	reply := through(handle)
	free(handle)
	return take(reply)
}

// give copies b into a block of the host.
func give(b []byte) uint64 {
	handle := memWrite(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	runtime.KeepAlive(b)
	return handle
}

// take copies a block out of the host and frees it.
func take(handle uint64) []byte {
	size := int(length(handle))
	if size == 0 {
		return nil
	}
	b := buffer(size)[:size]
	memRead(handle, unsafe.Pointer(unsafe.SliceData(b)))
	free(handle)
	return b
}
