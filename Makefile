# gvpn: targets and what they do. `make` alone lists them.

GO      ?= go
FUZZTIME ?= 10s
SOAKTIME ?= 10m
KILLS ?= 500
MEMBERS ?= 20000
BENCHTIME ?= 1s

.DEFAULT_GOAL := help
.PHONY: help build run test lint generate bench fuzz soak interop record cover

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/gvpnd (the daemon) and bin/gvpn (the shell's client)
	$(GO) build -o bin/gvpnd ./cmd/gvpnd
	$(GO) build -o bin/gvpn ./cmd/gvpn

run: build ## run the example topology: nine nodes in one process; a shell on a terminal, else a checked script
	bin/gvpnd lab

test: ## vet, and all tests with the race detector in random order
	$(GO) vet ./...
	$(GO) test -race -shuffle=on ./...

lint: ## golangci-lint (gofumpt and staticcheck in it), built from internal/tools/go.mod
	$(GO) tool -modfile=internal/tools/go.mod golangci-lint run

generate: ## make gen/ and commit/effect/TABLES.md again from the models and tables
	$(GO) generate ./...

bench: ## run every benchmark, BENCHTIME each (default 1s)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

# The time is for new inputs: without -fuzzminimizetime most of it can go into making one interesting input smaller.
# go test -fuzz sometimes ends on its own deadline ("context deadline exceeded"): only a failing input is a failure.
fuzz: ## run every fuzz target, FUZZTIME each (default 10s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n 1 dirname | sort -u | while read -r dir; do \
		grep -ho '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | awk '{ print $$2 }' | sort | while read -r target; do \
			echo "== $$dir $$target"; \
			if out=$$($(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$dir" 2>&1 </dev/null); then \
				echo "$$out" | grep 'fuzz: elapsed' | tail -n 1; \
			elif echo "$$out" | grep -q 'context deadline exceeded' && ! echo "$$out" | grep -q 'Failing input'; then \
				echo "$$out" | grep 'fuzz: elapsed' | tail -n 1; \
			else \
				echo "$$out"; exit 1; \
			fi; \
		done || exit 1; \
	done

soak: ## kill -9 a committing gvpnd KILLS times (default 500), a day of a cluster with MEMBERS members in the simulator, then random fault schedules for SOAKTIME (default 10m), 2,000 at least
	$(GO) test -count=1 -timeout 0 -run Kill -v ./internal/soak -args -kills $(KILLS)
	GVPN_SCALE=$(MEMBERS) $(GO) test -count=1 -timeout 0 -run Scale -v ./internal/sim
	GVPN_SOAK=$(SOAKTIME) $(GO) test -count=1 -timeout 0 -run Soak -v ./internal/sim

interop: build ## real peers: strongSwan, libreswan, ike-scan and tshark against bin/gvpnd, in network namespaces (root; Debian packages in .ci/run)
	$(GO) test -tags interop -count=1 -v -timeout 10m ./internal/interop

record: build ## the same, and write down what was tried (docs/interop.md) and said (internal/interop/testdata)
	$(GO) test -tags interop -count=1 -timeout 10m ./internal/interop -record

cover: ## test coverage per package, and cover.out for go tool cover
	$(GO) test -coverpkg=./... -coverprofile=cover.out ./...
	$(GO) tool cover -func=cover.out | tail -n 1
