package expr

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// loose is an object some of whose members nobody declared: one that is not there reads as absentVal instead of failing. Environments
// with AbsentZero see every object as one.
type loose map[string]any

// adapter makes CEL values of JSON values.
type adapter struct {
	types.Adapter
	absent Absence
}

func (a *adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case loose:
		return looseVal{v, a}
	case map[string]any:
		if a.absent == AbsentZero {
			return looseVal{loose(v), a}
		}
	case []any:
		// Not the registry's own way: elements must come back through this adapter.
		return types.NewDynamicList(a, v)
	}
	return a.Adapter.NativeToValue(v)
}

// looseVal is a loose object as a CEL value. It is no traits.Mapper on purpose: for an Indexer with a FieldTester, CEL asks apart for
// presence and for the value, so that has() can tell the truth while reading gives absentVal.
type looseVal struct {
	m loose
	a *adapter
}

func (v looseVal) ConvertToNative(t reflect.Type) (any, error) {
	return v.strict().ConvertToNative(t)
}
func (v looseVal) ConvertToType(t ref.Type) ref.Val { return v.strict().ConvertToType(t) }
func (v looseVal) Type() ref.Type                   { return types.MapType }
func (v looseVal) Value() any                       { return map[string]any(v.m) }
func (v looseVal) strict() traits.Mapper            { return types.NewStringInterfaceMap(v.a, v.m) }
func (v looseVal) Size() ref.Val                    { return types.Int(len(v.m)) }
func (v looseVal) Iterator() traits.Iterator        { return v.strict().Iterator() }

func (v looseVal) Equal(other ref.Val) ref.Val {
	if o, ok := other.(looseVal); ok {
		other = o.strict()
	}
	return v.strict().Equal(other)
}

func (v looseVal) Contains(key ref.Val) ref.Val {
	_, found := v.m[fmt.Sprint(key.Value())]
	return types.Bool(found)
}

func (v looseVal) Get(key ref.Val) ref.Val {
	member := v.m[fmt.Sprint(key.Value())]
	if member == nil {
		return absentVal{}
	}
	return v.a.NativeToValue(member)
}

func (v looseVal) IsSet(key ref.Val) ref.Val {
	return types.Bool(v.m[fmt.Sprint(key.Value())] != nil)
}

// absentVal is what an undeclared member reads as that is not there: it equals no value, not even
// null (has() is the question to ask), has no members and holds nothing.
type absentVal struct{}

func (absentVal) ConvertToNative(t reflect.Type) (any, error) {
	return types.NullValue.ConvertToNative(t)
}

func (absentVal) ConvertToType(t ref.Type) ref.Val { return types.NullValue.ConvertToType(t) }

func (absentVal) Equal(other ref.Val) ref.Val {
	_, absent := other.(absentVal)
	return types.Bool(absent)
}
func (absentVal) Type() ref.Type           { return types.MapType }
func (absentVal) Value() any               { return nil }
func (absentVal) Get(ref.Val) ref.Val      { return absentVal{} }
func (absentVal) IsSet(ref.Val) ref.Val    { return types.False }
func (absentVal) Contains(ref.Val) ref.Val { return types.False }
func (absentVal) Size() ref.Val            { return types.IntZero }
func (absentVal) Iterator() traits.Iterator {
	return types.NewDynamicList(types.DefaultTypeAdapter, []any{}).Iterator()
}
