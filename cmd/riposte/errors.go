package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/riposte-soar/riposte/pdk/abi"
	"github.com/riposte-soar/riposte/server/document"
)

// Exit codes.
const (
	exitFailed = 1 // the server, or the thing asked for, failed
	exitUsage  = 2 // the command line, a file or the content is wrong
)

// usageError is a mistake on the command line.
type usageError struct{ error }

// errInterrupted is what somebody's Ctrl-C, or the end of the session, comes to.
var errInterrupted = errors.New("interrupted")

// usagef is a usageError of these words.
func usagef(format string, words ...any) error { return usageError{fmt.Errorf(format, words...)} }

// complain tells people what went wrong, or programs, who asked for JSON; and gives the exit code.
func complain(w io.Writer, err error, asJSON bool) int {
	err = inWords(err)
	code := exitCode(err)
	if asJSON {
		_ = json.NewEncoder(w).Encode(struct {
			Errors []*abi.Fault `json:"errors"`
			Exit   int          `json:"exit"`
		}{faultsOf(err), code})
		return code
	}
	w = calmWriter{w}
	var problems document.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			fmt.Fprintln(w, p.String())
		}
		fmt.Fprintf(w, "%d problem(s)\n", len(problems))
		return code
	}
	fmt.Fprintln(w, "riposte:", err)
	return code
}

func exitCode(err error) int {
	var fault *abi.Fault
	if errors.As(err, new(document.Problems)) || errors.As(err, new(usageError)) || errors.As(err, &fault) && fault.Kind == abi.Invalid {
		return exitUsage
	}
	return exitFailed
}

// faultsOf lists the faults that an error stands for.
func faultsOf(err error) []*abi.Fault {
	var problems document.Problems
	var fault *abi.Fault
	var joined interface{ Unwrap() []error }
	switch {
	case errors.As(err, &problems):
		list := make([]*abi.Fault, len(problems))
		for i, p := range problems {
			list[i] = &abi.Fault{Kind: abi.Invalid, Message: p.Message, Where: p.Where(), Hint: p.Hint}
		}
		return list
	case errors.As(err, &joined):
		var list []*abi.Fault
		for _, one := range joined.Unwrap() {
			list = append(list, faultsOf(one)...)
		}
		return list
	case errors.As(err, &fault):
		return []*abi.Fault{fault}
	case errors.Is(err, errInterrupted):
		return []*abi.Fault{{Kind: abi.Cancelled, Message: err.Error()}}
	case errors.As(err, new(usageError)):
		message, see, _ := strings.Cut(err.Error(), "\n")
		return []*abi.Fault{{Kind: abi.Invalid, Message: message, Hint: see}}
	}
	return []*abi.Fault{{Kind: abi.Failed, Message: err.Error()}}
}

// inWords tells what the system said of a file in our words, where nobody did before.
func inWords(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, new(*abi.Fault)):
		return err
	case errors.As(err, &path):
		return inFile(path.Path, err, "")
	case errors.As(err, &link):
		return inFile(link.New, err, "")
	}
	return err
}

// inFile says which file an error is about, and what was expected there, such as "a package" and how to come by one. A fault that names a place
// keeps it. Errors that are neither faults nor from the system stay as they are.
func inFile(name string, err error, expected string) error {
	var fault *abi.Fault
	if errors.As(err, &fault) {
		if fault.Kind == abi.Internal || fault.Where != "" {
			return err
		}
		named := *fault
		named.Where = name
		return &named
	}
	f := &abi.Fault{Kind: abi.Failed, Where: name}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		f.Kind, f.Message = abi.NotFound, "there is no such file or folder"
	case errors.Is(err, fs.ErrExist):
		f.Kind, f.Message, f.Hint = abi.Conflict, "it is there already", "choose another name, or remove it"
	case errors.Is(err, fs.ErrPermission):
		f.Kind, f.Message, f.Hint = abi.Refused, "this user may not do that", "look at its owner and mode, and at those of its folder: ls -ld"
	case errors.Is(err, syscall.EISDIR):
		f.Kind, f.Message = abi.Invalid, "this is a folder, and not a file"
	case errors.Is(err, syscall.ENOTDIR):
		f.Kind, f.Message = abi.Invalid, "a file is where a folder should be"
	case errors.Is(err, syscall.EROFS):
		f.Kind, f.Message, f.Hint = abi.Refused, "nothing can be written to this file system", "choose another folder"
	case errors.Is(err, syscall.ENOSPC):
		f.Message, f.Hint = "the disk is full", "make room, or choose another folder"
	default:
		return err
	}
	if expected != "" {
		f.Hint = "expected " + expected
	}
	return f
}

// folderArg takes no argument, or the folder of a plugin.
func folderArg(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("%s takes one folder, that of a plugin; these are %d\nsee `%s --help`", cmd.CommandPath(), len(args), cmd.CommandPath())
	}
	return nil
}

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return r > '~' || r <= ' ' || strings.ContainsRune("\"'`$&|;<>()*?[]{}!#~\\", r)
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}
