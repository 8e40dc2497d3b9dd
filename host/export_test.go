package host

import "github.com/tetratelabs/wazero/api"

// Doors are all functions that a guest can call, by module and name.
func (h *Host) Doors() map[string]map[string]api.FunctionDefinition {
	all := map[string]map[string]api.FunctionDefinition{}
	for _, module := range h.store.engine.doors {
		all[module] = h.store.engine.runtime.Module(module).ExportedFunctionDefinitions()
	}
	return all
}

// WithCopies makes a host whose instances have ordinary memory, as they do on systems that cannot map an image.
func (o Options) WithCopies() Options {
	o.copies = true
	return o
}

// Kinds of frames, for workers that lie.
const (
	FrameDone  = frameDone
	FrameCall  = frameCall
	FrameEnded = frameEnded
)

// Instances is how many unused instances are kept.
func (h *Host) Instances() int {
	n := 0
	for _, m := range h.store.modules {
		n += len(m.pool.free)
	}
	return n
}

// Codes is how many compiled codes are in memory.
func (h *Host) Codes() int {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	return len(h.store.codes)
}

// WorkerIDs are the numbers of the idle worker processes.
func (h *Host) WorkerIDs() (list []int) {
	h.workers.mu.Lock()
	defer h.workers.mu.Unlock()
	for _, s := range h.workers.idle {
		list = append(list, s.ID())
	}
	return list
}
