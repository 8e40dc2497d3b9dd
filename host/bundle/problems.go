package bundle

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
)

// problems collects all that is wrong, so that an author sees it at once.
type problems struct{ list []error }

const maxProblems = 50

func (p *problems) add(where, message, hint string) {
	if len(p.list) < maxProblems {
		p.list = append(p.list, invalid(where, message, hint))
	}
}

// addFindings takes what a schema found.
func (p *problems) addFindings(err error, root string) {
	var findings schemas.Findings
	switch {
	case err == nil:
	case errors.As(err, &findings):
		for _, f := range findings {
			path := jsonPath(root, f.Path)
			if len(f.Unknown) > 0 {
				path += "." + f.Unknown[0]
			}
			p.add(path, f.Message, f.Hint)
		}
	default:
		p.add(root, err.Error(), "")
	}
}

// err joins the problems; each of them is an *abi.Fault of kind Invalid.
func (p *problems) err() error { return errors.Join(p.list...) }

func invalid(where, message, hint string) *abi.Fault {
	f := abi.NewFault(abi.Invalid, message, hint)
	f.Where = where
	return f
}

// nearest is a hint at what was probably meant.
func nearest(word string, candidates []string) string {
	if near := schemas.Nearest(word, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	const most = 12
	switch {
	case len(candidates) == 0:
		return ""
	case len(candidates) > most:
		return "there are " + strings.Join(candidates[:most], ", ") + " …"
	}
	return "there are " + strings.Join(candidates, ", ")
}

func keysOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
