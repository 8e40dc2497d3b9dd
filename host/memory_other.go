//go:build !linux

package host

import (
	"errors"
	"os"
)

// Other systems compare and copy the memory; see limitedMemory.

type sharedPages struct{ content []byte }

func sharePages(*os.File, int) (*sharedPages, error) { return nil, errors.ErrUnsupported }

func (*sharedPages) private(int) (*privatePages, error) { return nil, errors.ErrUnsupported }

func (*sharedPages) release() error { return nil }

type privatePages struct{ content []byte }

func privateRoom(int) (*privatePages, error) { return nil, errors.ErrUnsupported }

func mapBytes(int) []byte { return nil }

func unmapBytes([]byte) {}

func (*privatePages) release() {}

func (*privatePages) held() int { return 0 }

func (*privatePages) restore(int) error { return errors.ErrUnsupported }
