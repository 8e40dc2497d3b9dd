package runbook

import (
	"fmt"
	"strings"
)

// Mermaid draws the runbook as a flowchart of Mermaid (https://mermaid.js.org/syntax/flowchart.html): arrows are order, dotted arrows are
// choices with their conditions; called runbooks are boxes of their own.
func Mermaid(r *Runbook) string {
	m := &mermaid{drawn: map[string]bool{}}
	m.b.WriteString("flowchart TD\n")
	m.scope(r.Body, "", "  ")
	for len(m.todo) > 0 {
		s := m.todo[0]
		m.todo = m.todo[1:]
		prefix := identifierOf(s.Name) + "__"
		fmt.Fprintf(&m.b, "  subgraph %sbox [%s]\n", prefix, quoted(s.Name))
		m.scope(s, prefix, "    ")
		m.b.WriteString("  end\n")
	}
	return m.b.String()
}

type mermaid struct {
	b     strings.Builder
	drawn map[string]bool
	todo  []*Scope
}

func (m *mermaid) scope(s *Scope, prefix, indent string) {
	for _, st := range s.Steps {
		m.step(st, prefix, indent)
	}
	ends := false
	for _, st := range s.Steps {
		for _, need := range st.Needs {
			fmt.Fprintf(&m.b, "%s%s --> %s\n", indent, prefix+need, prefix+st.ID)
		}
		if st.Then != "" {
			ends = m.choice(st, st.Then, "then", prefix, indent) || ends
		}
		for _, c := range st.Decide {
			label := "else"
			if c.When != nil {
				label = c.When.String()
			}
			ends = m.choice(st, c.Goto, label, prefix, indent) || ends
		}
	}
	if ends {
		fmt.Fprintf(&m.b, "%s%sEND(((end)))\n", indent, prefix)
	}
}

func (m *mermaid) choice(st *Step, to, label, prefix, indent string) (ends bool) {
	if to == ThenEnd || to == ThenFail {
		to, ends = "END", true
	}
	fmt.Fprintf(&m.b, "%s%s -. %s .-> %s\n", indent, prefix+st.ID, quoted(label), prefix+to)
	return ends
}

func (m *mermaid) step(st *Step, prefix, indent string) {
	name := prefix + st.ID
	switch st.Kind {
	case KindParallel:
		fmt.Fprintf(&m.b, "%ssubgraph %s [%s]\n", indent, name, quoted(st.ID))
		for _, c := range st.Parallel {
			m.step(c, prefix, indent+"  ")
		}
		fmt.Fprintf(&m.b, "%send\n", indent)
	case KindDecide:
		fmt.Fprintf(&m.b, "%s%s{%s}\n", indent, name, quoted(st.ID))
	case KindApprove:
		fmt.Fprintf(&m.b, "%s%s[/%s/]\n", indent, name, quoted(st.ID+": approve"))
	default:
		fmt.Fprintf(&m.b, "%s%s[%s]\n", indent, name, quoted(st.ID+": "+m.what(st)))
	}
}

// what says in a few words what a step does.
func (m *mermaid) what(st *Step) string {
	switch {
	case st.Uses != nil:
		return fmt.Sprintf("%s/%s", st.Uses.Plugin, st.Uses.Action)
	case st.Call != nil:
		if s := st.Call.Scope; s != nil && !m.drawn[s.Name] {
			m.drawn[s.Name] = true
			m.todo = append(m.todo, s)
		}
		return "call " + st.Call.Name
	case st.Foreach != nil:
		return "for each " + st.Foreach.As + ", " + m.what(st.Foreach.Body)
	}
	return string(st.Kind)
}

// quoted writes text for a label: Mermaid takes HTML entities inside quotes.
func quoted(s string) string {
	return `"` + strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;", "\n", " ").Replace(s) + `"`
}

func identifierOf(name string) string {
	return strings.NewReplacer("-", "_", "@", "_v").Replace(name)
}
