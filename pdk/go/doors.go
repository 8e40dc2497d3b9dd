package pdk

import (
	"encoding/json"
	"time"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// DNS asks resolvers under one dns capability.
type DNS struct {
	call       *Call
	capability string
}

// DNS gives the door of the dns capability with this id.
func (c *Call) DNS(capability string) DNS { return DNS{c, capability} }

// Resolve asks for the records of a name; for PTR an address is taken too. NXDOMAIN is a response, not an error.
func (d DNS) Resolve(name, recordType string) (abi.DNSResponse, error) {
	return ask[abi.DNSResponse](d.call, "dns.resolve", dnsResolve, abi.DNSRequest{Capability: d.capability, Name: name, Type: recordType})
}

// TCP exchanges bytes under one tcp capability.
type TCP struct {
	call       *Call
	capability string
}

// TCP gives the door of the tcp capability with this id.
func (c *Call) TCP(capability string) TCP { return TCP{c, capability} }

// Exchange connects to host:port, sends, and reads until the other side closes. Truncated says that there was more than the grant allows.
func (t TCP) Exchange(address string, send []byte) (received []byte, truncated bool, err error) {
	answer, err := ask[abi.TCPResponse](t.call, "tcp.exchange", tcpExchange, abi.TCPRequest{Capability: t.capability, Address: address, Send: *Body(send)})
	return Bytes(answer.Received), answer.Truncated, err
}

// SQL runs named statements under one sql capability.
type SQL struct {
	call       *Call
	capability string
}

// SQL gives the door of the sql capability with this id.
func (c *Call) SQL(capability string) SQL { return SQL{c, capability} }

// Query runs a statement of the manifest or of the connector's settings, by name.
func (s SQL) Query(statement string, params map[string]any) (abi.SQLResponse, error) {
	return ask[abi.SQLResponse](s.call, "sql.query", sqlQuery, abi.SQLRequest{Capability: s.capability, Statement: statement, Params: params})
}

// Mail sends messages under one mail capability.
type Mail struct {
	call       *Call
	capability string
}

// Mail gives the door of the mail capability with this id.
func (c *Call) Mail(capability string) Mail { return Mail{c, capability} }

// Send sends a message and returns its Message-ID.
func (m Mail) Send(message abi.MailRequest) (messageID string, err error) {
	message.Capability = m.capability
	answer, err := ask[abi.MailResponse](m.call, "mail.send", mailSend, message)
	return answer.MessageID, err
}

// KV is the connector's own store; the plugin must require the kind kv.
type KV struct{ call *Call }

// KV gives the door of the store.
func (c *Call) KV() KV { return KV{c} }

// Get reads a key into v; found is false for one that is not there.
func (k KV) Get(key string, v any) (found bool, err error) {
	answer, err := ask[abi.KVResponse](k.call, "kv.get", kvGet, abi.KVRequest{Key: key})
	if err != nil || !answer.Found {
		return false, err
	}
	if err := Unmarshal(answer.Value, v); err != nil {
		return true, decodeFault(key, err)
	}
	return true, nil
}

// Put keeps v under a key, for a while or, with ttl zero, for good. The ttl counts in whole seconds.
func (k KV) Put(key string, v any, ttl time.Duration) error {
	raw, err := Marshal(v)
	if err != nil {
		return Fail(abi.Invalid, key+" cannot be written as JSON: "+err.Error(), "")
	}
	_, err = ask[abi.KVResponse](k.call, "kv.put", kvPut, abi.KVRequest{Key: key, Value: raw, TTL: int64(ttl / time.Second)})
	return err
}

// Delete removes a key, whether it is there or not.
func (k KV) Delete(key string) error {
	_, err := ask[abi.KVResponse](k.call, "kv.delete", kvDelete, abi.KVRequest{Key: key})
	return err
}

// Log writes a line for people; level is debug, info, warn or error. A line that a quota refuses is lost, which is no concern of the plugin.
func (c *Call) Log(level, message string, fields map[string]any) {
	_, _ = ask[json.RawMessage](c, "log.write", logWrite, abi.LogEntry{Level: level, Message: message, Fields: fields})
}

// Info logs at that level.
func (c *Call) Info(message string) { c.Log("info", message, nil) }

// Warn logs at that level.
func (c *Call) Warn(message string) { c.Log("warn", message, nil) }

// Artifact gives the incident a value to act on: kind is ip, domain, url, hash, user, host …; verdict benign, suspicious, malicious or unknown.
func (c *Call) Artifact(kind, value, verdict, note string) error {
	_, err := ask[json.RawMessage](c, "emit.artifact", emitArtifact, abi.Emission{Kind: kind, Value: value, Verdict: verdict, Note: note})
	return err
}

// Evidence gives the incident a file.
func (c *Call) Evidence(name, mediaType string, data []byte) error {
	_, err := ask[json.RawMessage](c, "emit.evidence", emitEvidence, abi.Emission{Name: name, Kind: mediaType, Data: data})
	return err
}

// Finding gives the incident one sentence.
func (c *Call) Finding(sentence, verdict, note string) error {
	_, err := ask[json.RawMessage](c, "emit.finding", emitFinding, abi.Emission{Value: sentence, Verdict: verdict, Note: note})
	return err
}
