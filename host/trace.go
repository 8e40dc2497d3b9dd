package host

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/host/bundle"
	"github.com/riposte-soar/riposte/host/meter"
	"github.com/riposte-soar/riposte/pdk/abi"
)

// Bounds of a stack: the names in it are an author's.
const (
	maxFrames    = 100
	maxFrameName = 300 // bytes
)

// stackOf reads the guest's stack out of an error of the engine, innermost function first. Where the module carries DWARF it has places,
// "function (file:line:column)", and the functions that were inlined.
func stackOf(err error, b *bundle.Bundle) []string {
	_, trace, _ := strings.Cut(err.Error(), "wasm stack trace:\n")
	trace, _, _ = strings.Cut(trace, "\n\n")
	var names []string
	var offsets []uint64 // in the code; 0 where it is not known
	known := false
	for line := range strings.Lines(trace) {
		line = strings.TrimSpace(line)
		at, _, isOffset := strings.Cut(line, ": ")
		switch {
		case isOffset && strings.HasPrefix(at, "0x") && len(offsets) > 0:
			if offset, err := strconv.ParseUint(at, 0, 32); err == nil {
				offsets[len(offsets)-1], known = offset, true
			}
		case line != "" && !strings.HasPrefix(line, "... ") && len(names) < maxFrames: // the engine leaves the rest out
			names, offsets = append(names, functionName(line)), append(offsets, 0)
		}
	}
	places := make([][]meter.Place, len(names))
	if known {
		if module, err := b.Module(); err == nil {
			if found, err := meter.Places(module, meter.Options{}, offsets); err == nil {
				places = found
			}
		}
	}
	var stack []string
	for i := afterPanic(names); i < len(names); i++ {
		name := names[i]
		if !strings.HasPrefix(name, meter.ImportModule) { // which we put there
			stack = append(stack, frames(name, places[i])...)
		}
	}
	return stack[:min(len(stack), maxFrames)]
}

// afterPanic gives the index of the first frame that is not the machinery of Rust's panics, which all of them begin with.
func afterPanic(names []string) int {
	first := slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, "rust_begin_unwind") }) + 1
	for first > 0 && first < len(names) {
		name := names[first]
		library := strings.HasPrefix(name, "core::") || strings.Contains(name, "4core") // which is how it is mangled
		if !library || !strings.Contains(name, "panic") && !strings.Contains(name, "fail") {
			break
		}
		first++
	}
	return first
}

// functionName takes the signature off a line of the engine's trace: "name(i32,i64) i32", "name() (i32,i64)".
func functionName(line string) string {
	line = strings.TrimPrefix(line, ".") // behind the name of the module, which is none
	if at := strings.LastIndex(line, ") ("); at > 0 && strings.HasSuffix(line, ")") {
		line = line[:at]
	}
	if at := strings.LastIndexByte(line, '('); at > 0 {
		line = line[:at]
	}
	return strings.ToValidUTF8(demangle(line[:min(len(line), maxFrameName)]), "")
}

// demangle reads a name in the older of Rust's manglings, "_ZN4main3run17h0123456789abcdefE", which is that of C++ but for the hash:
// https://doc.rust-lang.org/rustc/symbol-mangling. Other names are as they are.
func demangle(name string) string {
	rest, ok := strings.CutPrefix(name, "_ZN")
	var parts []string
	for ok && !strings.HasPrefix(rest, "E") {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.Atoi(rest[:digits])
		if ok = err == nil && n > 0 && digits+n <= len(rest); ok {
			parts, rest = append(parts, rest[digits:digits+n]), rest[digits+n:]
		}
	}
	if !ok || len(parts) == 0 {
		return name
	}
	if last := parts[len(parts)-1]; len(parts) > 1 && len(last) == 17 && last[0] == 'h' {
		parts = parts[:len(parts)-1]
	}
	for i, part := range parts {
		parts[i] = strings.TrimPrefix(strings.NewReplacer("$LT$", "<", "$GT$", ">", "$RF$", "&", "$BP$", "*", "$C$", ",", "$LP$", "(", "$RP$", ")",
			"$u20$", " ", "$u5b$", "[", "$u5d$", "]", "$u7b$", "{", "$u7d$", "}", "..", "::").Replace(part), "_")
	}
	return strings.Join(parts, "::")
}

// frames are the lines of a function and of what was inlined into it. The linker's name of it says more than that in the source, unless it
// is still mangled.
func frames(name string, places []meter.Place) []string {
	if len(places) == 0 {
		return []string{name}
	}
	var lines []string
	for i, p := range places {
		function := p.Function
		if i == len(places)-1 && !strings.HasPrefix(name, "_ZN") && !strings.HasPrefix(name, "_R") && !strings.HasPrefix(name, "$") {
			function = name
		}
		where := fmt.Sprintf("%s:%d", p.File, p.Line)
		if p.Column > 0 {
			where += ":" + strconv.Itoa(p.Column)
		}
		lines = append(lines, cmp.Or(function, name)+" ("+strings.ToValidUTF8(where[max(len(where)-maxFrameName, 0):], "")+")")
	}
	return lines
}

// goStack reads the stack that a Go program writes when it panics; its modules carry no DWARF. The frames of the runtime that lead to the panic
// are left out.
func goStack(said []abi.LogEntry) []string {
	if len(said) >= speechLines { // what was in the middle is lost
		said = said[:speechLines/2]
	}
	var stack []string
	running := false
	for i, e := range said {
		running = running || strings.HasPrefix(e.Message, "goroutine ") && strings.Contains(e.Message, " [running")
		if !running || i+1 == len(said) {
			continue
		}
		place, _, ok := strings.Cut(said[i+1].Message, " +0x")
		function := functionName(e.Message)
		if !ok || !strings.Contains(place, ".go:") || len(stack) == 0 && (function == "panic" || strings.HasPrefix(function, "runtime.")) {
			continue
		}
		stack = append(stack, function+" ("+place+")")
	}
	return stack
}
