package hostcall

import (
	"context"
	"encoding/json"
	"time"

	"github.com/riposte-soar/riposte/host/tape"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Peer stands in for the world where plugins are tested: it answers a call that was authorised and begun, whose request is given as the guest
// made it. Nil lets the call go out.
type Peer func(ctx context.Context, seq int, call *tape.Call, request []byte) *Answer

// Answer is what a Peer gives.
type Answer struct {
	Reply json.RawMessage // an abi.Reply
	Took  time.Duration   // on the guest's clock
	// Stop ends the invocation with this fault, whatever the guest makes of it.
	Stop *abi.Fault
}

// heard records a peer's answer as that of the world.
func (s *Session) heard(a *Answer, call *tape.Call) []byte {
	if a.Stop != nil {
		s.fault = a.Stop
		return reply(nil, a.Stop)
	}
	return s.end(call.Effect, s.redact(a.Reply), a.Took)
}
