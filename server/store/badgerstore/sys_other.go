//go:build !linux

package badgerstore

import (
	"errors"
	"math"
	"os"
)

// lockFile leaves the locking to the database, which has its own.
func lockFile(*os.File) error { return nil }

// freeSpace is not known here: the store is never read-only.
func freeSpace(string) (uint64, error) { return math.MaxUint64, nil }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }
