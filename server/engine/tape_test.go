package engine

import (
	"context"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// sink is a store that is done with everything at once.
type sink struct{ journal.Store }

// Submit implements journal.Store.
func (sink) Submit(_ context.Context, _ []journal.Op, _ time.Duration, done func(error)) {
	if done != nil {
		done(nil)
	}
}

// BenchmarkTape is the tape of one action that writes.
func BenchmarkTape(b *testing.B) {
	document := []byte(`{"action":"post","parameters":{"body":{"address":"192.0.2.1","alarm":"a-1","text":"a connection to a server that is known"}},` +
		`"settings":{"url":"http://192.0.2.9/hook"},"context":{"invocation":"RUN-000001-1:post#1","incident":"INC-000001","run":"RUN-000001-1","step":"post","now":"2026-03-01T08:00:00Z","deadline_ms":20000}}`)
	request := []byte(`{"capability":"target","method":"POST","url":"http://192.0.2.9/hook","headers":{"accept":"application/json","content-type":"application/json"},` +
		`"body":{"text":"{\"address\":\"192.0.2.1\",\"alarm\":\"a-1\",\"text\":\"a connection to a server that is known\"}"}}`)
	reply := []byte(`{"value":{"status":200,"headers":{"content-length":"11","content-type":"application/json","date":"Sat, 01 Jan 2000 00:00:00 GMT"},"body":{"text":"{\"ok\":true}"}}}`)
	digest := tape.Digest(document)
	head := tape.Entry{Kind: tape.HeaderKind, Header: &tape.Header{Invocation: "RUN-000001-1:post#1", Key: "RUN-000001-1:post", Plugin: "webhook", Action: "post",
		Module: digest, Meter: "wazero/1", Grant: digest, Settings: digest, Input: digest, Seed: 1 << 63, Start: time.Unix(1_800_000_000, 0).UTC()}}
	head.Header.Document = head.NewBody(document)
	begin := tape.Entry{Kind: tape.BeginKind, Seq: 1, Call: &tape.Call{Function: "http.fetch", Capability: "target", Effect: abi.Keyed, Digest: digest,
		Key: tape.WriteKey("RUN-000001-1:post", 1), Summary: "POST http://192.0.2.9/hook"}}
	begin.Call.Request = begin.NewBody(request)
	end := tape.Entry{Kind: tape.EndKind, Seq: 1, Duration: 345_678}
	end.Reply = end.NewBody(reply)
	outcome := tape.Entry{Kind: tape.OutcomeKind, Outcome: &tape.Outcome{Output: digest, Fuel: 44_444}}
	e := &Engine{store: sink{}}
	after := newSubmission()
	after.end(nil)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			log := e.newTape("RUN-000001-1:post#1")
			log.after = after
			for i, entry := range []*tape.Entry{&head, &begin, &end, &outcome} {
				if err := log.Append(*entry, i == 1); err != nil {
					b.Error(err)
				}
			}
			log.flush()
		}
	})
}
