package abi

import "encoding/json"

// The host functions, as WebAssembly imports: module and name. Each has the type (param i64) (result i64): the handles of an Extism memory
// block that holds the JSON request, and of one that holds the JSON Reply. The import section of a module is therefore an upper bound of
// what it can ask for. The blocks are made, read and freed with the functions of "extism:host/env".
const (
	ModuleHTTP = "riposte:http/v1"
	ModuleDNS  = "riposte:dns/v1"
	ModuleTCP  = "riposte:tcp/v1"
	ModuleSQL  = "riposte:sql/v1"
	ModuleMail = "riposte:mail/v1"
	ModuleKV   = "riposte:kv/v1"
	ModuleLog  = "riposte:log/v1"
	ModuleEmit = "riposte:emit/v1"
	// ModuleMem moves bytes in bulk: read(handle i64, ptr i32) copies a whole block into guest memory, write(ptr i32, len i32) i64 makes one.
	ModuleMem = "riposte:mem/v1"
	// ModuleExtism is the host environment of the Extism project, which this host implements too.
	ModuleExtism = "extism:host/env"
)

// WarmExport is an optional export, of type () -> (), that a kit gives its modules: the first call says that the next calls of actions are
// rehearsals – without input, without host functions, for what a language builds once and keeps – and the second that they are over. The
// host calls it, each action, and it again, before it takes the state that every invocation begins with.
const WarmExport = "riposte_warm"

// Functions lists the host functions of every module above but ModuleMem and ModuleExtism; "http.fetch" is the name that tapes use.
func Functions() map[string][]string {
	return map[string][]string{
		ModuleHTTP: {"fetch"},
		ModuleDNS:  {"resolve"},
		ModuleTCP:  {"exchange"},
		ModuleSQL:  {"query"},
		ModuleMail: {"send"},
		ModuleKV:   {"get", "put", "delete"},
		ModuleLog:  {"write"},
		ModuleEmit: {"artifact", "evidence", "finding"},
	}
}

// Payload carries bytes in JSON: Text when they are UTF-8, Base64 otherwise.
type Payload struct {
	Text   string `json:"text,omitempty"`
	Base64 []byte `json:"base64,omitempty"`
}

// HTTPRequest is the request of http.fetch.
type HTTPRequest struct {
	Capability string            `json:"capability"` // id of the Requirement
	Method     string            `json:"method"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       *Payload          `json:"body,omitempty"`
	Timeout    int64             `json:"timeout_ms,omitempty"` // at most what is left of the invocation
}

// HTTPResponse is its value. A status of 400 and more is a response, not a fault.
type HTTPResponse struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"` // lower-case names; several values joined by ", "
	Body    Payload           `json:"body"`
}

// DNSRequest is the request of dns.resolve.
type DNSRequest struct {
	Capability string `json:"capability"`
	Name       string `json:"name"` // a domain name; for PTR an address is taken too
	Type       string `json:"type"` // A, AAAA, PTR, MX, TXT, CNAME, NS, SOA
}

// DNSResponse is its value; RCode is "NOERROR", "NXDOMAIN" and so on.
type DNSResponse struct {
	RCode   string      `json:"rcode"`
	Records []DNSRecord `json:"records"`
}

// DNSRecord is one answer.
type DNSRecord struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	TTL   uint32 `json:"ttl"` // seconds
	Value string `json:"value"`
}

// TCPRequest is the request of tcp.exchange: connect, send, read until the other side closes.
type TCPRequest struct {
	Capability string  `json:"capability"`
	Address    string  `json:"address"` // host:port
	Send       Payload `json:"send"`
	MaxBytes   int     `json:"max_bytes,omitempty"`
	Timeout    int64   `json:"timeout_ms,omitempty"`
}

// TCPResponse is its value.
type TCPResponse struct {
	Received  Payload `json:"received"`
	Truncated bool    `json:"truncated,omitempty"`
}

// SQLRequest is the request of sql.query: a statement by name, with parameters, never SQL text.
type SQLRequest struct {
	Capability string         `json:"capability"`
	Statement  string         `json:"statement"`
	Params     map[string]any `json:"params,omitempty"`
}

// SQLResponse is its value.
type SQLResponse struct {
	Columns   []string         `json:"columns"`
	Rows      []map[string]any `json:"rows"`
	Affected  int64            `json:"affected,omitempty"`
	Truncated bool             `json:"truncated,omitempty"`
}

// MailRequest is the request of mail.send.
type MailRequest struct {
	Capability string   `json:"capability"`
	To         []string `json:"to"`
	Cc         []string `json:"cc,omitempty"`
	Subject    string   `json:"subject"`
	Text       string   `json:"text"`
	HTML       string   `json:"html,omitempty"`
}

// MailResponse is its value; the host derives the Message-ID from the call's key, so that a retry carries the same.
type MailResponse struct {
	MessageID string `json:"message_id"`
}

// KVRequest is the request of kv.get, kv.put and kv.delete. Keys live in a name space of the connector.
type KVRequest struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value,omitempty"`
	TTL   int64           `json:"ttl_s,omitempty"` // seconds; 0 keeps it
}

// KVResponse is their value; Found is false for a key that is not there.
type KVResponse struct {
	Found bool            `json:"found"`
	Value json.RawMessage `json:"value,omitempty"`
}

// LogEntry is the request of log.write.
type LogEntry struct {
	Level   string         `json:"level"` // debug, info, warn, error
	Message string         `json:"message"`
	Fields  map[string]any `json:"fields,omitempty"`
}

// Emission is the request of emit.artifact, emit.evidence and emit.finding: something for the incident.
type Emission struct {
	Kind  string `json:"kind,omitempty"`  // artifact: ip, domain, url, hash, user, host …; evidence: its media type
	Value string `json:"value,omitempty"` // artifact: the value; finding: one sentence
	Name  string `json:"name,omitempty"`  // evidence: file name
	Data  []byte `json:"data,omitempty"`  // evidence: content
	// Verdict is benign, suspicious, malicious or unknown; Note explains it.
	Verdict string `json:"verdict,omitempty"`
	Note    string `json:"note,omitempty"`
}
