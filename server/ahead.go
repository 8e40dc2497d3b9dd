package server

import (
	"context"
	"runtime/debug"
	"slices"

	"github.com/riposte-soar/riposte/server/engine"
	"github.com/riposte-soar/riposte/server/runbook"
)

// loadedAhead is how many plugins are in memory before the first alarm comes. A plugin in Go takes 20 MB there, and a tenth of a second to load.
const loadedAhead = 2

// loadAhead loads the plugins that the first alarm is likely to need. What fails here is said when it is needed.
func (s *Server) loadAhead(ctx context.Context) {
	for _, name := range firstPlugins(s.content, loadedAhead) {
		b := s.content.Plugins[name]
		if b == nil || s.installed.set.Held[b.Digest] != nil {
			continue
		}
		if ctx.Err() != nil || s.host.Load(ctx, b) != nil {
			return
		}
	}
	debug.FreeOSMemory() // what compiling and loading left would stay for long in a server that has nothing to do
}

// firstPlugins names the plugins of the runbooks that start by themselves, in the order of the rules and of the steps, at most so many.
func firstPlugins(c *engine.Content, most int) []string {
	var names []string
	var walk func(steps []*runbook.Step)
	walk = func(steps []*runbook.Step) {
		for _, s := range steps {
			switch {
			case len(names) == most:
				return
			case s.Uses != nil && !slices.Contains(names, s.Uses.Plugin):
				names = append(names, s.Uses.Plugin)
			case s.Call != nil:
				walk(s.Call.Scope.Steps)
			case s.Foreach != nil:
				walk([]*runbook.Step{s.Foreach.Body})
			}
			walk(s.Parallel)
		}
	}
	for _, r := range c.Rules.Rules() {
		if r.Template == nil || !r.Template.Autorun {
			continue
		}
		if book := c.Runbooks[r.Template.Runbook]; book != nil {
			walk(book.Runbook.Body.Steps)
		}
	}
	return names
}
