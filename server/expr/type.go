package expr

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"cel.dev/cel-go/cel"
)

// Kind is the sort of value that a Type describes.
type Kind string

// The kinds of types. Each is what JSON has, with integers apart from numbers, and a few that only expressions know.
const (
	Any      Kind = "any" // nothing is known: checked when evaluated
	Null     Kind = "null"
	Bool     Kind = "boolean"
	Int      Kind = "integer"
	Number   Kind = "number"
	String   Kind = "string"
	List     Kind = "array"
	Map      Kind = "map"    // an object of whose members nothing is known but the type
	Object   Kind = "object" // an object with known members
	Lists    Kind = "lists"  // the content lists, by name
	Time     Kind = "timestamp"
	Duration Kind = "duration"
	Opaque   Kind = "opaque" // ip(), cidr() and the like
)

// Type is the static type of a variable or of an expression. It is immutable; nil means Any.
type Type struct {
	kind     Kind
	elem     *Type            // of List and Map; of an Object: what members that are not declared have, nil if there can be none
	fields   map[string]*Type // of Object
	nullable bool
	name     string    // of Object and Lists: its name in CEL, derived from the structure, so that equal types are the same type
	cel      *cel.Type // of Opaque
	format   string    // of a String: the format that its schema names
}

// Of gives the type of a kind that has no parts.
func Of(kind Kind) *Type { return &Type{kind: kind} }

// ListOf gives the type of lists of elem.
func ListOf(elem *Type) *Type { return &Type{kind: List, elem: elem} }

// MapOf gives the type of objects with any names and values of type elem.
func MapOf(elem *Type) *Type { return &Type{kind: Map, elem: elem} }

// ObjectOf gives the type of objects with these members; other names are errors when an expression is compiled.
func ObjectOf(fields map[string]*Type) *Type { return object(fields, nil) }

// ListsOf gives the type of the content lists. Without names any name is taken, and a list that is missing shows only when it is read.
func ListsOf(names ...string) *Type {
	fields := make(map[string]*Type, len(names))
	for _, n := range names {
		fields[n] = ListOf(Of(String))
	}
	t := object(fields, nil)
	t.kind, t.name = Lists, "lists_"+t.name
	if len(names) == 0 {
		t.elem = ListOf(Of(String))
	}
	return t
}

// Nullable gives the same type, with null allowed. An absent member of such a type reads as null.
func (t *Type) Nullable() *Type {
	if t.Kind() == Any || t.nullable {
		return t
	}
	n := *t
	n.nullable = true
	return &n
}

func object(fields map[string]*Type, rest *Type) *Type {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(h, "%q:%s,", name, fields[name].key())
	}
	if rest != nil {
		fmt.Fprintf(h, "*:%s", rest.key())
	}
	return &Type{kind: Object, fields: fields, elem: rest, name: "object_" + hex.EncodeToString(h.Sum(nil)[:8])}
}

// key identifies the structure of a type.
func (t *Type) key() string {
	k := t.String()
	if t != nil && t.name != "" {
		k = t.name
	} else if t != nil && t.elem != nil {
		k = string(t.kind) + "(" + t.elem.key() + ")"
	}
	if t != nil && t.nullable {
		k += "?"
	}
	return k
}

// Kind of the type; Any for nil.
func (t *Type) Kind() Kind {
	if t == nil {
		return Any
	}
	return t.kind
}

// IsNullable says whether null is a value of the type.
func (t *Type) IsNullable() bool { return t.Kind() == Any || t.nullable }

// Format is the format that the schema of a string names, such as "ip"; empty for others.
func (t *Type) Format() string {
	if t == nil {
		return ""
	}
	return t.format
}

// Elem is the type of the elements of a list or of the values of a map; Any where nothing is known.
func (t *Type) Elem() *Type {
	if t == nil || t.elem == nil {
		return Of(Any)
	}
	return t.elem
}

// Field gives the type of a member; false if there can be no such member.
func (t *Type) Field(name string) (*Type, bool) {
	switch t.Kind() {
	case Any:
		return Of(Any), true
	case Map:
		return t.Elem(), true
	case Object, Lists:
		if f, ok := t.fields[name]; ok {
			return f, true
		}
		return t.elem, t.elem != nil
	}
	return nil, false
}

// Fields lists the known members of an object, sorted.
func (t *Type) Fields() []string {
	if t == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.fields))
}

// String names the type for people: "list of string", "object".
func (t *Type) String() string {
	switch t.Kind() {
	case List:
		return "list of " + t.Elem().String()
	case Map:
		return "object"
	case Object, Lists:
		return "object"
	case Opaque:
		return t.cel.String()
	}
	return string(t.Kind())
}

// Accepts says whether a value of type from can be a value of t, as far as types tell: whatever is not known is accepted.
func (t *Type) Accepts(from *Type) bool {
	a, b := t.Kind(), from.Kind()
	switch {
	case a == Any || b == Any:
		return true
	case b == Null:
		return t.nullable
	case a == Number && b == Int, a == String && (b == Time || b == Duration || b == Opaque):
		return true
	case a == List && b == List:
		return t.Elem().Accepts(from.Elem())
	case a == Object && (b == Object || b == Map):
		for name, f := range t.fields {
			if g, ok := from.Field(name); ok && !f.Accepts(g) {
				return false
			}
		}
		return true
	case a == Map && (b == Object || b == Map || b == Lists):
		return true
	}
	return a == b
}

// celType translates to CEL's type system.
func (t *Type) celType() *cel.Type {
	switch t.Kind() {
	case Null:
		return cel.NullType
	case Bool:
		return t.scalar(cel.BoolType)
	case Int:
		return t.scalar(cel.IntType)
	case Number:
		return t.scalar(cel.DoubleType)
	case String:
		return t.scalar(cel.StringType)
	case List:
		return cel.ListType(t.Elem().celType())
	case Map:
		return cel.MapType(cel.StringType, t.Elem().celType())
	case Object, Lists:
		return cel.ObjectType(t.name)
	case Time:
		return cel.TimestampType
	case Duration:
		return cel.DurationType
	case Opaque:
		return t.cel
	}
	return cel.DynType
}

func (t *Type) scalar(c *cel.Type) *cel.Type {
	if t.nullable {
		return cel.NullableType(c)
	}
	return c
}

// fromCEL translates back; objects finds the object types that the environment knows.
func fromCEL(c *cel.Type, objects map[string]*Type) *Type {
	nullable := c.IsAssignableType(cel.NullType)
	var t *Type
	switch c.Kind() {
	case cel.NullTypeKind:
		return Of(Null)
	case cel.BoolKind:
		t = Of(Bool)
	case cel.IntKind, cel.UintKind:
		t = Of(Int)
	case cel.DoubleKind:
		t = Of(Number)
	case cel.StringKind, cel.BytesKind:
		t = Of(String)
	case cel.ListKind:
		return ListOf(fromCEL(c.Parameters()[0], objects))
	case cel.MapKind:
		return MapOf(fromCEL(c.Parameters()[1], objects))
	case cel.StructKind:
		if o := objects[c.TypeName()]; o != nil {
			return o
		}
		return Of(Any)
	case cel.TimestampKind:
		return Of(Time)
	case cel.DurationKind:
		return Of(Duration)
	case cel.OpaqueKind:
		if c.TypeName() == "optional_type" {
			return fromCEL(c.Parameters()[0], objects).Nullable()
		}
		return &Type{kind: Opaque, cel: c}
	default:
		return Of(Any)
	}
	if nullable {
		return t.Nullable()
	}
	return t
}

// collect gathers the object types inside t by name.
func (t *Type) collect(into map[string]*Type) {
	if t == nil {
		return
	}
	if t.name != "" {
		if _, ok := into[t.name]; ok {
			return
		}
		into[t.name] = t
	}
	t.elem.collect(into)
	for _, f := range t.fields {
		f.collect(into)
	}
}
