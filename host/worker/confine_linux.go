//go:build linux && (amd64 || arm64)

package worker

import (
	"fmt"
	"math"
	"os"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attributes of a process that dies with its parent and hears no signal from a terminal. That no descriptor but the pipes comes with it is seen to
// here too: what this program opens is closed when another is executed, but not what it was itself started with.
func attributes() *syscall.SysProcAttr {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // fails before Linux 5.11; then there is what there is
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
}

// confine makes the bounds hold, and gives up what no worker needs.
func confine(b Bounds) error {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // where memory ends, workers are the first to go
	limits := map[int]uint64{
		unix.RLIMIT_DATA: uint64(b.Memory), unix.RLIMIT_NOFILE: files, unix.RLIMIT_FSIZE: fileBytes, unix.RLIMIT_CORE: 0, unix.RLIMIT_MEMLOCK: 0, unix.RLIMIT_MSGQUEUE: 0}
	if b.CPU > 0 {
		limits[unix.RLIMIT_CPU] = uint64((b.CPU + time.Second - 1) / time.Second)
	}
	for which, n := range limits {
		if err := unix.Setrlimit(which, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("worker: limit %d: %w", which, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("worker: no_new_privs: %w", err)
	}
	return install(slices.Concat(computing, caching, own), false)
}

// Confinable says why this system cannot confine workers; no worker starts then. It changes nothing.
func Confinable() error {
	// Without a filter the call fails whatever happens: EFAULT says that the kernel would have read one (seccomp(2), notes).
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, 0)
	if errno == unix.EFAULT {
		return nil
	}
	return fmt.Errorf("worker: this system has no filters of system calls: seccomp: %w", errno)
}

// Seal gives up files and new native code: what the process has mapped and opened is all that it will have. It cannot be taken back. Where
// the system has no such thing it does nothing.
func Seal() error { return install(slices.Concat(computing, own), true) }

// computing are the system calls of a Go program that computes: memory, threads, signals, clocks, and what is open.
var computing = []uintptr{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_LSEEK, unix.SYS_FCNTL, unix.SYS_FTRUNCATE,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MEMFD_CREATE,
	unix.SYS_CLONE, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_FUTEX, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETPID, unix.SYS_GETTID,
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, // of the threads of a C library
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL, unix.SYS_TGKILL,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_GETRANDOM,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2,
}

// caching are those that a cache of files needs, and Seal.
var caching = []uintptr{
	unix.SYS_SECCOMP,
	unix.SYS_OPENAT, unix.SYS_MKDIRAT, unix.SYS_RENAMEAT, unix.SYS_UNLINKAT, unix.SYS_FACCESSAT, unix.SYS_FCHMODAT, unix.SYS_FSYNC, unix.SYS_GETDENTS64,
}

// install makes the kernel answer EPERM to every system call that is not listed, in all threads and for good (seccomp(2)).
func install(allowed []uintptr, sealed bool) error {
	filter := program(allowed, sealed, uint32(os.Getpid()))
	code := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&code)))
	if errno != 0 || thread != 0 {
		return fmt.Errorf("worker: seccomp: %w (thread %d)", errno, thread)
	}
	return nil
}

// Where a filter finds things: struct seccomp_data of linux/seccomp.h. Arguments have 8 bytes each; their low halves come first here.
const (
	numberOffset = 0
	archOffset   = 4
	argOffset    = 16
)

// program writes the filter: a list of comparisons for classic BPF.
func program(allowed []uintptr, sealed bool, pid uint32) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	end := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	const refuse, allow = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM), unix.SECCOMP_RET_ALLOW
	f := []unix.SockFilter{
		load(archOffset), jump(unix.BPF_JEQ, architecture, 1, 0), end(unix.SECCOMP_RET_KILL_PROCESS),
		load(numberOffset),
	}
	// What C libraries make threads by has its flags in memory, where a filter does not look; without it they use the one before.
	f = append(f, jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), end(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)))
	for _, call := range allowed {
		switch {
		case call == unix.SYS_CLONE: // threads, not processes
			f = append(f, jump(unix.BPF_JEQ, uint32(call), 0, 4), load(argOffset), jump(unix.BPF_JSET, unix.CLONE_THREAD, 0, 1), end(allow), end(refuse))
		case call == unix.SYS_TGKILL: // its own threads
			f = append(f, jump(unix.BPF_JEQ, uint32(call), 0, 4), load(argOffset), jump(unix.BPF_JEQ, pid, 0, 1), end(allow), end(refuse))
		case sealed && (call == unix.SYS_MMAP || call == unix.SYS_MPROTECT): // no memory that can be executed
			f = append(f, jump(unix.BPF_JEQ, uint32(call), 0, 4), load(argOffset+2*8), jump(unix.BPF_JSET, unix.PROT_EXEC, 1, 0), end(allow), end(refuse))
		default:
			f = append(f, jump(unix.BPF_JEQ, uint32(call), 0, 1), end(allow))
		}
	}
	return append(f, end(refuse))
}
