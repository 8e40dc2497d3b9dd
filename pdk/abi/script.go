package abi

// A plugin may be scripts for an engine: an interpreter that was compiled to a module once, with no imports but the host functions. The package
// is then an empty module with its manifest, its scripts as assets, and the engine's digest in the custom section EngineSection. An engine has
// the two exports below, of type () -> i32, whose input and output are JSON by way of the Extism blocks, as those of an action.
const (
	// EngineSection is the name of the custom section that holds the digest of the engine: "sha256:" and 64 hexadecimal digits.
	EngineSection = "riposte.engine"
	// LoadExport evaluates the scripts, once, when the package is installed: Scripts in, a Result with Loaded or a fault out. What it leaves in
	// the memory is what each invocation begins with. It gets along without host functions.
	LoadExport = "riposte_load"
	// RunExport runs the action that the Call names.
	RunExport = "riposte_run"
)

// Scripts is the input of LoadExport.
type Scripts struct {
	Entry string             `json:"entry"` // the file that is evaluated; it may import others
	Files map[string]Payload `json:"files"` // by their names in the package
}

// Loaded is its output.
type Loaded struct {
	Actions []string `json:"actions"` // those that the scripts have a function for
}
