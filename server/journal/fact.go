package journal

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riposte-soar/riposte/host/compact"
)

// Kind names what happened. The kinds and their data are declared by the packages that fold them.
type Kind string

// Fact is one thing that happened to an incident or to one of its runs. Facts of an incident are numbered from 1 without a gap;
// everything that is known of an incident is the fold of its facts.
type Fact struct {
	Seq      uint64          `json:"seq"`
	Time     time.Time       `json:"time"`
	Kind     Kind            `json:"kind"`
	Incident string          `json:"incident"`
	Run      string          `json:"run,omitempty"`
	Step     string          `json:"step,omitempty"` // path of the step within the run
	By       string          `json:"by,omitempty"`   // who did it; empty for Riposte itself
	Data     json.RawMessage `json:"data,omitempty"`
	// Value is what Data is to be the JSON of, in a fact that is not stored yet. It must not be changed any more.
	Value any `json:"-"`
}

// Decode gives the fact's data. A T, or a pointer to one, that is the fact's value is given as it is.
func Decode[T any](f *Fact) (T, error) {
	switch v := f.Value.(type) {
	case T:
		return v, nil
	case *T:
		return *v, nil
	}
	var v T
	if err := json.Unmarshal(f.Data, &v); err != nil {
		return v, fmt.Errorf("fact %s/%d %s: %w", f.Incident, f.Seq, f.Kind, err)
	}
	return v, nil
}

// maxTogether is how many bytes of facts are stored under one key, unless a single one is longer.
const maxTogether = 4 << 10

// How many bytes are enough for most: for facts that are stored together, and for another value.
const (
	usualFacts = 1536
	usualSize  = 512
)

// FactKey is the key of facts that were stored together, of which seq is the last: those of one incident are neighbours, in order.
func FactKey(incident string, seq uint64) []byte {
	key := append([]byte("f/"), incident...)
	return binary.BigEndian.AppendUint64(append(key, '/'), seq)
}

// Writer is a value that writes itself. What it appends is what encoding/json makes of it without escaping HTML.
type Writer interface{ WriteJSON(w *compact.Writer) }

// FactOps gives the ops that store facts of one incident, which follow each other, as JSON arrays.
func FactOps(facts []Fact) ([]Op, error) {
	var ops []Op
	list := compact.Writer{B: make([]byte, 0, usualFacts)}
	for i := range facts {
		f := &facts[i]
		list.B = append(list.B, "[,"[min(len(list.B), 1)])
		if f.write(&list); list.Err != nil {
			return nil, fmt.Errorf("fact %s of %s: %w", f.Kind, f.Incident, list.Err)
		}
		if i+1 < len(facts) && len(list.B) < maxTogether {
			continue
		}
		list.Raw("]")
		ops = append(ops, Op{Key: FactKey(f.Incident, f.Seq), Value: list.B})
		list.B = nil
	}
	return ops, nil
}

// write appends the fact, with its value, if it has one, in the place of its data.
func (f *Fact) write(w *compact.Writer) {
	w.Number(`{"seq":`, int64(f.Seq))
	w.Time(`,"time":`, f.Time)
	w.Text(`,"kind":`, string(f.Kind))
	w.Text(`,"incident":`, f.Incident)
	w.Filled(`,"run":`, f.Run)
	w.Filled(`,"step":`, f.Step)
	w.Filled(`,"by":`, f.By)
	switch v := f.Value.(type) {
	case nil:
		if len(f.Data) > 0 {
			w.Document(`,"data":`, f.Data)
		}
	case Writer:
		w.Raw(`,"data":`)
		v.WriteJSON(w)
	default:
		w.Other(`,"data":`, v)
	}
	w.Raw("}")
}

// Facts calls fn for each fact of an incident, in order, from the one after seq on.
func Facts(s Store, incident string, after uint64, fn func(*Fact) error) error {
	prefix := []byte("f/" + incident + "/")
	return s.Scan(prefix, FactKey(incident, after), false, func(_, value []byte) error {
		var list []Fact
		if err := json.Unmarshal(value, &list); err != nil {
			return fmt.Errorf("journal of %s: %w", incident, err)
		}
		for i := range list {
			if list[i].Seq <= after {
				continue
			}
			if err := fn(&list[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Put gives the op that stores v, as JSON, under key.
func Put(key string, v any) (Op, error) {
	if v, ok := v.(Writer); ok {
		w := compact.Writer{B: make([]byte, 0, usualSize)}
		v.WriteJSON(&w)
		return Op{Key: []byte(key), Value: w.B}, w.Err
	}
	value, err := json.Marshal(v)
	return Op{Key: []byte(key), Value: value}, err
}

// Read reads the JSON value under key into v; ErrNotFound if there is none.
func Read(s Store, key string, v any) error {
	value, err := s.Get([]byte(key))
	if err != nil {
		return err
	}
	return json.Unmarshal(value, v)
}
