//go:build !wasip1

package pdk

// Outside of a sandbox there is no host: Run gets no input and answers nothing. Unit tests call the handlers through Try.

// warming is never on: nothing outlives a call here.
const warming = false

func input() []byte                { return nil }
func output([]byte) int32          { return 1 }
func exchange(door, []byte) []byte { return nil }

// buffer gives an empty slice with room for so many bytes.
func buffer(size int) []byte { return make([]byte, 0, size) }

func httpFetch(uint64) uint64    { return 0 }
func dnsResolve(uint64) uint64   { return 0 }
func tcpExchange(uint64) uint64  { return 0 }
func sqlQuery(uint64) uint64     { return 0 }
func mailSend(uint64) uint64     { return 0 }
func kvGet(uint64) uint64        { return 0 }
func kvPut(uint64) uint64        { return 0 }
func kvDelete(uint64) uint64     { return 0 }
func logWrite(uint64) uint64     { return 0 }
func emitArtifact(uint64) uint64 { return 0 }
func emitEvidence(uint64) uint64 { return 0 }
func emitFinding(uint64) uint64  { return 0 }
