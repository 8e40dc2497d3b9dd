package rule

import (
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/server/expr"
)

// index finds the rules that may match an alarm. Each rule stands in one place: under the rarest of the conditions without which it cannot
// match, or among those that are always tried.
type index struct {
	always []int
	equals map[string]map[string][]int // path, value, rules
	holds  map[string][]literal        // path, texts
}

// literal is a text that the rules need to find inside a value.
type literal struct {
	text  string
	rules []int
}

func newIndex(rules []*Rule) index {
	ix := index{equals: map[string]map[string][]int{}, holds: map[string][]literal{}}
	count := map[string]int{} // how many rules ask for the same
	for _, r := range rules {
		for _, c := range r.when.Necessary() {
			for _, name := range names(c) {
				count[name]++
			}
		}
	}
	for i, r := range rules {
		ix.put(i, rarest(r.when.Necessary(), count))
	}
	return ix
}

// names gives what two rules share if they share a condition.
func names(c expr.Condition) []string {
	if c.Contains != "" {
		return []string{c.Path + "\x00contains\x00" + c.Contains}
	}
	out := make([]string, len(c.Equals))
	for i, v := range c.Equals {
		out[i] = c.Path + "\x00" + v
	}
	return out
}

// rarest chooses the condition that fewest others share; an equality, which is one look into a map, over a search.
func rarest(conditions []expr.Condition, count map[string]int) *expr.Condition {
	var best *expr.Condition
	least := 0
	for i, c := range conditions {
		n := 0
		for _, name := range names(c) {
			n += count[name]
		}
		if best == nil || n < least || n == least && best.Contains != "" && c.Contains == "" {
			best, least = &conditions[i], n
		}
	}
	return best
}

func (ix *index) put(rule int, c *expr.Condition) {
	switch {
	case c == nil:
		ix.always = append(ix.always, rule)
	case c.Contains != "":
		have := ix.holds[c.Path]
		at := slices.IndexFunc(have, func(l literal) bool { return l.text == c.Contains })
		if at < 0 {
			ix.holds[c.Path] = append(have, literal{c.Contains, []int{rule}})
			return
		}
		have[at].rules = append(have[at].rules, rule)
	default:
		values := ix.equals[c.Path]
		if values == nil {
			values = map[string][]int{}
			ix.equals[c.Path] = values
		}
		for _, v := range c.Equals {
			values[v] = append(values[v], rule)
		}
	}
}

// candidates lists the rules that may match, in order.
func (ix *index) candidates(doc map[string]any) []int {
	out := slices.Clone(ix.always)
	for path, values := range ix.equals {
		if v, ok := lookup(doc, path).(string); ok {
			out = append(out, values[v]...)
		}
	}
	for path, literals := range ix.holds {
		v, ok := lookup(doc, path).(string)
		if !ok {
			continue
		}
		for _, l := range literals {
			if strings.Contains(v, l.text) {
				out = append(out, l.rules...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
