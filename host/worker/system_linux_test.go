package worker_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/riposte-soar/riposte/host/worker"
)

// systemTrials are what a worker must not be able to do on Linux, and what it must.
func systemTrials() map[string]func() error {
	ignore := func(_ any, err error) error { return err }
	return map[string]func() error{
		"read a file":    func() error { return ignore(os.ReadFile("/etc/hostname")) },
		"write a file":   func() error { return os.WriteFile(filepath.Join(os.TempDir(), "worker-test"), nil, 0o600) },
		"remove a file":  func() error { return os.Remove(filepath.Join(os.TempDir(), "worker-test")) },
		"list files":     func() error { return ignore(os.ReadDir("/")) },
		"socket":         func() error { return ignore(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) },
		"unix socket":    func() error { return ignore(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) },
		"socketpair":     func() error { return ignore(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)) },
		"replace itself": func() error { return unix.Exec("/bin/true", []string{"true"}, nil) },
		"fork": func() error {
			_, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
			return errno
		},
		"kill its parent":  func() error { return unix.Kill(os.Getppid(), 0) },
		"signal another":   func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) },
		"trace its parent": func() error { return unix.PtraceSeize(os.Getppid()) },
		"read its parent": func() error {
			local, remote := make([]byte, 8), make([]byte, 8)
			return ignore(unix.ProcessVMReadv(os.Getppid(), []unix.Iovec{{Base: &local[0], Len: 8}}, []unix.RemoteIovec{{Base: 4096, Len: len(remote)}}, 0))
		},
		"raise a limit":   func() error { return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 64}) },
		"io_uring":        func() error { return system(unix.SYS_IO_URING_SETUP) },
		"bpf":             func() error { return system(unix.SYS_BPF) },
		"unshare":         func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"mount":           func() error { return unix.Mount("none", "/", "tmpfs", 0, "") },
		"keys":            func() error { return system(unix.SYS_ADD_KEY) },
		"map code":        func() error { return mapCode() },
		"threads":         func() error { return threads() },
		"privileges":      func() error { return privileges() },
		"ask for filters": func() error { return worker.Confinable() },
		"terminal stays":  func() error { return ignore(unix.IoctlGetTermios(0, unix.TCGETS)) },
	}
}

func system(number uintptr) error {
	_, _, errno := unix.Syscall(number, 0, 0, 0)
	return errno
}

func mapCode() error {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err == nil {
		return unix.Munmap(page)
	}
	return err
}

// threads makes some, each of which works a little and waits for the others.
func threads() error {
	done := make(chan int)
	for range 8 {
		go func() {
			runtime.LockOSThread()
			done <- len(make([]byte, 1<<20))
		}()
	}
	for range 8 {
		<-done
	}
	return nil
}

// privileges fails if a program that it executed could get more of them.
func privileges() error {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil && !strings.Contains(string(status), "NoNewPrivs:\t1\n") {
		err = fmt.Errorf("it could get new privileges: %s", status)
	}
	return err
}

// mustHoldPipesOnly looks at what a process has open: nothing but its pipes, and what the Go runtime opens for itself.
func mustHoldPipesOnly(t *testing.T, pid int) {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	list, err := os.ReadDir(folder)
	if err != nil || len(list) < 3 {
		t.Errorf("%d descriptors, %v", len(list), err)
	}
	for _, fd := range list {
		target, err := os.Readlink(filepath.Join(folder, fd.Name()))
		if err != nil || !strings.HasPrefix(target, "pipe:") && !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			t.Errorf("descriptor %s is %s, %v", fd.Name(), target, err)
		}
	}
}

// TestConfinable asks for filters of system calls where there are some, and in a worker that has given the call up, as on a system without it.
func TestConfinable(t *testing.T) {
	if err := worker.Confinable(); err != nil {
		t.Fatal(err)
	}
	p := start(t, worker.Bounds{})
	must(t, p, "ask for filters", "done")
	must(t, p, "seal", "done")
	must(t, p, "ask for filters", "worker: this system has no filters of system calls: seccomp: operation not permitted")
}

func TestAWorkerIsConfined(t *testing.T) {
	inherited, err := syscall.Open("/etc/hostname", syscall.O_RDONLY, 0) // without O_CLOEXEC, as if this process had been started with it
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	p := start(t, worker.Bounds{})
	const no = "operation not permitted"
	must(t, p, "echo", "done")
	mustHoldPipesOnly(t, p.ID())
	must(t, p, "privileges", "done")
	must(t, p, "write a file", "done")
	must(t, p, "remove a file", "done")
	must(t, p, "map code", "done")
	never := []string{"socket", "unix socket", "socketpair", "replace itself", "fork", "kill its parent", "signal another", "trace its parent", "read its parent",
		"raise a limit", "io_uring", "bpf", "unshare", "mount", "keys", "terminal stays"}
	for _, what := range never {
		must(t, p, what, no)
	}
	must(t, p, "seal", "done")
	for _, what := range never {
		must(t, p, what, no)
	}
	must(t, p, "read a file", "open /etc/hostname: "+no)
	must(t, p, "write a file", "open "+filepath.Join(os.TempDir(), "worker-test")+": "+no)
	must(t, p, "list files", "open /: "+no)
	must(t, p, "map code", no)
	must(t, p, "threads", "done")
	must(t, p, "echo", "done")
}

// parent is the argument with which this program starts a worker that never comes to an end, tells its number, and waits.
const parent = "parent-of-a-worker"

func beParent() {
	p, err := worker.Start(worker.Options{Program: worker.Self(), MaxBody: 1 << 20})
	if err == nil {
		err = p.Send(worker.Frame{Head: []byte("spin")})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.ID())
	select {}
}

func TestAWorkerDiesWithItsParent(t *testing.T) {
	cmd := exec.Command(worker.Self(), parent)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, err = fmt.Fscan(out, &pid)
	if err != nil {
		t.Fatal(err, cmd.Process.Kill(), cmd.Wait())
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err, cmd.Process.Kill(), cmd.Wait())
	}
	defer unix.Close(fd)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // says that it was killed
	// The descriptor of a process can be read when it has ended. The time is only there for a test that fails.
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Errorf("the worker lives: %d %v", n, err)
		}
		return
	}
}
