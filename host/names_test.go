package host

import "testing"

func TestFunctionNames(t *testing.T) {
	for line, want := range map[string]string{
		".main.main()":                          "main.main",
		".main.(*host).act(i32,i64) i32":        "main.(*host).act",
		"two() (i32,i64)":                       "two",
		"riposte:log/v1.write(i64) i64":         "riposte:log/v1.write",
		".$12(i32)":                             "$12",
		"(i32)":                                 "(i32)",
		"_ZN2rs5check17hf50fd3f129d7ec44E(i32)": "rs::check",
		"_ZN3std9panicking19begin_panic_handler28_$u7b$$u7b$closure$u7d$$u7d$17h9e9ba254d816924bE(i32)": "std::panicking::begin_panic_handler::{{closure}}",
		"_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE()":   "<alloc::string::String as core::fmt::Display>::fmt",
		"_ZN3app4loadEi()":         "app::load",
		"_ZN99short":               "_ZN99short",
		"_ZNE":                     "_ZNE",
		"_ZN":                      "_ZN",
		"_ZN99999999999999999999x": "_ZN99999999999999999999x",
		"_RNvCs1234_7___rustc17rust_begin_unwind(i32)": "_RNvCs1234_7___rustc17rust_begin_unwind",
	} {
		if got := functionName(line); got != want {
			t.Errorf("%s is %q, want %q", line, got, want)
		}
	}
}

func TestFramesOfPanics(t *testing.T) {
	for _, test := range []struct {
		names []string
		first int
	}{
		{[]string{"divide", "main"}, 0},
		{nil, 0},
		{[]string{"abort", "rust_begin_unwind", "core::panicking::panic_fmt", "core::result::unwrap_failed", "core::iter::Iterator::fold", "main"}, 4},
		{[]string{"_RNvCs1_7___rustc17rust_begin_unwind", "_RNvNtCs2_4core9panicking9panic_fmt", "fail"}, 2},
		{[]string{"rust_begin_unwind"}, 1},
	} {
		if first := afterPanic(test.names); first != test.first {
			t.Errorf("%q begin at %d, want %d", test.names, first, test.first)
		}
	}
}
