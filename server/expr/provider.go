package expr

import (
	"fmt"
	"math"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Absence says how a member reads that a value does not have.
type Absence int

const (
	// AbsentError makes reading it an error that names it. So it is in runbooks, where a value that is silently empty is dangerous.
	AbsentError Absence = iota
	// AbsentZero gives the zero value of its type. So it is in rules, which look at alarms of every sort.
	AbsentZero
)

// provider tells CEL of the object types, and how to read their members.
type provider struct {
	types.Provider
	objects map[string]*Type
	absent  Absence
	// miss is told of each member that was asked for and does not exist, to make a good message of it.
	miss func(t *Type, field string)
}

func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if t, ok := p.objects[name]; ok {
		return types.NewTypeTypeWithParam(t.celType()), true
	}
	return p.Provider.FindStructType(name)
}

func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if t, ok := p.objects[name]; ok {
		return t.Fields(), true
	}
	return p.Provider.FindStructFieldNames(name)
}

func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	t, ok := p.objects[name]
	if !ok {
		return p.Provider.FindStructFieldType(name, field)
	}
	ft, ok := t.Field(field)
	if !ok {
		if p.miss != nil {
			p.miss(t, field)
		}
		return nil, false
	}
	return &types.FieldType{
		Type:  ft.celType(),
		IsSet: func(obj any) bool { v, ok := member(obj, field); return ok && v != nil },
		GetFrom: func(obj any) (any, error) {
			v, _ := member(obj, field)
			if v == nil && p.absent == AbsentError && !ft.IsNullable() {
				return nil, &absentError{field}
			}
			v = ft.adopt(v, p.absent)
			if l, ok := v.([]any); ok && t.kind == Lists {
				return contentList(l), nil
			}
			return v, nil
		},
	}, true
}

// absentError is the reading of a member that is not there.
type absentError struct{ field string }

func (e *absentError) Error() string { return fmt.Sprintf("%q is absent", e.field) }

// member reads a member of an object in any of the forms that objects have while an expression is evaluated.
func member(obj any, field string) (any, bool) {
	switch m := obj.(type) {
	case map[string]any:
		v, ok := m[field]
		return v, ok
	case loose:
		v, ok := m[field]
		return v, ok
	case map[ref.Val]ref.Val:
		v, ok := m[types.String(field)]
		if !ok || v == types.NullValue {
			return nil, ok
		}
		return v, true
	}
	return nil, false
}

// adopt brings a JSON value to the form that its static type promises: numbers of the right sort and, where absence reads as zero,
// zeros for what is not there.
func (t *Type) adopt(v any, absent Absence) any {
	switch v := v.(type) {
	case nil:
		if absent == AbsentZero {
			return t.zero()
		}
		return nil
	case map[string]any:
		if t.Kind() == Map && t.Elem().hasNumbers() {
			v = adoptMap(v, t.Elem(), absent)
		}
		if absent == AbsentZero {
			return loose(v)
		}
		return v
	case []any:
		if t.Elem().hasNumbers() {
			return adoptList(v, t.Elem(), absent)
		}
		return v
	}
	return t.adoptNumber(v)
}

func (t *Type) adoptNumber(v any) any {
	switch t.Kind() {
	case Number:
		switch n := v.(type) {
		case int64:
			return float64(n)
		case int:
			return float64(n)
		}
	case Int:
		if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			return int64(f)
		}
	}
	return v
}

// hasNumbers says whether values of the type hold numbers that an object's own fields do not take care of.
func (t *Type) hasNumbers() bool {
	switch t.Kind() {
	case Number, Int:
		return true
	case List, Map:
		return t.Elem().hasNumbers()
	}
	return false
}

func adoptList(l []any, elem *Type, absent Absence) []any {
	out := make([]any, len(l))
	for i, v := range l {
		out[i] = v
		if v != nil {
			out[i] = elem.adopt(v, absent)
		}
	}
	return out
}

func adoptMap(m map[string]any, elem *Type, absent Absence) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
		if v != nil {
			out[k] = elem.adopt(v, absent)
		}
	}
	return out
}

// zero is what an absent member reads as.
func (t *Type) zero() any {
	switch k := t.Kind(); {
	case k == List || k == Map || k == Object || k == Lists || k == Any:
	case t.nullable:
		return types.NullValue
	}
	switch t.Kind() {
	case Bool:
		return false
	case Int:
		return int64(0)
	case Number:
		return float64(0)
	case String:
		return ""
	case List:
		return []any{}
	case Map, Object, Lists:
		return loose{}
	case Null:
		return types.NullValue
	}
	return absentVal{}
}
