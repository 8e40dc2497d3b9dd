package expr

import (
	"net/netip"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// ContentList is a content list that was prepared once, so that many evaluations can ask it quickly. `x in list` holds if x is one of the
// values, or an address inside a value that is a network in CIDR notation. A plain []any works as a content list too.
type ContentList struct {
	traits.Lister
	values   map[string]bool
	networks map[netip.Prefix]bool
	v4, v6   map[int]bool // prefix lengths that occur
}

// NewContentList prepares a content list.
func NewContentList(values []string) *ContentList {
	l := &ContentList{
		Lister:   types.NewStringList(types.DefaultTypeAdapter, values),
		values:   make(map[string]bool, len(values)),
		networks: map[netip.Prefix]bool{},
		v4:       map[int]bool{},
		v6:       map[int]bool{},
	}
	for _, v := range values {
		l.values[v] = true
		if a, err := netip.ParseAddr(v); err == nil {
			l.values[a.Unmap().String()] = true
		}
		p, err := netip.ParsePrefix(v)
		if err != nil {
			continue
		}
		l.networks[p.Masked()] = true
		if p.Addr().Is4() {
			l.v4[p.Bits()] = true
		} else {
			l.v6[p.Bits()] = true
		}
	}
	return l
}

func contentList(values []any) *ContentList {
	texts := make([]string, 0, len(values))
	for _, v := range values {
		texts = append(texts, Text(v))
	}
	return NewContentList(texts)
}

// Has says whether the list holds the value, or a network that holds it.
func (l *ContentList) Has(value string) bool {
	if l.values[value] {
		return true
	}
	addr, err := netip.ParseAddr(value)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	if l.values[addr.String()] {
		return true
	}
	lengths := l.v6
	if addr.Is4() {
		lengths = l.v4
	}
	for bits := range lengths {
		if p, err := addr.Prefix(bits); err == nil && l.networks[p] {
			return true
		}
	}
	return false
}

// Contains is `value in list`.
func (l *ContentList) Contains(value ref.Val) ref.Val {
	if s, ok := value.(types.String); ok {
		return types.Bool(l.Has(string(s)))
	}
	return types.False
}
