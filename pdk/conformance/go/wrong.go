package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/riposte-soar/riposte/pdk/abi"
	pdk "github.com/riposte-soar/riposte/pdk/go"
)

// What goes wrong: faults, crashes, and what has no end.

//go:wasmexport fail
func exportFail() int32 {
	return pdk.Run(func(_ *pdk.Call, p abi.Fault) (none, error) { return none{}, &p })
}

//go:wasmexport catch
func exportCatch() int32 {
	return pdk.Run(func(c *pdk.Call, p path) (map[string]any, error) {
		base, err := base(c)
		if err != nil {
			return nil, err
		}
		_, err = c.HTTP("api").Get(base + p.Path)
		if err == nil {
			return nil, errors.New("there was no fault")
		}
		f := abi.AsFault(err)
		return map[string]any{"kind": f.Kind, "message": f.Message, "hint": f.Hint, "where": f.Where, "retryable": f.Retryable, "retry_after_ms": f.RetryAfter}, nil
	})
}

//go:wasmexport crash
func exportCrash() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) {
		list := []int{1}
		i, err := strconv.Atoi("7")
		return list[i], err
	})
}

//go:wasmexport recurse
func exportRecurse() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) { return deeper(1), nil })
}

//go:noinline
func deeper(n int) int { return n + deeper(n+1) } //nolint:staticcheck // that it never ends is what it is for

//go:wasmexport dig
func exportDig() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) { return dig([16]int{1}), nil })
}

//go:noinline
func dig(above [16]int) int {
	here := above
	here[above[3]&15]++
	return here[0] + dig(here) //nolint:staticcheck // without an end, which is the trial
}

//go:wasmexport devour
func exportDevour() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) {
		for all := [][]byte{}; ; {
			all = append(all, make([]byte, 1<<20))
		}
	})
}

//go:wasmexport spin
func exportSpin() int32 {
	return pdk.Run(func(*pdk.Call, none) (int, error) {
		for n := 1; ; n++ {
			if n == 0 {
				return n, nil
			}
		}
	})
}

//go:wasmexport flood
func exportFlood() int32 {
	return pdk.Run(func(_ *pdk.Call, p amount) (string, error) { return strings.Repeat("x", p.Bytes), nil })
}

//go:wasmexport lie
func exportLie() int32 {
	return pdk.Run(func(*pdk.Call, none) (map[string]string, error) { return map[string]string{"score": "high"}, nil })
}
