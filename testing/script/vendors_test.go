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

// waitBlocked waits until each address is blocked, or none of them.
func (s *scene) waitBlocked(ctx context.Context, addresses []string, want bool) error {
	_, err := s.lab.PANOS.WaitCalls(ctx, func([]httpsim.Call) bool {
		return !slices.ContainsFunc(addresses, func(ip string) bool { return s.lab.PANOS.Has(ip, tag) != want })
	})
	if err != nil {
		return fmt.Errorf("blocked are %v: %w", s.blocked(), err)
	}
	return nil
}

// same compares two lists; order does not count.
func same(what string, got, want []string) error {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s are %v, want %v", what, got, want)
	}
	return nil
}
