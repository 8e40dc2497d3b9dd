package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBuildRepeatsItselfAndRests(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	var first []byte
	for range 2 {
		out := t.TempDir()
		var said bytes.Buffer
		if err := build(&said, out, []string{"webhook"}); err != nil || !strings.Contains(said.String(), "built") {
			t.Fatalf("%v %s", err, said.String())
		}
		module, err := os.ReadFile(filepath.Join(out, "webhook.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, module) {
			t.Error("two builds differ")
		}
		first = module
		said.Reset()
		if err := build(&said, out, []string{"webhook"}); err != nil || !strings.Contains(said.String(), "up to date") {
			t.Errorf("%v %s", err, said.String())
		}
	}
}

func TestUnknownPlugin(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	if err := build(&bytes.Buffer{}, t.TempDir(), []string{"webhok"}); err == nil || !strings.Contains(err.Error(), `no plugin "webhok"`) {
		t.Errorf("got %v", err)
	}
}
