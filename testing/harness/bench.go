package harness

import (
	"context"
	"slices"
	"time"

	"github.com/riposte-soar/riposte/host/bundle"
)

// Measure is what one call of a case takes, without what the world takes.
type Measure struct {
	Case   string        `json:"case"`
	Action string        `json:"action"`
	Times  int           `json:"times"`
	Calls  int           `json:"calls"`
	Wall   time.Duration `json:"wall_ns"`  // median
	Worst  time.Duration `json:"worst_ns"` // of a hundred
	// CPU is processor time of the whole process for each call, garbage collection included; zero where the system does not tell.
	CPU    time.Duration `json:"cpu_ns"`
	Fuel   int64         `json:"fuel"`
	Memory int64         `json:"memory"`
}

// Bench runs each case so many times, one call after the other, answered from its stubs or its tape. A case that does not pass is not measured: its result
// is given instead.
func (h *Harness) Bench(ctx context.Context, b *bundle.Bundle, cases []*Case, times int, progress Progress) (list []Measure, failed []*Result, err error) {
	if err := h.host.Install(ctx, b); err != nil {
		return nil, nil, err
	}
	for i, c := range cases {
		if c.Contract {
			continue
		}
		r := &runner{h: h, bundle: b, c: c}
		first := r.call(ctx, r.first())
		if first.Verdict != Passed {
			failed = append(failed, first)
			continue
		}
		walls := make([]time.Duration, 0, times)
		before := processorTime()
		for range times {
			a := r.first()
			w, _ := r.world(a)
			one := r.run(ctx, a, w)
			walls = append(walls, one.Wall)
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
		}
		used := processorTime() - before
		slices.Sort(walls)
		list = append(list, Measure{Case: c.Name, Action: c.Action, Times: times, Calls: len(first.Calls), Wall: walls[times/2], Worst: walls[times*99/100],
			CPU: used / time.Duration(times), Fuel: first.Fuel, Memory: first.Memory})
		if progress != nil {
			progress(i+1, len(cases), first)
		}
	}
	return list, failed, nil
}
