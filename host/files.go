package host

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	experimental "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/sys"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// files are what a command sees as its file system, by path: those of its package and the device. They cannot be changed, and nothing of this
// machine is among them. It implements fs.FS.
type files map[string]*file

// file is a file, a folder, or the device. It is its own fs.FileInfo and fs.DirEntry.
type file struct {
	name    string
	stat    sys.Stat_t
	data    []byte
	entries []fs.DirEntry // of a folder, in the order of their names
}

// newFiles builds the file system of a package. What lies in its folder scripts is in the root as well, where an interpreter looks for a script
// with the name of the action. Numbers and times of files are the same everywhere, as all is that a guest can see.
func newFiles(assets []bundle.Asset) files {
	all := files{}
	regular := func(name string, data []byte) {
		if all[name] == nil {
			all.add(name, &file{stat: sys.Stat_t{Mode: 0o444, Size: int64(len(data))}, data: data})
		}
	}
	for _, a := range assets {
		regular(a.Name, a.Data)
	}
	for _, a := range assets {
		if name, ok := strings.CutPrefix(a.Name, "scripts/"); ok {
			regular(name, a.Data)
		}
	}
	all.add(devicePath, &file{stat: sys.Stat_t{Mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}})
	return all
}

// add puts a file into its folder, which it makes first.
func (all files) add(name string, f *file) {
	f.name, f.stat.Nlink, f.stat.Ino = path.Base(name), 1, sys.Inode(len(all)+1)
	all[name] = f
	if name == "." {
		return
	}
	folder := path.Dir(name)
	if all[folder] == nil {
		all.add(folder, &file{stat: sys.Stat_t{Mode: fs.ModeDir | 0o555}})
	}
	in := all[folder]
	at, _ := slices.BinarySearchFunc(in.entries, f.name, func(e fs.DirEntry, name string) int { return strings.Compare(e.Name(), name) })
	in.entries = slices.Insert(in.entries, at, fs.DirEntry(f))
}

// Open implements fs.FS.
func (all files) Open(name string) (fs.File, error) {
	f := all[name]
	switch {
	case f == nil:
		return nil, fs.ErrNotExist
	case f.IsDir():
		return &openFolder{f, f.entries}, nil
	}
	return &openFile{f, bytes.NewReader(f.data)}, nil
}

// Name implements fs.FileInfo, and so do the next ones.
func (f *file) Name() string               { return f.name }
func (f *file) Size() int64                { return f.stat.Size }
func (f *file) Mode() fs.FileMode          { return f.stat.Mode }
func (f *file) ModTime() time.Time         { return time.Unix(0, 0) }
func (f *file) IsDir() bool                { return f.stat.Mode.IsDir() }
func (f *file) Sys() any                   { return &f.stat }
func (f *file) Type() fs.FileMode          { return f.stat.Mode.Type() }
func (f *file) Info() (fs.FileInfo, error) { return f, nil }
func (f *file) Stat() (fs.FileInfo, error) { return f, nil }
func (f *file) Close() error               { return nil }

type openFile struct {
	*file
	*bytes.Reader
}

type openFolder struct {
	*file
	rest []fs.DirEntry
}

// Read implements fs.File.
func (o *openFolder) Read([]byte) (int, error) { return 0, fs.ErrInvalid }

// ReadDir implements fs.ReadDirFile.
func (o *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(o.rest) {
		n = len(o.rest)
	}
	if n == 0 {
		return nil, io.EOF
	}
	some := o.rest[:n]
	o.rest = o.rest[n:]
	return some, nil
}

// maxOpen is how many files a command may have open: each takes memory of ours.
const maxOpen = 256

// fileSystem is the file system of one invocation.
type fileSystem struct {
	experimental.FS
	device *device
	open   int
}

func newFileSystem(all files, d *device) *fileSystem {
	return &fileSystem{FS: &sysfs.ReadFS{FS: &sysfs.AdaptFS{FS: all}}, device: d}
}

// OpenFile implements sys.FS.
func (s *fileSystem) OpenFile(name string, flag experimental.Oflag, mode fs.FileMode) (experimental.File, experimental.Errno) {
	isDevice := path.Clean(name) == devicePath
	if isDevice {
		flag = experimental.O_RDONLY // of the file that stands for it
	}
	opened, errno := s.FS.OpenFile(name, flag, mode)
	if errno != 0 {
		return nil, errno
	}
	if s.open++; s.open > maxOpen {
		s.device.guest.stop(abi.Limit, fmt.Sprintf("the plugin has more than %d files open", maxOpen))
	}
	f := &countedFile{File: opened, system: s}
	if isDevice {
		return &deviceFile{countedFile: f, device: s.device}, 0
	}
	return f, 0
}

// countedFile is an open file of a command.
type countedFile struct {
	experimental.File
	system *fileSystem
}

// Close implements sys.File. The engine calls it once.
func (f *countedFile) Close() experimental.Errno {
	f.system.open--
	return f.File.Close()
}
