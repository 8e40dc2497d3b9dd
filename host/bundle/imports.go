package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// ModuleWASI is the only system interface that a guest may import: WASI preview 1, without files, arguments and environment.
const ModuleWASI = "wasi_snapshot_preview1"

// known lists the functions that a module may import, by module; a nil list means any name of it (the engine knows them).
func known() map[string][]string {
	all := abi.Functions()
	all[abi.ModuleMem] = []string{"read", "write"}
	all[abi.ModuleExtism] = []string{
		"alloc", "free", "length", "length_unsafe", "load_u8", "load_u64", "store_u8", "store_u64",
		"input_length", "input_offset", "input_load_u8", "input_load_u64", "input_set",
		"output_set", "output_offset", "output_length", "error_set", "error_get", "reset", "memory_bytes",
		"config_get", "var_get", "var_set", "http_request", "http_status_code", "http_headers",
		"log_trace", "log_debug", "log_info", "log_warn", "log_error", "get_log_level",
	}
	all[ModuleWASI] = nil
	return all
}

// kindOf is the capability kind that an import module needs: "http" for "riposte:http/v1"; empty for what every plugin may use.
func kindOf(module string) string {
	rest, ok := strings.CutPrefix(module, "riposte:")
	if !ok || module == abi.ModuleMem || module == abi.ModuleLog || module == abi.ModuleEmit {
		return ""
	}
	kind, _, _ := strings.Cut(rest, "/")
	return kind
}

// checkImports holds the import section against what the manifest asks for.
func checkImports(m *module, requires []abi.Requirement, report *problems) {
	allowed := known()
	for _, e := range m.imports {
		where := fmt.Sprintf("import %s.%s", e.module, e.name)
		names, ok := allowed[e.module]
		switch {
		case e.kind != kindFunction:
			report.add(where, "only functions may be imported", "let the module define and export its own memory")
		case !ok && strings.HasPrefix(e.module, "wasi:"):
			report.add(where, "this host knows WASI preview 1 only", "build for wasm32-wasip1")
		case !ok:
			report.add(where, "no such host module", nearest(e.module, keysOf(allowed)))
		case names != nil && !slices.Contains(names, e.name):
			report.add(where, "no such host function", nearest(e.name, names))
		case kindOf(e.module) != "" && !slices.ContainsFunc(requires, func(r abi.Requirement) bool { return r.Kind == kindOf(e.module) }):
			report.add(where, "the module imports "+e.module+", but its manifest requires no capability of kind "+kindOf(e.module),
				"add it under requires, or remove the call")
		}
	}
}

// checkShape refuses what could hurt before the first instruction runs.
func checkShape(m *module, actions map[string]abi.Action, report *problems) {
	for _, l := range m.memories {
		if l.shared {
			report.add("memory", "shared memory is not supported", "build without threads")
		}
		if l.min > MaxPages {
			report.add("memory", fmt.Sprintf("begins with %d pages, at most %d are possible", l.min, MaxPages), "")
		}
	}
	total := uint64(0)
	for _, l := range m.tables {
		total += min(l.min, maxTable+1)
	}
	if total > maxTable {
		report.add("table", fmt.Sprintf("begins with more than %d elements", maxTable), "")
	}
	for _, name := range keysOf(actions) {
		switch e, ok := m.exports[name]; {
		case !ok || e.kind != kindFunction:
			report.add("$.actions."+name, "the module exports no function of this name", nearest(name, exported(m)))
		case e.typ != actionSignature && !(m.extism() && e.typ == signature{}):
			report.add("$.actions."+name, "the exported function must have the type () -> i32", "")
		}
	}
}

// exported lists the functions that could be actions.
func exported(m *module) []string {
	var names []string
	for name, e := range m.exports {
		if e.kind == kindFunction && e.typ == actionSignature {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// extism says that the module imports none of our modules, and so was written for Extism.
func (m *module) extism() bool {
	return !slices.ContainsFunc(m.imports, func(e importEntry) bool { return strings.HasPrefix(e.module, "riposte:") })
}
