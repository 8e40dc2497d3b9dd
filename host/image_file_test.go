package host

import (
	"bytes"
	"reflect"
	"testing"
)

// FuzzImage: nothing but what encode wrote is taken for an image, and no bytes make the reader panic.
func FuzzImage(f *testing.F) {
	for _, im := range []*image{
		{imageHead: imageHead{Code: "sha256:1", Fresh: "the code changes tables"}},
		{imageHead: imageHead{Code: "sha256:2", Clock: 7, Globals: map[string]uint64{"a": 1, "b": 1<<64 - 1}}, memory: make([]byte, 64<<10)},
	} {
		file, err := im.encode()
		if err != nil {
			f.Fatal(err)
		}
		head, size, err := readHead(bytes.NewReader(file), int64(len(file)))
		if err != nil || !reflect.DeepEqual(head, im.imageHead) || size != int64(len(im.memory)) {
			f.Fatalf("%+v was read as %+v with %d bytes: %v", im.imageHead, head, size, err)
		}
		f.Add(file)
	}
	f.Add([]byte{})
	f.Add(make([]byte, footBytes))
	f.Fuzz(func(t *testing.T, file []byte) {
		head, size, err := readHead(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		again, err := (&image{imageHead: head, memory: file[:size]}).encode()
		if err != nil {
			t.Fatal(err)
		}
		if second, _, err := readHead(bytes.NewReader(again), int64(len(again))); err != nil || !reflect.DeepEqual(head, second) {
			t.Errorf("%+v was read as %+v: %v", head, second, err)
		}
	})
}
