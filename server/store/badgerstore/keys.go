package badgerstore

import (
	"encoding/binary"
)

// The first byte of a stored key tells what it is; so a caller's key may be anything, even empty.
const (
	userSpace   = 'k' // the caller's keys
	chunkSpace  = 'c' // chunkSpace, id of a large value, number of the chunk: its bytes
	largeSpace  = 'l' // largeSpace, id: the caller's key that has the large value; empty if none (yet, or any more)
	commitSpace = 'r' // commitSpace, number of the commit modulo window: its number and chain head
	floorSpace  = 'f' // the number of the last commit before which losses have been accepted
)

// idSize is the length of a largeID.
const idSize = 16

// largeID names one large value; it is random and never used again.
type largeID string

func userKey(key []byte) []byte {
	return append(append(make([]byte, 0, 1+len(key)), userSpace), key...)
}

func recordKey(id largeID) []byte { return append([]byte{largeSpace}, id...) }

func chunkPrefix(id largeID) []byte { return append([]byte{chunkSpace}, id...) }

func chunkKey(id largeID, n int) []byte {
	return binary.BigEndian.AppendUint32(chunkPrefix(id), uint32(n))
}
