package bundle

import (
	"errors"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
)

// problems collects all that is wrong, so that an author sees it at once.
type problems struct{ list []error }

const maxProblems = 50

func (p *problems) add(where, message, hint string) {
	if len(p.list) < maxProblems {
		p.list = append(p.list, invalid(where, message, hint))
	}
}

// err joins the problems; each of them is an *abi.Fault of kind Invalid.
func (p *problems) err() error { return errors.Join(p.list...) }

func invalid(where, message, hint string) *abi.Fault {
	f := abi.NewFault(abi.Invalid, message, hint)
	f.Where = where
	return f
}

// nearest names the candidate that was probably meant, or lists the first of them.
func nearest(word string, candidates []string) string {
	best, distance := "", 1+len(word)/2
	for _, c := range candidates {
		if d := editDistance(word, c, distance); d < distance {
			best, distance = c, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	if len(candidates) == 0 {
		return ""
	}
	const most = 12
	if len(candidates) > most {
		return "expected one of " + strings.Join(candidates[:most], ", ") + " …"
	}
	return "expected one of " + strings.Join(candidates, ", ")
}

// editDistance is Levenshtein's, given up at bound.
func editDistance(a, b string, bound int) int {
	if len(a) > 64 || len(b) > 64 || max(len(a)-len(b), len(b)-len(a)) >= bound {
		return bound
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
