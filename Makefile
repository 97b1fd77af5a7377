# What one can do with this tree; `make` alone says it too.

LINT_VERSION := v2.15.0
CACHE := $(shell dirname "$$(go env GOCACHE)")/lanyard
LINT := $(CACHE)/golangci-lint-$(LINT_VERSION)/golangci-lint
ifeq ($(shell golangci-lint version --short 2>/dev/null),$(LINT_VERSION:v%=%))
LINT := $(shell command -v golangci-lint)
endif

.DEFAULT_GOAL := help
.PHONY: help test test-docker lint lint-api fuzz mutants bench measure cover docs browser lighthouse screenshot clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Run every test, with a real PostgreSQL and Vault; as root on Debian, install what is missing
	@scripts/test

test-docker: ## Run every test with both servers in containers; as root on Debian, start an engine where none runs
	@scripts/docker run scripts/test

lint: $(LINT) lint-api ## Check style, known traps and the import rules
	$(LINT) run --allow-parallel-runners ./...
	cd integration && $(LINT) run --allow-parallel-runners --config ../.golangci.yml ./...

lint-api: ## Check openapi.yaml with Spectral and Redocly; needs npm
	@scripts/apitools lint

fuzz: ## Run each fuzz target; FUZZTIME=20s
	@scripts/fuzz

mutants: ## Break each promise of scripts/mutants/mutants.yaml and watch its test fail; takes minutes
	go run ./scripts/mutants

bench: ## Run the benchmarks; those of PostgreSQL too with "scripts/postgres run make bench"
	go test -run '^$$' -bench . -benchmem ./...

WHAT ?= vaultcalls latency restart sealed rotation
measure: ## Show on real servers what they cost and survive; WHAT="rotation sealed", all of it takes ten minutes
	cd integration && go build -o ../dist/measure ./measure
	for what in $(WHAT); do echo "== $$what"; dist/measure $$what || exit; done

cover: ## Measure which statements the tests reach, into coverage.out
	go test -coverpkg=./... -coverprofile=coverage.out ./...
	go tool cover -func=coverage.out | tail -n 1

docs: ## Draw docs/images/flow.svg from docs/flow/flow.txt
	go run ./docs/flow

browser: ## Look at every state of the page in Chromium: accessibility, HTML, Lighthouse; needs Node and Java
	@scripts/browser

lighthouse: ## Measure each tab of the quickstart with Lighthouse
	@scripts/browser lighthouse

screenshot: ## Have the browser tests photograph the page, into docs/images
	@scripts/screenshot

clean: ## Remove what the targets above left behind
	rm -rf coverage.out dist

# Not installed for the machine: it stands beside Go's build cache.
$(LINT):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
