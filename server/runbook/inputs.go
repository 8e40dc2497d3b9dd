package runbook

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/schemas"
	"github.com/riposte-soar/riposte/server/expr"
)

// BindInputs checks the values that a run is given against the inputs of the runbook, and fills in the defaults. An optional input that is
// not given stays absent. Text that holds a number is taken for one where the input wants one, since artifacts are text. What does not fit
// is a Fault of kind abi.Invalid whose Where names the input.
func (r *Runbook) BindInputs(given map[string]any) (map[string]any, *abi.Fault) {
	return bind(r.Inputs, given)
}

// BindInputs does the same for a call of the scope.
func (s *Scope) BindInputs(given map[string]any) (map[string]any, *abi.Fault) {
	return bind(s.Inputs, given)
}

func bind(inputs []Input, given map[string]any) (map[string]any, *abi.Fault) {
	out := make(map[string]any, len(inputs))
	for _, in := range inputs {
		v, ok := given[in.Name]
		switch {
		case ok && v != nil:
			bound, problem := in.fit(v)
			if problem != "" {
				return nil, &abi.Fault{Kind: abi.Invalid, Message: problem, Hint: in.Description, Where: "inputs." + in.Name}
			}
			out[in.Name] = bound
		case in.Default != nil:
			out[in.Name] = in.Default
		case !in.Optional:
			return nil, &abi.Fault{Kind: abi.Invalid, Message: "the input is required", Hint: in.Description, Where: "inputs." + in.Name}
		}
	}
	for name := range given {
		if !slices.ContainsFunc(inputs, func(in Input) bool { return in.Name == name }) {
			f := &abi.Fault{Kind: abi.Invalid, Message: "there is no such input", Where: "inputs." + name}
			if near := schemas.Nearest(name, inputNames(inputs)); near != "" {
				f.Hint = fmt.Sprintf("did you mean %q?", near)
			}
			return nil, f
		}
	}
	return out, nil
}

func inputNames(inputs []Input) []string {
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	return names
}

// fit brings a value to the type of the input; problem says why it does not fit.
func (in Input) fit(v any) (fitted any, problem string) {
	v, err := expr.Normalize(v)
	if err != nil {
		return nil, err.Error()
	}
	if s, ok := v.(string); ok {
		switch in.Type {
		case "integer":
			if n, err := strconv.ParseInt(s, 10, 64); err == nil {
				v = n
			}
		case "number":
			if n, err := strconv.ParseFloat(s, 64); err == nil {
				v = n
			}
		}
	}
	if kind := kindOf(v); in.Type != "" && kind != in.Type && !(in.Type == "number" && kind == "integer") {
		return nil, fmt.Sprintf("%s is expected, this is %s", in.Type, kind)
	}
	s, isText := v.(string)
	if isText && !schemas.CheckFormat(in.Format, s) {
		return nil, fmt.Sprintf("%q is not %s", s, schemas.DescribeFormat(in.Format))
	}
	if isText && len(in.Enum) > 0 && !slices.Contains(in.Enum, s) {
		return nil, fmt.Sprintf("%q is not one of %v", s, in.Enum)
	}
	return v, ""
}

// kindOf names the JSON Schema type of a value.
func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case int64:
		return "integer"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return fmt.Sprintf("%T", v)
}

// exprType is the static type of the input's value.
func (in Input) exprType() *expr.Type {
	t := typeNamed(in.Type)
	if in.Type == "array" {
		t = expr.ListOf(typeNamed(in.Items))
	}
	if in.Optional && in.Default == nil {
		return t.Nullable()
	}
	return t
}

func typeNamed(name string) *expr.Type {
	switch name {
	case "string":
		return expr.Of(expr.String)
	case "integer":
		return expr.Of(expr.Int)
	case "number":
		return expr.Of(expr.Number)
	case "boolean":
		return expr.Of(expr.Bool)
	case "array":
		return expr.ListOf(nil)
	case "object":
		return expr.MapOf(nil)
	}
	return expr.Of(expr.Any)
}
