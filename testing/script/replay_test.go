package script_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/server/api"
	"github.com/riposte-soar/riposte/server/engine"
)

// maxReplayed bounds the runs of one server that are replayed: after a burst of alarms they are all alike.
const maxReplayed = 500

// incomparable are the reasons for which an invocation has no replay: nothing ran, or not to its end, or what ran is gone.
var incomparable = []string{"came out of the cache", "ended before the plugin ran", "stopped from outside", "cut short", "not installed any more"}

// replays executes each invocation that the server has made again, from its tape, before the server ends: whatever a script or a test was about,
// every tape that it leaves must give the same calls, bytes and instructions.
func (s *server) replays() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	n, began, before := 0, time.Now(), ""
	for n < maxReplayed {
		var runs []api.RunLine
		if _, err := s.call(ctx, "GET", "/api/v1/runs?limit=100&before="+before, nil, &runs); err != nil {
			return err
		}
		for _, run := range runs {
			errs = append(errs, s.replay(ctx, run.ID))
			before = run.ID
			n++
		}
		if len(runs) < 100 {
			break
		}
	}
	fmt.Fprintf(&s.output, "%d runs were replayed in %s\n", n, time.Since(began).Round(time.Millisecond))
	return errors.Join(errs...)
}

func (s *server) replay(ctx context.Context, run string) error {
	var list []engine.Replayed
	if _, err := s.call(ctx, "POST", "/api/v1/runs/"+run+"/replay", []byte("{}"), &list); err != nil {
		return err
	}
	var errs []error
	for _, r := range list {
		switch {
		case r.Verdict == engine.Same:
		case r.Verdict == engine.Unknown && hasAny(r.Fault.Message, incomparable):
		default:
			err := fmt.Errorf("replay of %s: %s: %w", r.Invocation, r.Verdict, r.Fault)
			if r.Comparison != nil {
				err = fmt.Errorf("%w\n%s", err, r.Comparison)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func hasAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
