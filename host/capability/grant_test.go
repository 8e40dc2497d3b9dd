package capability

import (
	"reflect"
	"testing"
)

// change changes a value in its n-th place, counted through structs and pointers, and says how many there are. A list is one place.
func change(v reflect.Value, n int, to string) int {
	switch v.Kind() {
	case reflect.Struct:
		places := 0
		for i := range v.NumField() {
			places += change(v.Field(i), n-places, to)
		}
		return places
	case reflect.Pointer:
		inside := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			inside = v
		}
		places := change(inside.Elem(), n, to)
		if n >= 0 && n < places && v.IsNil() {
			v.Set(inside)
		}
		return places
	case reflect.Slice:
		if n == 0 {
			if v.Len() == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			}
			v.Index(0).SetString(to)
		}
	case reflect.String:
		if n == 0 {
			v.SetString(to)
		}
	default:
		if n == 0 {
			v.SetInt(int64(len(to)))
		}
	}
	return 1
}

// TestGrantsThatDifferAnywhereAreNotEqual walks every attribute there is: whoever adds one, and forgets it in Equal or Clone, fails here.
func TestGrantsThatDifferAnywhereAreNotEqual(t *testing.T) {
	places := change(reflect.ValueOf(&Narrowing{}).Elem(), -1, "")
	if places < 16 {
		t.Fatalf("%d places", places)
	}
	for n := range places {
		var narrow Narrowing
		change(reflect.ValueOf(&narrow).Elem(), n, "a")
		grant := Grant{"id": narrow}
		copied := grant.Clone()
		switch {
		case grant.Equal(Grant{"id": {}}), Grant{"id": {}}.Equal(grant), grant.Equal(Grant{"other": narrow}), grant.Equal(Grant{}), grant.Equal(nil):
			t.Errorf("%+v is equal to another", narrow)
		case !grant.Equal(copied), !reflect.DeepEqual(grant, copied):
			t.Errorf("%+v is cloned as %+v", narrow, copied["id"])
		}
		change(reflect.ValueOf(&narrow).Elem(), n, "abc") // where it lies
		if changed := (Grant{"id": narrow}); changed.Equal(copied) || !changed.Equal(changed.Clone()) {
			t.Errorf("%+v changed with what it was cloned from", copied["id"])
		}
	}
	if copied := Grant(nil).Clone(); copied != nil || !copied.Equal(Grant{}) {
		t.Errorf("no grant is cloned as %v", copied)
	}
}
