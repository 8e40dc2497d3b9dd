package runbook

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// testCatalog is an installation written by hand: the plugins that the example uses, and some with defects.
type testCatalog struct {
	actions    map[string]*abi.Action
	connectors map[string][]string
}

func (c testCatalog) Action(plugin, action string, major int) (*abi.Action, bool) {
	a, ok := c.actions[fmt.Sprintf("%s/%s@%d", plugin, action, major)]
	return a, ok
}

func (c testCatalog) Connectors(plugin string) []string { return c.connectors[plugin] }
func (c testCatalog) Names() []string                   { return slices.Sorted(maps.Keys(c.actions)) }

func act(kind abi.ActionKind, effect abi.Effect, parameters, result string) *abi.Action {
	return &abi.Action{Kind: kind, Effect: effect, Title: "test", Parameters: json.RawMessage(parameters), Result: json.RawMessage(result)}
}

const ipParameter = `{"type": "object", "required": ["ip"], "additionalProperties": false, "properties": {"ip": {"type": "string", "format": "ip"}}}`

func newCatalog() testCatalog {
	block := act(abi.Contain, abi.Idempotent,
		`{"type": "object", "required": ["ip"], "additionalProperties": false, "properties": {
			"ip": {"type": "string", "format": "ip", "artifact": "ip", "target": true}, "tag": {"type": "string"}, "comment": {"type": "string"}}}`,
		`{"type": "object", "properties": {"present": {"type": "boolean"}, "job": {"type": "string"}}}`)
	block.Probe, block.Inverse = "is-blocked", &abi.Inverse{Action: "unblock-ip", With: map[string]string{"ip": "{parameters.ip}"}}
	bare := act(abi.Contain, abi.Unsafe, `{"type": "object", "properties": {"host": {"type": "string", "target": true}}}`, `{}`)
	final := act(abi.Contain, abi.Unsafe, `{"type": "object", "properties": {"host": {"type": "string", "target": true}}}`, `{}`)
	final.Inverse = &abi.Inverse{None: "a wiped disk stays wiped"}
	return testCatalog{
		actions: map[string]*abi.Action{
			"logpoint/search@1": act(abi.Investigate, abi.Read,
				`{"type": "object", "required": ["query"], "additionalProperties": false, "properties": {
					"query": {"type": "string", "minLength": 1}, "last": {"type": "string", "format": "duration"}, "limit": {"type": "integer"}}}`,
				`{"type": "object", "properties": {"rows": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": ["string"]}}},
					"total": {"type": "integer"}}}`),
			"virustotal/ip-report@1": act(abi.Enrich, abi.Read, ipParameter,
				`{"type": "object", "properties": {"ip": {"type": "string"}, "malicious": {"type": "integer"}, "score": {"type": "number"},
					"owner": {"type": ["string", "null"]}}}`),
			"whois/lookup@1": act(abi.Enrich, abi.Read, ipParameter, `{"type": "object", "properties": {"owner": {"type": "string"}}}`),
			"geoip/lookup@1": act(abi.Enrich, abi.Read, ipParameter, `{"type": "object", "properties": {"country": {"type": "string"}, "asn": {"type": "integer"}}}`),
			"dns/reverse@1":  act(abi.Enrich, abi.Read, ipParameter, `{"type": "object", "properties": {"names": {"type": "array", "items": {"type": "string"}}}}`),
			"mssql/query@1": act(abi.Enrich, abi.Read,
				`{"type": "object", "required": ["statement"], "additionalProperties": false, "properties": {"statement": {"type": "string"}, "params": {"type": "object"}}}`,
				`{"type": "object", "properties": {"rows": {"type": "array", "items": {"type": "object"}}}}`),
			"mail/send@1": act(abi.Notify, abi.Keyed,
				`{"type": "object", "required": ["to", "subject"], "additionalProperties": false, "properties": {
					"to": {"type": "array", "items": {"type": "string", "format": "email"}}, "subject": {"type": "string"}, "text": {"type": "string"},
					"template": {"type": "string"}, "data": {"type": "object"}, "priority": {"enum": ["low", "normal", "high"]}}}`,
				`{"type": "object", "properties": {"message_id": {"type": "string"}}}`),
			"paloalto/block-ip@1":   block,
			"paloalto/is-blocked@1": act(abi.Enrich, abi.Read, ipParameter, `{"type": "object", "properties": {"present": {"type": "boolean"}}}`),
			"paloalto/unblock-ip@1": act(abi.Release, abi.Idempotent, ipParameter, `{}`),
			"edr/isolate@1":         bare,
			"edr/wipe@1":            final,
			"orphan/lookup@1":       act(abi.Enrich, abi.Read, ipParameter, `{}`),
		},
		connectors: map[string][]string{
			"logpoint": {"siem"}, "virustotal": {"vt"}, "whois": {"whois"}, "geoip": {"geo"}, "dns": {"resolver"}, "mssql": {"cmdb", "hr"},
			"mail": {"smtp"}, "paloalto": {"edge"}, "edr": {"edr"},
		},
	}
}
