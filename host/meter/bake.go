package meter

import "fmt"

// State is what a module holds after it was initialised.
type State struct {
	Memory  []byte         // whole linear memory, a multiple of 64 KiB; empty if the module has none
	Globals map[int]uint64 // value of each mutable global that holds a number, by index; floats as their bits
}

// bakeGap is the number of zero bytes from which on a new data segment is begun.
const bakeGap = 1024

// Info is what there is to know about putting an instance of a module back into an earlier state.
type Info struct {
	// Obstacle is empty if the memory and the numeric globals are all that calls can change; else it says what stands in the way.
	Obstacle string
	// Globals are the indices of the mutable globals of the module that hold numbers, those of the meter excepted.
	Globals []int
}

// Inspect reads a module, instrumented or not.
func Inspect(bin []byte) (Info, error) {
	m, err := parse(bin, DefaultLimits())
	if err != nil {
		return Info{}, err
	}
	if err := m.scanCode(); err != nil {
		return Info{}, err
	}
	info := Info{Obstacle: m.obstacle()}
	own := map[uint32]bool{}
	for _, e := range m.exports {
		own[e.index] = own[e.index] || e.name == GlobalFuel || e.name == GlobalStack
	}
	for i, g := range m.globals {
		if g.mutable && !g.imported && g.valType >= valF64 && !own[uint32(i)] {
			info.Globals = append(info.Globals, i)
		}
	}
	return info, nil
}

func (m *module) obstacle() string {
	switch {
	case m.tableWrite:
		return "the code changes tables"
	case m.bulkMemory:
		return "the code uses memory.init or data.drop"
	case m.impMemory:
		return "the memory is imported"
	case m.numTables > len(m.tables):
		return "a table is imported"
	}
	for i, g := range m.globals {
		switch {
		case !g.mutable:
		case g.imported:
			return fmt.Sprintf("global %d is imported and can change", i)
		case g.valType < valF64:
			return fmt.Sprintf("global %d can change and holds a vector or a reference", i)
		}
	}
	for _, e := range m.exports {
		if e.kind == kindTable {
			return fmt.Sprintf("table %q is exported, so others could change it", e.name)
		}
	}
	return ""
}

// initialize is the export that a WASI reactor is initialised by.
const initialize = "_initialize"

// Bake returns the module with a state as its initial one: the memory begins with that size and content and globals with those
// values; the start function is gone and _initialize does nothing. Only modules without an Obstacle can be baked.
func Bake(bin []byte, s State) ([]byte, error) {
	m, err := parse(bin, DefaultLimits())
	if err != nil {
		return nil, err
	}
	if err := m.scanCode(); err != nil {
		return nil, err
	}
	if why := m.obstacle(); why != "" {
		return nil, &Error{Section: "module", Problem: "cannot hold another state: " + why}
	}
	if len(s.Memory)%(64<<10) != 0 || len(s.Memory) > 0 && !m.hasMemory {
		return nil, &Error{Section: "memory", Problem: fmt.Sprintf("state of %d bytes does not fit the memory", len(s.Memory))}
	}
	replace := map[byte][]byte{secStart: nil}
	if m.hasMemory {
		replace[secMemory] = m.memorySection(uint32(len(s.Memory) >> 16))
	}
	if len(m.globals) > 0 {
		replace[secGlobal] = m.globalsWith(s.Globals)
	}
	m.emptyInitialize(replace)
	return m.withData(extents(s.Memory), replace), nil
}

func (m *module) memorySection(pages uint32) []byte {
	if m.memHasMax {
		return appendU32(appendU32([]byte{1, 1}, pages), max(m.memMax, pages))
	}
	return appendU32([]byte{1, 0}, pages)
}

func (m *module) globalsWith(values map[int]uint64) []byte {
	var b []byte
	n := uint32(0)
	for i, g := range m.globals {
		if g.imported {
			continue
		}
		n++
		v, ok := values[i]
		if !ok || !g.mutable {
			b = append(b, m.bin[g.start:g.end]...)
			continue
		}
		b = append(b, g.valType, 1)
		switch g.valType {
		case valI32:
			b = appendS64(append(b, opI32Const), int64(int32(v)))
		case valI64:
			b = appendS64(append(b, opI64Const), int64(v))
		case valF32:
			b = append(b, opF32Const, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
		case valF64:
			b = append(b, opF64Const)
			for shift := 0; shift < 64; shift += 8 {
				b = append(b, byte(v>>shift))
			}
		}
		b = append(b, opEnd)
	}
	return append(appendU32(nil, n), b...)
}

// emptyInitialize points the export _initialize to a function that does nothing.
func (m *module) emptyInitialize(replace map[byte][]byte) {
	for i, e := range m.exports {
		if e.name != initialize || e.kind != kindFunc {
			continue
		}
		bodies := uint32(len(m.bodies))
		m.exports[i].index = uint32(len(m.funcs))
		replace[secFunction] = appendU32(append(appendU32(nil, bodies+1), m.rest(secFunction)...), m.funcs[e.index])
		replace[secCode] = append(append(appendU32(nil, bodies+1), m.rest(secCode)...), 2, 0, opEnd)
		b := appendU32(nil, uint32(len(m.exports)))
		for _, e := range m.exports {
			b = appendU32(append(appendName(b, e.name), e.kind), e.index)
		}
		replace[secExport] = b
		return
	}
}

// extents returns what is not zero in memory; short gaps are part of it.
func extents(memory []byte) []run {
	var runs []run
	for at := 0; at < len(memory); {
		if memory[at] == 0 {
			at += zeros(memory[at:])
			continue
		}
		end := at
		for end < len(memory) {
			if memory[end] != 0 {
				end++
				continue
			}
			gap := zeros(memory[end:])
			if gap >= bakeGap || end+gap == len(memory) {
				break
			}
			end += gap
		}
		runs = append(runs, run{uint32(at), memory[at:end]})
		at = end
	}
	return runs
}

// zeros counts the zero bytes that b begins with.
func zeros(b []byte) int {
	n := 0
	for len(b)-n >= 8 && b[n]|b[n+1]|b[n+2]|b[n+3]|b[n+4]|b[n+5]|b[n+6]|b[n+7] == 0 {
		n += 8
	}
	for n < len(b) && b[n] == 0 {
		n++
	}
	return n
}
