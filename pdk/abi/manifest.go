package abi

import "encoding/json"

// Manifest describes a plugin: what it can do, how it is configured and what it asks for. Authors write it as plugin.yaml; it is
// embedded into the module, as JSON, in the custom section ManifestSection.
type Manifest struct {
	Plugin      string `json:"plugin"`  // name: lower case letters, digits and dashes
	Version     string `json:"version"` // semantic version
	Title       string `json:"title"`
	Description string `json:"description,omitempty"`
	License     string `json:"license,omitempty"`
	// Languages that the plugin is written in, for people.
	Languages []string `json:"languages,omitempty"`
	// Runtime is the engine of a plugin that is made of scripts, such as "python@3.11", and Entry the script to begin with. Both are empty for a
	// plugin that is compiled.
	Runtime string `json:"runtime,omitempty"`
	Entry   string `json:"entry,omitempty"`
	// Settings is the JSON Schema of a connector of this plugin. A property with format "secret" never reaches the guest.
	Settings json.RawMessage `json:"settings,omitempty"`
	// Requires lists the capabilities that the plugin asks for; nothing else works.
	Requires []Requirement `json:"requires,omitempty"`
	// Actions by name; the name is also that of the exported function, or the argument that a WASI command is started with.
	Actions map[string]Action `json:"actions"`
}

// ManifestSection is the name of the WebAssembly custom section that holds the manifest.
const ManifestSection = "riposte.manifest"

// Requirement is one capability that a plugin asks for. Strings may hold references such as "{settings.base_url}", resolved from the
// connector; a value that is one whole reference keeps the type of the setting. Which fields apply depends on Kind.
type Requirement struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"` // http, dns, tcp, sql, mail, kv
	Reason string `json:"reason"`

	// http: URL is a pattern: scheme://host[:port]/path, where host may be "*.suffix" and the path may end in "/**".
	URL     string            `json:"url,omitempty"`
	Methods map[string]Effect `json:"methods,omitempty"` // method to the effect of such a request
	// Redirects is how many redirects are followed; each target must be granted too. Zero: none.
	Redirects int   `json:"redirects,omitempty"`
	Auth      *Auth `json:"auth,omitempty"` // http, mail, sql: how secrets travel

	// dns: names (patterns "*.suffix", "*" for any) and record types; Server is "host:port", or empty for the system's resolvers.
	Names  []string `json:"names,omitempty"`
	Types  []string `json:"types,omitempty"`
	Server string   `json:"server,omitempty"` // dns, sql, mail: "host:port"

	// tcp: addresses "host:port" ("*.suffix:port", "*:port"); TLS says that the connection is one.
	Addresses []string `json:"addresses,omitempty"`
	TLS       string   `json:"tls,omitempty"` // tcp: "", "on"; mail and sql: "off", "starttls"/"on", "opportunistic"

	// sql
	Driver     string          `json:"driver,omitempty"` // sqlserver
	Database   string          `json:"database,omitempty"`
	Statements json.RawMessage `json:"statements,omitempty"` // name to Statement, or a reference to such a setting
	MaxRows    int             `json:"max_rows,omitempty"`

	// mail: sender and the patterns of recipients that are allowed ("*@corp.test").
	From       string          `json:"from,omitempty"`
	Recipients json.RawMessage `json:"recipients,omitempty"` // list of patterns, or a reference to such a setting

	// kv: at most this many bytes in all.
	MaxBytes int64 `json:"max_bytes,omitempty"`
}

// Statement is a named SQL statement of the manifest or of a connector's settings; runbooks and guests name it, and give parameters.
type Statement struct {
	SQL    string   `json:"sql"`
	Params []string `json:"params,omitempty"`
	Effect Effect   `json:"effect,omitempty"` // read if empty
}

// Auth says which secret setting the host adds to a request, and where; the guest never sees it.
type Auth struct {
	Secret string `json:"secret"` // name of the setting with format "secret"
	// Inject is "header:NAME", "bearer", "basic:USERSETTING", "query:NAME", "form:NAME" (a field of a form body), "json:POINTER"
	// (a string in a JSON body) or "password" (sql, mail; User names the setting of the user).
	Inject string `json:"inject"`
	User   string `json:"user,omitempty"`
}

// ActionKind is what an action is for.
type ActionKind string

// The kinds of actions.
const (
	Enrich      ActionKind = "enrich"
	Investigate ActionKind = "investigate"
	Contain     ActionKind = "contain"
	Release     ActionKind = "release"
	Notify      ActionKind = "notify"
	Ingest      ActionKind = "ingest"
)

// Effect is what a call does to the world, and therefore what may be done when nobody knows whether it happened.
type Effect string

// The effects, from harmless to dangerous.
const (
	Pure       Effect = "pure"             // touches nothing
	Read       Effect = "read"             // may be repeated at will
	Idempotent Effect = "write.idempotent" // repeating it changes nothing more
	Keyed      Effect = "write.keyed"      // repeating it with the same key changes nothing more
	Unsafe     Effect = "write.unsafe"     // repeating it may do it twice
)

// Writes says whether the effect changes the world.
func (e Effect) Writes() bool { return e == Idempotent || e == Keyed || e == Unsafe }

// Action is one operation of a plugin.
type Action struct {
	Kind        ActionKind `json:"kind"`
	Title       string     `json:"title"`
	Description string     `json:"description,omitempty"`
	// Sort names a result schema that is shared across vendors, such as "ip.reputation"; the result must satisfy it.
	Sort string `json:"sort,omitempty"`
	// Parameters and Result are JSON Schemas. A parameter with `target: true` is what a containment acts on.
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	Uses       []string        `json:"uses,omitempty"` // ids of Requirements
	Effect     Effect          `json:"effect"`
	// Probe names a read-only action with the same target: is it in effect now? Its result has a boolean `present`.
	Probe   string   `json:"probe,omitempty"`
	Inverse *Inverse `json:"inverse,omitempty"` // what undoes it
	// Expires names the parameter (integer, seconds) by which the target can end the containment by itself.
	Expires string `json:"expires,omitempty"`
	Limits  Limits `json:"limits,omitzero"`
	// D3FEND, ATTACK and OpenC2 classify the action in these vocabularies.
	D3FEND string   `json:"d3fend,omitempty"`
	ATTACK []string `json:"attack,omitempty"`
	OpenC2 *OpenC2  `json:"openc2,omitempty"`
}

// Inverse undoes a containment: With builds the parameters of Action; its strings may hold "{parameters.x}" and "{result.x}". Where nothing
// can undo it, None gives the reason, which the approver is shown.
type Inverse struct {
	Action string            `json:"action,omitempty"`
	With   map[string]string `json:"with,omitempty"`
	None   string            `json:"none,omitempty"`
}

// OpenC2 is the action-target pair of OASIS OpenC2 that an action carries out.
type OpenC2 struct {
	Action string `json:"action"`
	Target string `json:"target"`
}

// Limits bound an invocation. Zero means the host's default; an operator may cap what a manifest asks.
type Limits struct {
	Timeout   string `json:"timeout,omitempty"` // a duration: "20s"
	Memory    string `json:"memory,omitempty"`  // linear memory: "32MiB"
	HostCalls int    `json:"host_calls,omitempty"`
	Output    string `json:"output,omitempty"` // size of the result: "1MiB"
}
