# Riposte needs Go and nothing else. `make` alone prints what can be asked of it.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
GO          ?= go
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
PKG         ?= ./...
FUZZTIME    ?= 10s
BENCH       ?= .
BENCHTIME   ?= 1s
ENGINES     ?=

# One binary without a C library. `make test CGO_ENABLED=1 TESTFLAGS=-race` looks for races.
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help build plugins toolchains engines engines-check engines-pin demo test check format vet lint generated fuzz bench bench-parts fmt clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

build: plugins ## build the plugins and bin/riposte
	$(GO) build -o bin/riposte ./cmd/riposte

plugins: ## build the plugins that changed, into plugins/dist
	$(GO) run ./plugins/build

toolchains: ## get the compilers for Rust, C and AssemblyScript, and the Lua, that are missing here
	pdk/toolchains.sh

engines: ## build the engines that plugins in Python, JavaScript and Lua run in, if they changed (ENGINES=perl: that for Perl)
	pdk/engine/make.sh $(ENGINES)

engines-check: ## build each engine twice, in different folders: the bytes must be the same
	pdk/engine/make.sh --check $(ENGINES)

engines-pin: ## the same, and write what they are made to into pdk/engine/digests
	pdk/engine/make.sh --pin $(ENGINES)

demo: build ## run the demo: simulated vendors and one real incident
	bin/riposte plugin compile
	bin/riposte demo

# Of a package that passes, one line, and what it could not test; of one that fails, everything.
SUMMARY := awk '/\[no test files\]$$/ || /^ *(=== |--- PASS)/ {next} \
  /^ok  \t/ {printf "%s", untested; print; fflush(); n = 0; untested = ""; next} \
  {line[++n] = $$0} /NOT TESTED/ {untested = untested $$0 "\n"} \
  /^FAIL/ {for (i = 1; i <= n; i++) print line[i]; fflush(); n = 0; untested = ""} \
  END {for (i = 1; i <= n; i++) print line[i]}'

test: plugins ## run all tests; what this machine cannot test says NOT TESTED and why
	@echo "$(GO) test $(TESTFLAGS) $(PKG)"; $(GO) test -v -timeout 30m $(TESTFLAGS) $(PKG) | $(SUMMARY)

check: plugins format vet lint generated test ## all that CI checks: format, vet, lint, generated files, layers, tests

format:
	@found=$$(gofmt -s -l .); if [ -n "$$found" ]; then echo "not formatted (make fmt):"; echo "$$found"; exit 1; fi

vet:
	$(GO) vet ./...

# The cache of the linter remembers paths, so each checkout has one.
lint:
	GOLANGCI_LINT_CACHE=$(CURDIR)/build/lint $(GO) run $(GOLANGCI) run

# Generating must leave the files of the repository as they are.
generated:
	@before=$$(git diff | git hash-object --stdin); $(GO) generate ./...; \
	if [ "$$before" != "$$(git diff | git hash-object --stdin)" ]; then echo "generated files differ:"; git diff --stat; exit 1; fi

fuzz: plugins ## fuzz each target for FUZZTIME (10s)
	@grep -rHoE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' . | sed -E 's#/[^/]*:func # #' | while read -r dir target; do \
	  $(GO) test "$$dir" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) </dev/null || { echo "FAILED: $$target in $$dir"; exit 1; }; done

siege: plugins ## let each hostile guest run 100 times beside real work, and print how long the others waited
	$(GO) test ./host -run '^TestSiege$$' -count 1 -v -timeout 30m -siege.times 100 -siege.deadline 20ms | grep -vE '^ *(===|---)'

bench: build ## measure the whole path, the sandbox and what authors wait for (BENCHFLAGS), then hostile guests
	$(GO) run ./testing/bench $(BENCHFLAGS)
	@$(MAKE) --no-print-directory siege

bench-parts: plugins ## run the benchmarks of the packages (BENCH=regexp, BENCHTIME=1s)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem \
	  $$(grep -rlE '^func Benchmark' --include='*_test.go' . | xargs -n1 dirname | sort -u)

fmt: ## format the Go files
	gofmt -s -w .

clean: ## remove what was built
	rm -rf bin build plugins/dist/*.wasm plugins/dist/.inputs
