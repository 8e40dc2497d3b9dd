package hostcall

import (
	"context"

	"github.com/riposte-soar/riposte/host/capability"
	"github.com/riposte-soar/riposte/pdk/abi"
)

type pool struct{}
type poolKey struct{}

func (*pool) close() {}

type later struct{}

func (later) authorise(*capability.Right) (abi.Effect, *abi.Fault) {
	return "", abi.NewFault(abi.Unavailable, "not built yet", "")
}
func (later) summary() string { return "" }
func (later) perform(context.Context, *Session, granted, string) (any, *abi.Fault) {
	return nil, nil
}

type resolve struct {
	later
	abi.DNSRequest
}
type exchange struct {
	later
	abi.TCPRequest
}
type query struct {
	later
	abi.SQLRequest
}
type send struct {
	later
	abi.MailRequest
}

func (r *resolve) capability() (string, string)  { return "dns", r.Capability }
func (r *exchange) capability() (string, string) { return "tcp", r.Capability }
func (r *query) capability() (string, string)    { return "sql", r.Capability }
func (r *send) capability() (string, string)     { return "mail", r.Capability }
