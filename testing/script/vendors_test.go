package script_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/riposte-soar/riposte/testing/lab/httpsim"
)

// tag is what the demo's runbook puts on addresses.
const tag = "riposte-blocked"

// blocked are the addresses that the firewall blocks now.
func (s *scene) blocked() []string {
	list := []string{}
	for _, r := range s.lab.PANOS.Blocked() {
		list = append(list, r.IP)
	}
	return list
}

// mailed are the recipients of all mails that the relay accepted.
func (s *scene) mailed() []string {
	list := []string{}
	for _, m := range s.lab.SMTP.Messages() {
		if m.Accepted {
			list = append(list, m.RcptTo...)
		}
	}
	return list
}

// waitBlocked waits until each address is blocked, or none of them. A block may end by a call, or by its own time.
func (s *scene) waitBlocked(ctx context.Context, addresses []string, want bool) error {
	for {
		until, stop := ctx, context.CancelFunc(func() {})
		for _, r := range s.lab.PANOS.Blocked() {
			if slices.Contains(addresses, r.IP) && !r.Expires.IsZero() {
				until, stop = context.WithDeadline(ctx, r.Expires)
			}
		}
		_, err := s.lab.PANOS.WaitCalls(until, func([]httpsim.Call) bool {
			return !slices.ContainsFunc(addresses, func(ip string) bool { return s.lab.PANOS.Has(ip, tag) != want })
		})
		stop()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("blocked are %v: %w", s.blocked(), err)
		}
	}
}

// same compares two lists; order does not count.
func same(what string, got, want []string) error {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s are %v, want %v", what, got, want)
	}
	return nil
}

// hung waits until a call to a vendor hangs by a fault.
func hung(ctx context.Context, vendor *httpsim.Server) error {
	_, err := vendor.WaitCalls(ctx, func(calls []httpsim.Call) bool {
		return slices.ContainsFunc(calls, func(c httpsim.Call) bool { return c.Fault == "hang" })
	})
	return err
}
