# Tidemark's targets. Everything runs from a clean checkout with Go and, for the
# comparisons, redis-server, redis-tools and strace (Debian's packages of these names).

GO ?= go

# Packages that start real servers; under the race detector they are slower, so
# they run once with it and once without.
PROCESS_TESTS = ./cmd/servertest/...

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: all build test race lint bench profile fuzz crash differential replication soak powerloss clean

all: build

build:
	$(GO) build -o bin/ ./cmd/...

# What CI runs: vet, the import table, all tests with the race detector, and the
# process tests again at full speed. Only for those it is worth a compilation to optimise the server by its profile.
test:
	$(GO) vet -pgo=off ./...
	$(GO) test -count=1 ./cmd/rules
	$(GO) test -race -pgo=off -count=1 -timeout 15m ./...
	$(GO) test -count=1 -timeout 10m $(PROCESS_TESTS)

race:
	$(GO) test -race -pgo=off -count=1 ./...

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "gofmt -w the files above"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

# Side by side with the machine's redis-server; results in benchmarks/results.md.
bench:
	$(GO) run ./benchmarks

# The CPU profile that go build optimises cmd/tidemark by, from the loads of the benchmarks.
profile:
	$(GO) run ./benchmarks --profile cmd/tidemark/default.pgo

# Every fuzz target for FUZZTIME each. One that fails runs again, with the input that it has failed with: Go before 1.27 may end a run in an error of its own,
# "context deadline exceeded" (golang/go#75804).
FUZZTIME ?= 30s
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; \
	    run="$(GO) test -run ^$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$pkg"; \
	    $$run || { echo "again: $$target"; $$run; }; \
	  done; done

# A thousand kills under appendfsync always, a third as many under everysec, a tenth as many with large collections.
CRASHES ?= 1000
crash:
	TIDEMARK_CRASHES=$(CRASHES) $(GO) test -count=1 -timeout 3h -v ./cmd/servertest/crash
	TIDEMARK_HISTORIES=100 $(GO) test -count=1 -timeout 1h -v ./cmd/servertest/linear

DIFF_OPS ?= 2000000
differential:
	TIDEMARK_DIFF_OPS=$(DIFF_OPS) $(GO) test -count=1 -timeout 3h -v ./cmd/servertest/differential

# Seeded schedules of faults with real processes: so many for each pairing of tidemark and redis-server.
SCHEDULES ?= 100
replication:
	TIDEMARK_SCHEDULES=$(SCHEDULES) $(GO) test -count=1 -timeout 3h -v ./cmd/servertest/replication

# Everything that takes long, SOAK_ROUNDS times or until it fails.
SOAK_ROUNDS ?= 10
soak:
	@set -e; for i in $$(seq $(SOAK_ROUNDS)); do $(MAKE) crash CRASHES=200; $(MAKE) differential DIFF_OPS=500000; done

# Simulated power losses: any subset of the sectors not yet synced persists.
POWERLOSSES ?= 100000
powerloss:
	TIDEMARK_POWERLOSSES=$(POWERLOSSES) $(GO) test -count=1 -timeout 3h -v -run 'PowerLoss' ./aof/...

clean:
	rm -rf bin
