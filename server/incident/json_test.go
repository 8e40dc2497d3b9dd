package incident

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/riposte-soar/riposte/host/compact"
	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/journal"
)

// What writes itself is what encoding/json makes of it: with no member, with all, with each alone, and with all others.
func TestWhatWritesItself(t *testing.T) {
	for _, zero := range []journal.Writer{Opened{}, AlarmJoined{}, RunStarted{}, RunFinished{}, ActionStarted{}, ActionFinished{}, Head{}} {
		kind := reflect.TypeOf(zero)
		compare := func(filled func(member int) bool) {
			v := reflect.New(kind).Elem()
			for i := range kind.NumField() {
				if filled(i) {
					fill(t, v.Field(i))
				}
			}
			var want bytes.Buffer
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(v.Interface()); err != nil {
				t.Fatal(err)
			}
			var got compact.Writer
			v.Interface().(journal.Writer).WriteJSON(&got)
			if got.Err != nil || string(got.B)+"\n" != want.String() {
				t.Errorf("%s writes\n%s, want\n%s%v", kind, got.B, want.String(), got.Err)
			}
		}
		compare(func(int) bool { return false })
		compare(func(int) bool { return true })
		for i := range kind.NumField() {
			compare(func(member int) bool { return member == i })
			compare(func(member int) bool { return member != i })
		}
	}
}

// fill gives a member a value that is not its zero.
func fill(t *testing.T, v reflect.Value) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("", 3600))
	switch v.Addr().Interface().(type) {
	case *json.RawMessage:
		v.SetBytes([]byte(`{"a":[1,2.50,"<é>"]}`))
	case *time.Time:
		v.Set(reflect.ValueOf(at))
	case **time.Time:
		v.Set(reflect.ValueOf(&at))
	case **abi.Fault:
		v.Set(reflect.ValueOf(&abi.Fault{Kind: abi.Failed, Message: "<no>"}))
	case *map[string]json.RawMessage:
		v.Set(reflect.ValueOf(map[string]json.RawMessage{"b": []byte(`1`), "a": []byte(`"<"`)}))
	case *[]string:
		v.Set(reflect.ValueOf([]string{"", "<b>"}))
	case *[]RunHead:
		v.Set(reflect.ValueOf([]RunHead{{}, {ID: "RUN-1", Runbook: "<b>", Status: Running}}))
	default:
		switch {
		case v.Kind() == reflect.String:
			v.SetString("a <b> & \"c\" \\ \u2028 \x00 \xff \x7f é")
		case v.CanInt():
			v.SetInt(-1_234_567_890_123)
		case v.Kind() == reflect.Bool:
			v.SetBool(true)
		default:
			t.Fatalf("no value for a %s", v.Type())
		}
	}
}

// An empty list is not the same as none, and what is no JSON is not stored.
func TestWhatIsNotThere(t *testing.T) {
	var w compact.Writer
	Head{Runs: []RunHead{}}.WriteJSON(&w)
	if want := []byte(`"runs":[],`); !bytes.Contains(w.B, want) {
		t.Errorf("%s has no %s", w.B, want)
	}
	for _, text := range []string{"", "{", "{}{}"} {
		_, err := journal.FactOps([]journal.Fact{{Kind: FactActStarted, Value: ActionStarted{Parameters: json.RawMessage(text)}}})
		if err == nil {
			t.Errorf("parameters %q were stored", text)
		}
	}
}
