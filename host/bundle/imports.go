package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// ModuleWASI is the only system interface that a guest may import: WASI preview 1. There is no environment and no network behind it; arguments
// and files, which are those of the package, are there for commands only.
const ModuleWASI = "wasi_snapshot_preview1"

// WASI lists the functions of ModuleWASI,
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
func WASI() []string {
	return []string{
		"args_get", "args_sizes_get", "environ_get", "environ_sizes_get", "clock_res_get", "clock_time_get",
		"fd_advise", "fd_allocate", "fd_close", "fd_datasync", "fd_fdstat_get", "fd_fdstat_set_flags", "fd_fdstat_set_rights",
		"fd_filestat_get", "fd_filestat_set_size", "fd_filestat_set_times", "fd_pread", "fd_prestat_get", "fd_prestat_dir_name",
		"fd_pwrite", "fd_read", "fd_readdir", "fd_renumber", "fd_seek", "fd_sync", "fd_tell", "fd_write",
		"path_create_directory", "path_filestat_get", "path_filestat_set_times", "path_link", "path_open", "path_readlink",
		"path_remove_directory", "path_rename", "path_symlink", "path_unlink_file",
		"poll_oneoff", "proc_exit", "proc_raise", "sched_yield", "random_get", "sock_accept", "sock_recv", "sock_send", "sock_shutdown",
	}
}

// known lists the functions that a module may import, by module.
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
	all[ModuleWASI] = WASI()
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
		case !ok && strings.HasPrefix(e.module, "wasi"):
			report.add(where, "this host knows WASI preview 1 only", "build for wasm32-wasip1")
		case !ok:
			report.add(where, "no such host module", nearest(e.module, keysOf(allowed)))
		case !slices.Contains(names, e.name):
			report.add(where, "no such host function", nearest(e.name, names))
		case kindOf(e.module) != "" && !slices.ContainsFunc(requires, func(r abi.Requirement) bool { return r.Kind == kindOf(e.module) }):
			report.add(where, "the module imports "+e.module+", but its manifest requires no capability of kind "+kindOf(e.module),
				"add it under requires, or remove the call")
		}
	}
}

// checkShape refuses what could hurt before the first instruction runs.
func checkShape(m *module, report *problems) {
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
}

// checkActions holds the exports against the actions of the manifest.
func checkActions(m *module, actions map[string]abi.Action, report *problems) {
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

// startExport is what a WASI command is started by.
const startExport = "_start"

// command says that the module is a WASI command: https://github.com/WebAssembly/WASI/blob/main/legacy/application-abi.md
func (m *module) command(actions map[string]abi.Action) bool {
	start, ok := m.exports[startExport]
	if !ok || start.kind != kindFunction || start.typ != (signature{}) {
		return false
	}
	for name := range actions {
		if e, ok := m.exports[name]; ok && e.kind == kindFunction {
			return false
		}
	}
	return true
}

// extism says that the module imports none of our modules, and so was written for Extism.
func (m *module) extism() bool {
	return !slices.ContainsFunc(m.imports, func(e importEntry) bool { return strings.HasPrefix(e.module, "riposte:") })
}
