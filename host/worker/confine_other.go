//go:build !linux || !(amd64 || arm64)

package worker

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }

// confine has nothing to hold on to here.
func confine(Bounds) error { return nil }

// Confinable is nil: without a way to confine them workers are processes and no more.
func Confinable() error { return nil }

// Seal gives up files and new native code, where the system can do that; here it cannot.
func Seal() error { return nil }
