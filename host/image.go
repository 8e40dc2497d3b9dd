package host

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/meter"
)

// The code of a module is kept apart from its image, which is what the memory and the globals of its instances begin with. The image is made
// once, when a package is installed, by running the module's own initialisation, with a clock and a randomness that are always the same and
// without host functions, and lies in a file of its own. So an invocation begins with the same state at the cost of a mapping, a Go program
// need not start its runtime each time, and packages that share their code differ in their images only.

// image is the state that instances of a module begin with.
type image struct {
	imageHead
	memory []byte       // its length is a multiple of 64 KiB
	pages  *sharedPages // memory, if instances can map it
}

// imageHead is what an image says beside its memory.
type imageHead struct {
	// Code is the digest of the code that the image belongs to.
	Code string `json:"code"`
	// Fresh says why there is more to an instance than its memory and its globals, so that each invocation needs a new one and the image is
	// empty; see meter.Parts.
	Fresh string `json:"fresh,omitempty"`
	// Late says why the module could not be initialised ahead, so that each invocation begins with doing it.
	Late string `json:"late,omitempty"`
	// Clock is what the monotonic clock of the guest had come to: it never goes back.
	Clock time.Duration `json:"clock"`
	// Globals are those that can change, by the name of their export; meter.GlobalFuel is 0.
	Globals map[string]uint64 `json:"globals,omitempty"`
}

// The initialisation of a module is bounded: by fuel, and by the time that a slow machine may take for it.
const (
	initialFuel = 2_000_000_000
	initialTime = 30 * time.Second
)

// step is a part of what makes an image: it works on an instance that has the state that the step before left.
type step func(ctx context.Context, i *instance) error

// makeImage runs steps in a new instance of code and keeps what memory and globals hold after that. The image is a function of code and steps.
// A step that calls a host function, beyond those that move bytes, fails. They find the input where an action does.
func (e *engine) makeImage(ctx context.Context, code wazero.CompiledModule, globals []string, b *bundle.Bundle, input []byte, steps ...step) (*image, error) {
	g := e.newGuest(task{bundle: b, limits: limits{memory: e.memory, output: e.memory, fuel: initialFuel}, input: input, replay: true,
		start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	defer g.blocks.reset()
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, guestKey{}, g), initialTime)
	defer cancel()
	g.ctx = ctx
	i, err := e.newInstance(ctx, code, g, nil)
	if err != nil {
		return nil, err
	}
	defer i.close()
	for _, step := range steps {
		if err := step(ctx, i); err != nil {
			return nil, err
		}
	}
	if i.module.IsClosed() {
		return nil, errors.New("it has ended")
	}
	im := &image{imageHead: imageHead{Clock: g.clock.own, Globals: map[string]uint64{}}, memory: i.memory.buffer}
	for _, name := range globals {
		im.Globals[name] = i.module.ExportedGlobal(name).Get()
	}
	im.Globals[meter.GlobalFuel] = 0
	return im, nil
}

// firstImage makes the image of a module by its own means: initialised and rehearsed, or initialised, or else only with its data in place.
func (e *engine) firstImage(ctx context.Context, code wazero.CompiledModule, p meter.Parts, b *bundle.Bundle) (*image, error) {
	if p.Obstacle != "" {
		return &image{imageHead: imageHead{Fresh: p.Obstacle}}, nil
	}
	fill := fill(p)
	start := func(ctx context.Context, i *instance) error { return i.start(ctx) }
	rehearse := func(ctx context.Context, i *instance) error { return i.rehearse(ctx, b.Warm()) }
	var why error
	for _, steps := range [][]step{{fill, start, rehearse}, {fill, start}, {fill}} {
		im, err := e.makeImage(ctx, code, p.Globals, b, nil, steps...)
		switch {
		case err == nil && len(steps) == 1:
			im.Late, _, _ = strings.Cut(why.Error(), "\n")
			return im, nil
		case err == nil:
			return im, nil
		case context.Cause(ctx) != nil:
			return nil, context.Cause(ctx)
		}
		why = err
	}
	return nil, why
}

// fill is the step that puts the module's data into its memory.
func fill(p meter.Parts) step {
	return func(_ context.Context, i *instance) error {
		for _, s := range p.Segments {
			i.module.Memory().Write(s.Offset, s.Data) // meter.Split has seen that it is inside
		}
		return nil
	}
}

// start runs what must come before an action: the start function, the initialisation of a WASI reactor, or the constructors of a module that
// has none; and the runtime of a Haskell program.
func (i *instance) start(ctx context.Context) error {
	run := func(name string, arguments ...uint64) (found bool, err error) {
		f := i.module.ExportedFunction(name)
		if f == nil {
			return false, nil
		}
		_, err = f.Call(ctx, arguments...)
		return true, err
	}
	if _, err := run(meter.Start); err != nil || i.guest.bundle.Command() {
		return err // all that is left of a command is in its action
	}
	found, err := run("_initialize")
	if !found {
		_, err = run("__wasm_call_ctors")
	}
	if err == nil && i.guest.bundle.Extism() {
		_, err = run("hs_init", 0, 0)
	}
	return err
}

// rehearse calls exports, so that what a guest does once only is part of its image; see abi.WarmExport.
func (i *instance) rehearse(ctx context.Context, exports []string) error {
	for _, name := range exports {
		if _, err := i.module.ExportedFunction(name).Call(ctx); err != nil {
			return err
		}
	}
	return nil
}

// An image lies on disk as its memory, so that this can be mapped; then its head as JSON, the length of that in four bytes, big-endian, and the
// SHA-256 of all that. What is damaged is not used.

const (
	footBytes = 4 + sha256.Size
	maxHead   = 16 << 20
)

var errDamaged = errors.New("the image is damaged")

// encode gives the content of the file.
func (im *image) encode() ([]byte, error) {
	head, err := json.Marshal(im.imageHead)
	if err != nil {
		return nil, err
	}
	file := slices.Concat(im.memory, head, binary.BigEndian.AppendUint32(nil, uint32(len(head))))
	sum := sha256.Sum256(file)
	return append(file, sum[:]...), nil
}

// readHead reads all but the memory, whose length it gives, and checks everything.
func readHead(file io.ReaderAt, size int64) (head imageHead, memory int64, err error) {
	var foot [footBytes]byte
	if size < footBytes {
		return head, 0, errDamaged
	}
	if _, err := file.ReadAt(foot[:], size-footBytes); err != nil {
		return head, 0, err
	}
	length := int64(binary.BigEndian.Uint32(foot[:]))
	memory = size - footBytes - length
	if length > maxHead || memory < 0 || memory%(64<<10) != 0 {
		return head, 0, errDamaged
	}
	all := sha256.New()
	if _, err := io.CopyBuffer(all, io.NewSectionReader(file, 0, size-sha256.Size), make([]byte, 256<<10)); err != nil {
		return head, 0, err
	}
	if string(all.Sum(nil)) != string(foot[4:]) {
		return head, 0, errDamaged
	}
	text := make([]byte, length)
	if _, err := file.ReadAt(text, memory); err != nil {
		return head, 0, err
	}
	if json.Unmarshal(text, &head) != nil {
		return head, 0, errDamaged
	}
	return head, memory, nil
}

// openImage opens an image; with copies its memory is read, otherwise mapped where the system can.
func openImage(path string, copies bool) (*image, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	head, size, err := readHead(file, info.Size())
	if err != nil {
		return nil, err
	}
	im := &image{imageHead: head}
	if size == 0 {
		return im, nil
	}
	if !copies {
		if im.pages, err = sharePages(file, int(size)); err == nil {
			im.memory = im.pages.content
			return im, nil
		}
	}
	im.memory = make([]byte, size)
	if _, err := file.ReadAt(im.memory, 0); err != nil {
		return nil, fmt.Errorf("read the memory: %w", err)
	}
	return im, nil
}

// writeFile writes a file that is either not there or whole. It writes a page at a time: what Linux is given at once it keeps in pieces of up to 2 MiB,
// and maps such a piece whole to an instance that reads a byte of it, which then counts as the instance's memory, and is looked at when that is restored.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("host: cache: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return fmt.Errorf("host: cache: %w", err)
	}
	for page := range slices.Chunk(content, pageSize) {
		if _, err = f.Write(page); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("host: cache: %w", err), os.Remove(f.Name()))
	}
	return nil
}

func (im *image) release() {
	if im.pages != nil {
		_ = im.pages.release() // what was mapped can be unmapped
	}
}
