package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/riposte-soar/riposte/host/tape"
)

// keep writes the tape of a call beside the case, and names it in the case if that has none yet.
func (c *Case) keep(index int, stage string, entries []tape.Entry) error {
	if index < len(c.Tapes) {
		return WriteTape(c.Tapes[index], entries)
	}
	name := c.Name + tapeSuffix
	if stage != "" {
		name = fmt.Sprintf("%s-%d%s", c.Name, index+1, tapeSuffix)
	}
	file := filepath.Join(filepath.Dir(c.File), name)
	if err := WriteTape(file, entries); err != nil {
		return err
	}
	c.Tapes = append(c.Tapes, file)
	if c.root.Get("tape") != nil {
		return nil
	}
	line := "tape: " + name + "\n"
	if stage != "" {
		line = "  - " + name + "\n"
		if index == 0 {
			line = "tape:\n" + line
		}
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	return os.WriteFile(c.File, append([]byte(strings.TrimRight(string(text), "\n")+"\n"), line...), 0o644)
}

// WriteTape writes a tape, in place of one that is there. Large bodies lie beside it, in the folder blobs.
func WriteTape(name string, entries []tape.Entry) error {
	part := name + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := tape.OpenFile(part)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := f.Append(e, false); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Chmod(part, 0o644); err != nil {
		return err
	}
	return os.Rename(part, name)
}
