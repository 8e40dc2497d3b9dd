package expr

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// DecodeJSON reads JSON into the form that expressions work on: whole numbers as int64, others as float64.
func DecodeJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return Normalize(v)
}

// Normalize brings a decoded JSON value to that form, in place where it can. Whole float64 become int64 too.
func Normalize(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if v[k], err = Normalize(e); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, e := range v {
			if v[i], err = Normalize(e); err != nil {
				return nil, err
			}
		}
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("number %s is out of range", v)
		}
		return Normalize(f)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil
		}
	case int:
		return int64(v), nil
	}
	return v, nil
}

// maxResult bounds a result: values plus a part for long texts. CEL shares parts of lists, so that a few lines can write down a list with
// more elements than there are atoms; it must not be unfolded.
const maxResult = 2_000_000

// toJSON turns a CEL value into JSON form.
func toJSON(v ref.Val) (any, error) {
	u := unfolding{left: maxResult}
	return u.value(v)
}

type unfolding struct{ left int }

func (u *unfolding) take(n int) error {
	if u.left -= n; u.left < 0 {
		return errors.New("the result is too large")
	}
	return nil
}

func (u *unfolding) value(v ref.Val) (any, error) {
	if err := u.take(1); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil, types.Null, absentVal:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		if v > math.MaxInt64 {
			return nil, errors.New("number is out of range")
		}
		return int64(v), nil
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, errors.New("result is not a number")
		}
		return float64(v), nil
	case types.String:
		return string(v), u.take(len(v) / 16)
	case looseVal:
		return map[string]any(v.m), nil
	case *types.Err:
		return nil, v
	case traits.Lister:
		return u.list(v)
	case traits.Mapper:
		return u.object(v)
	}
	return u.other(v)
}

// other are the values that JSON has no form of its own for.
func (u *unfolding) other(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Bytes:
		return base64.StdEncoding.EncodeToString(v), u.take(len(v) / 16)
	case types.Timestamp:
		return v.Time.UTC().Format(time.RFC3339Nano), nil
	case types.Duration:
		return v.Duration.String(), nil
	case *types.Optional:
		if !v.HasValue() {
			return nil, nil
		}
		return u.value(v.GetValue())
	}
	if s, ok := v.ConvertToType(types.StringType).(types.String); ok {
		return string(s), nil
	}
	return nil, fmt.Errorf("a %s has no form in JSON", v.Type().TypeName())
}

func (u *unfolding) list(l traits.Lister) (any, error) {
	size, _ := l.Size().(types.Int)
	if size < 0 || int64(size) > int64(u.left) {
		return nil, u.take(maxResult + 1)
	}
	out := make([]any, 0, size)
	for i := types.Int(0); i < size; i++ {
		e, err := u.value(l.Get(i))
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (u *unfolding) object(m traits.Mapper) (any, error) {
	if native, ok := m.Value().(map[string]any); ok {
		return native, nil
	}
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		value, _ := m.Find(key)
		e, err := u.value(value)
		if err != nil {
			return nil, err
		}
		out[fmt.Sprint(key.Value())] = e
	}
	return out, nil
}

// Text writes a JSON value as it stands inside text: strings bare, numbers in decimal, lists and objects as JSON, null as nothing.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
