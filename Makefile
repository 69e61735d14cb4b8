# "make" prints what there is. Variables may be set on the command line: make fuzz FUZZTIME=1m.

GO       ?= go
BIN      := $(CURDIR)/.bin
FUZZTIME ?= 10s
# Which benchmarks, and how long each: make bench BENCH=Create BENCHTIME=1x
BENCH     ?= .
BENCHTIME ?= 1s
# Further flags of "go test": make test-root TESTFLAGS='-run TestCluster -v'
TESTFLAGS ?=
# Flags of integration/withredis: --require-real fails where no real Redis can be had.
WITHREDIS_FLAGS ?=
# The race detector runs on the root module. With ./integration/... too it compiles the embedded Temporal server once more.
RACE_PACKAGES ?= ./...
# The subcommand that "make demo" runs.
DEMO ?= demo

# Pinned: a linter's new version finds new things. This one builds with the Go version of go.mod.
GOLANGCI_VERSION      := v2.15.0
WORKFLOWCHECK_VERSION := v0.6.0

GOLANGCI      := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
WORKFLOWCHECK := $(BIN)/workflowcheck-$(WORKFLOWCHECK_VERSION)
WITHREDIS     := $(BIN)/withredis

# The three modules of go.work.
ROOT     := ./...
MODULES  := $(ROOT) ./cli/... ./integration/...

GOTEST := $(GO) test -count=1 -shuffle=on

.DEFAULT_GOAL := help

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##
## Tests
##

# Everything is compiled before the first test runs: tests that measure lateness must not share two cores with a compiler.
# For the same reason the packages that embed a Temporal server run one at a time. They come last: a broken unit test shows
# early.
.PHONY: test
test: $(WITHREDIS) ## All tests of the three modules, on a real Redis
	$(GO) build $(MODULES)
	$(GO) build -tags faultpoints -o /dev/null ./worker/carillon-worker
	$(WITHREDIS) $(WITHREDIS_FLAGS) -- $(MAKE) --no-print-directory test-given-redis

.PHONY: test-given-redis
test-given-redis:
	$(GOTEST) -tags faultpoints ./internal/fault
	$(GOTEST) -timeout 8m $(TESTFLAGS) $(ROOT)
	$(GOTEST) -timeout 20m -p 1 $(TESTFLAGS) ./cli/... ./integration/...

.PHONY: test-root
test-root: ## The root module's tests, quick: no Docker, no Temporal server
	$(GO) test $(TESTFLAGS) $(ROOT)

.PHONY: race
race: $(WITHREDIS) ## The root module's tests under the race detector, on a real Redis
	$(WITHREDIS) $(WITHREDIS_FLAGS) -- $(GOTEST) -race -timeout 15m $(TESTFLAGS) $(RACE_PACKAGES)

.PHONY: faults
faults: $(WITHREDIS) ## Longer runs with crashes, pauses and slot migrations
	CARILLON_FAULTS=1 $(WITHREDIS) $(WITHREDIS_FLAGS) -- $(GOTEST) -timeout 40m -p 1 $(TESTFLAGS) ./integration/...

# Each run ends with a line that begins with "soak:". TESTFLAGS='-run TestSoakKilledWorker' takes one of them;
# CARILLON_SOAK_ROUNDS (100) and CARILLON_SOAK_CHECKS (5000) make them shorter or longer.
.PHONY: soak
soak: $(WITHREDIS) ## Runs of an hour or more, on a real Redis
	CARILLON_SOAK=1 $(WITHREDIS) $(WITHREDIS_FLAGS) -- $(GO) test -count=1 -timeout 12h -v -run '^TestSoak' $(TESTFLAGS) \
		./integration

# Each target runs alone, in the folder's own package: go test takes one fuzz target at a time.
.PHONY: fuzz
fuzz: ## Each fuzz target of the tree for FUZZTIME (10s)
	@set -e; targets=$$($(MAKE) -s fuzz-targets); \
	[ -n "$$targets" ] || echo "no fuzz targets"; \
	echo "$$targets" | while read -r package target; do \
		[ -n "$$target" ] || continue; \
		echo "== $$target in $$package for $(FUZZTIME)"; \
		$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) -timeout 10m "$$package" </dev/null; \
	done

.PHONY: fuzz-targets
fuzz-targets: ## List the fuzz targets: package and name
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . \
		| sed -E 's,^(.*)/[^/]*:func (.*)$$,\1 \2,' | LC_ALL=C sort -u

.PHONY: bench
bench: $(WITHREDIS) ## The benchmarks: BENCH names them, BENCHTIME=1x runs each once
	$(WITHREDIS) $(WITHREDIS_FLAGS) -- $(GO) test -run='^$$' -bench='$(BENCH)' -benchtime=$(BENCHTIME) -benchmem \
		-timeout 1h -p 1 $(TESTFLAGS) $(ROOT) ./integration/...

##
## Code
##

.PHONY: lint
lint: $(GOLANGCI) $(WORKFLOWCHECK) ## golangci-lint on the three modules, workflowcheck on the workflows
	$(GOLANGCI) run $(MODULES)
	$(GOLANGCI) run --build-tags faultpoints ./internal/fault
	$(WORKFLOWCHECK) ./workflows/...

.PHONY: fix
fix: $(GOLANGCI) ## Format, and repair what the linters can repair
	$(GOLANGCI) run --fix $(MODULES)

.PHONY: proto
proto: ## Generate *.pb.go from *.proto (needs protoc: Debian's protobuf-compiler)
	GOBIN=$(BIN) $(GO) install google.golang.org/protobuf/cmd/protoc-gen-go
	find . -name '*.proto' -not -path './.*' -print | LC_ALL=C sort | xargs -r protoc \
		--plugin=$(BIN)/protoc-gen-go --go_out=. --go_opt=module=github.com/carillon-io/carillon

.PHONY: tidy
tidy: ## go mod tidy in each module
	for module in . cli integration; do (cd $$module && $(GO) mod tidy) || exit 1; done
	$(GO) work sync

##
## Programs
##

.PHONY: build
build: ## The programs, into .bin
	$(GO) build $(MODULES)
	$(GO) build -o $(BIN)/ ./worker/carillon-worker ./cli/carillon

.PHONY: demo
demo: ## Temporal, its Web UI, Redis and Carillon in one process, on this machine
	$(GO) build -o $(BIN)/ ./cli/carillon
	$(BIN)/carillon $(DEMO)

.PHONY: images
images: ## Build the Docker images that the tests use, from what is installed; needs no registry
	$(GO) run ./integration/images/build

.PHONY: clean
clean: ## Remove built programs and tools, and forget test results and findings
	rm -rf $(BIN)
	$(GO) clean -testcache

# Built each time, which is quick when nothing has changed, and not "go run": that would not pass signals on.
.PHONY: $(WITHREDIS)
$(WITHREDIS):
	@$(GO) build -o $@ ./integration/withredis

# The version is part of the name, so that a new one is installed.
$(GOLANGCI):
	GOBIN=$(BIN) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@

$(WORKFLOWCHECK):
	GOBIN=$(BIN) $(GO) install go.temporal.io/sdk/contrib/tools/workflowcheck@$(WORKFLOWCHECK_VERSION)
	mv $(BIN)/workflowcheck $@
