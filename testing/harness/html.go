package harness

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/riposte-soar/riposte/host/tape"
)

//go:embed report.html
var page string

// WriteHTML writes a report as one page that needs nothing else. It names the files of the cases by links, which begin in the folder that the page
// will lie in.
func WriteHTML(w io.Writer, r *Report, folder string) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"pretty": pretty, "shortly": shortly, "number": number, "amount": amount, "size": size, "either": func(a, b string) string { return cmp.Or(a, b) },
		"seconds":  func(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") },
		"asked":    func(x tape.Exchange) string { return cmp.Or(x.Summary, oneLine(x.Request)) },
		"answered": func(x tape.Exchange) string { _, s := tell(&x); return s },
		"groups":   groups, "lines": logLines, "coverage": coverage,
		"anchor": func(one *Result) string { return "case-" + url.PathEscape(strings.ReplaceAll(one.Name(), " ", "-")) },
		"link":   func(where string) string { return linkTo(folder, where) },
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, r)
}

// linkTo is the way from a folder to the file of a place, file:line:column.
func linkTo(folder, where string) string {
	file, _, _ := strings.Cut(where, ":")
	from, err := filepath.Abs(folder)
	if err != nil || file == "" {
		return ""
	}
	to, err := filepath.Abs(file)
	if err != nil {
		return ""
	}
	way, err := filepath.Rel(from, to)
	if err != nil {
		return ""
	}
	return (&url.URL{Path: filepath.ToSlash(way)}).String()
}

// group are failures of one sort, in a table: what is wanted and what there is, by path.
type group struct {
	Message, Rest string // the rest are further lines
	Rows          []Failure
}

// Compares says that there is something to compare.
func (g group) Compares() bool {
	return slices.ContainsFunc(g.Rows, func(f Failure) bool { return f.Want != "" || f.Got != "" })
}

// groups puts failures together that say the same.
func groups(one *Result) (list []group) {
	for _, f := range one.Failures {
		if one.saysFault(f) {
			f.Want, f.Got = "", "" // the fault stands below
		}
		message, rest, _ := strings.Cut(f.Message, "\n")
		if n := len(list); n == 0 || list[n-1].Message != message || rest != "" {
			list = append(list, group{Message: message, Rest: rest})
		}
		last := &list[len(list)-1]
		last.Rows = append(last.Rows, f)
	}
	return list
}

// covered is what of a plugin the cases reached.
type covered struct {
	Name, By string
	None     bool
}

// coverage lists the actions with the cases that call them, and the capabilities with the calls that need them.
func coverage(r *Report) (all struct{ Actions, Capabilities []covered }) {
	actions, calls := map[string]int{}, map[string]int{}
	for _, one := range r.Results {
		actions[one.Action]++
		for i := range one.Calls {
			if x := &one.Calls[i]; x.Capability != "" && !x.Refused {
				calls[x.Capability]++
			}
		}
	}
	list := func(counts map[string]int, none []string, what string) (rows []covered) {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			rows = append(rows, covered{Name: name, By: number(counts[name], what)})
		}
		for _, name := range none {
			rows = append(rows, covered{Name: name, By: fmt.Sprintf("no %s", what), None: true})
		}
		return rows
	}
	all.Actions, all.Capabilities = list(actions, r.Untested, "case"), list(calls, r.Unused, "call")
	return all
}
