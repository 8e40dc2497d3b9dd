package worker

import "golang.org/x/sys/unix"

// architecture is what the kernel calls this processor, for the filter of system calls.
const architecture = unix.AUDIT_ARCH_X86_64

// own are the system calls that a Go program makes on this processor only, or under another name.
var own = []uintptr{unix.SYS_ARCH_PRCTL, unix.SYS_NEWFSTATAT}
