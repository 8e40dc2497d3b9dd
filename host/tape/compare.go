package tape

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Comparison is two tapes side by side: what was, and what is.
type Comparison struct {
	// Header says where the headers differ: plugin, action, module, meter, grant, settings, input. It explains, but is no difference in what was done.
	Header []Change `json:"header,omitempty"`
	// Calls are in the order of the second tape; what only the first has stands where it was missed.
	Calls []Pair `json:"calls,omitempty"`
	// Outcome says where the outcomes differ: output, fault, logs, emissions, fuel. Fuel is only compared for the same module and meter, and nothing if
	// one of the tapes has no outcome, or ends where the guest was stopped from outside.
	Outcome []Change `json:"outcome,omitempty"`
	// Cut says that the guest was stopped from outside in the first: what the second does beyond its calls is no difference.
	Cut bool `json:"cut,omitempty"`
}

// Change is a field with another value.
type Change struct {
	Name string `json:"name"`
	Was  string `json:"was"`
	Is   string `json:"is"`
}

// Pair is one call on both tapes, or on one of them.
type Pair struct {
	Was *Exchange `json:"was,omitempty"`
	Is  *Exchange `json:"is,omitempty"`
	// Differs names what is not the same: call (only one tape has it), request, reply, effect, order. It is empty if nothing is.
	Differs []string `json:"differs,omitempty"`
}

// Same says whether the second did what the first had done.
func (c *Comparison) Same() bool {
	return len(c.Outcome) == 0 && !slices.ContainsFunc(c.Calls, func(p Pair) bool { return len(p.Differs) > 0 })
}

// Differences names, in one line, what is not the same; it is empty for nothing.
func (c *Comparison) Differences() string {
	var parts []string
	for _, p := range c.Calls {
		if len(p.Differs) == 0 {
			continue
		}
		x := p.Is
		if x == nil {
			x = p.Was
		}
		parts = append(parts, fmt.Sprintf("call %d (%s)", x.Seq, strings.Join(p.Differs, ", ")))
	}
	for _, o := range c.Outcome {
		parts = append(parts, o.Name)
	}
	return strings.Join(parts, "; ")
}

// Compare sets two tapes side by side.
func Compare(was, is []Entry) Comparison {
	var c Comparison
	a, _ := HeaderOf(was)
	b, _ := HeaderOf(is)
	if a != nil && b != nil {
		c.Header = changes("plugin", a.Plugin, b.Plugin, "action", a.Action, b.Action, "module", a.Module, b.Module, "meter", a.Meter, b.Meter,
			"grant", a.Grant, b.Grant, "settings", a.Settings, b.Settings, "input", a.Input, b.Input)
	}
	before, after := OutcomeOf(was), OutcomeOf(is)
	if before != nil && after != nil {
		c.Cut = before.Cut
		if !before.Cut && !after.Cut {
			c.Outcome = changes("output", before.Output, after.Output, "fault", before.faultText(), after.faultText(), "logs", before.Logs, after.Logs,
				"emissions", before.Emissions, after.Emissions)
			if a != nil && b != nil && a.Module == b.Module && a.Meter == b.Meter {
				c.Outcome = append(c.Outcome, changes("fuel", strconv.FormatInt(before.Fuel, 10), strconv.FormatInt(after.Fuel, 10))...)
			}
		}
	}
	c.Calls = pair(Exchanges(was), Exchanges(is))
	if c.Cut {
		for i := range c.Calls {
			if p := &c.Calls[i]; p.Was == nil {
				p.Differs = nil
			}
		}
	}
	return c
}

// changes takes name, was, is, name, …
func changes(list ...string) []Change {
	var out []Change
	for ; len(list) >= 3; list = list[3:] {
		if list[1] != list[2] {
			out = append(out, Change{list[0], list[1], list[2]})
		}
	}
	return out
}

func (o *Outcome) faultText() string {
	if o.Fault == nil {
		return ""
	}
	return string(o.Fault.Kind) + ": " + o.Fault.Message
}

// pair finds for each call of the second list the one of the first: an equal one, wherever it stands, or else the one in its place, if that is of
// the same function and equals no other.
func pair(was, is []Exchange) []Pair {
	equal := map[string][]int{}
	for i := range was {
		equal[was[i].identity()] = append(equal[was[i].identity()], i)
	}
	partner := make([]int, len(is)) // index in was, or -1
	taken := make([]bool, len(was))
	for i := range is {
		partner[i] = -1
		if list := equal[is[i].identity()]; len(list) > 0 {
			partner[i], equal[is[i].identity()] = list[0], list[1:]
			taken[list[0]] = true
		}
	}
	var out []Pair
	next := 0 // of was
	missed := func(until int) {
		for ; next < until; next++ {
			if !taken[next] {
				out = append(out, Pair{Was: &was[next], Differs: []string{"call"}})
			}
		}
	}
	for i := range is {
		switch at := partner[i]; {
		case at >= next:
			missed(at)
			next = at + 1
			out = append(out, compared(&was[at], &is[i]))
		case at >= 0:
			p := compared(&was[at], &is[i])
			p.Differs = append(p.Differs, "order")
			out = append(out, p)
		default:
			for next < len(was) && taken[next] && !slices.Contains(partner[i:], next) {
				next++
			}
			if next < len(was) && !taken[next] && was[next].Function == is[i].Function {
				out = append(out, compared(&was[next], &is[i]))
				next++
				continue
			}
			out = append(out, Pair{Is: &is[i], Differs: []string{"call"}})
		}
	}
	missed(len(was))
	return out
}

func compared(was, is *Exchange) Pair {
	p := Pair{Was: was, Is: is}
	if was.Digest != is.Digest {
		p.Differs = append(p.Differs, "request")
	}
	if was.Blob != is.Blob || was.Blob == "" && !bytes.Equal(was.Reply, is.Reply) || was.Open != is.Open {
		p.Differs = append(p.Differs, "reply")
	}
	if was.Effect != is.Effect || was.Refused != is.Refused {
		p.Differs = append(p.Differs, "effect")
	}
	return p
}

// String tells what differs, in lines: with what was behind "-" and what is behind "+". It is empty for nothing.
func (c Comparison) String() string { return c.text(false) }

// All is String with every call, also those that do not differ.
func (c Comparison) All() string { return c.text(true) }

func (c *Comparison) text(all bool) string {
	var b strings.Builder
	for _, h := range c.Header {
		fmt.Fprintf(&b, "%s\n- %s\n+ %s\n", h.Name, h.Was, h.Is)
	}
	for _, p := range c.Calls {
		if all || len(p.Differs) > 0 {
			b.WriteString(p.String())
		}
	}
	for _, o := range c.Outcome {
		fmt.Fprintf(&b, "%s\n- %s\n+ %s\n", o.Name, o.Was, o.Is)
	}
	return b.String()
}

// String tells a call in lines: its number and what differs; then request and reply, once if both tapes have the same.
func (p Pair) String() string {
	var b strings.Builder
	switch {
	case p.Is == nil:
		fmt.Fprintf(&b, "call %d is not made any more\n", p.Was.Seq)
	case p.Was == nil:
		fmt.Fprintf(&b, "call %d is not on the tape\n", p.Is.Seq)
	case p.Was.Seq != p.Is.Seq:
		fmt.Fprintf(&b, "call %d, which was call %d%s\n", p.Is.Seq, p.Was.Seq, list(p.Differs))
	default:
		fmt.Fprintf(&b, "call %d%s\n", p.Is.Seq, list(p.Differs))
	}
	var was, is [2]string
	if p.Was != nil {
		was = [2]string{p.Was.Asked(), p.Was.answered()}
	}
	if p.Is != nil {
		is = [2]string{p.Is.Asked(), p.Is.answered()}
	}
	for i, arrow := range []string{"> ", "< "} {
		if was[i] == is[i] {
			b.WriteString("  " + arrow + is[i] + "\n")
			continue
		}
		if p.Was != nil {
			b.WriteString("- " + arrow + was[i] + "\n")
		}
		if p.Is != nil {
			b.WriteString("+ " + arrow + is[i] + "\n")
		}
	}
	return b.String()
}

func list(differs []string) string {
	if len(differs) == 0 {
		return ""
	}
	return ": another " + strings.Join(differs, ", ")
}

func (x *Exchange) answered() string {
	switch {
	case x.Open:
		return "(the process died before it was answered)"
	case x.Reply == nil:
		return "(the reply is not there: " + x.Blob + ")"
	}
	return string(x.Reply)
}
