# Every target works in a fresh checkout on a machine that has Go, git, a C compiler
# and make; what else is needed is fetched as Go modules and built.

# ./... does not cross module borders, so the targets loop over the modules.
MODULES  := . adapters/gokit adapters/kratos adapters/otel adapters/prom bench chaos cmd/fairlead examples tools xds
# It has the path of the official client, so it has a workspace of its own and is in none with others.
DROPIN   := dropin
# Runs other projects' tests; it has a workspace of its own, since what it builds replaces modules of ours.
COMPAT   := compat
# Its tests need a browser; everything else about it is checked with the others.
BROWSER  := console/browser
# Its tests need programs of Debian's that find services; everything else about it is checked with the others.
REACH    := reach
GO       := go
VERSIONS := 3.4 3.5 3.6 3.7

DURATION := 2m
SEED     := 0
RESTORE  := false

.PHONY: test test-browser screens test-reach lighthouse test-repeat test-versions fuzz bench chaos mutants compat compat-quick check fmt-check widths vet staticcheck arch tidy tidy-check dropin dropin-check dropin-example differential \
	release release-check

# All tests of all modules, with the race detector. Tests wait more than they compute, so four packages are tested at a time on
# two cores, and never more than eight: a container may not have all the cores that it sees. The program comes first: nothing
# takes longer.
TOGETHER := $$(c=$$(getconf _NPROCESSORS_ONLN); echo $$((c < 4 ? 4 : c > 8 ? 8 : c)))
WORKSPACE := cmd/fairlead $(filter-out cmd/fairlead,$(MODULES))

test:
	$(GO) test -race -timeout 10m -p $(TOGETHER) $(WORKSPACE:%=./%/...)
	@set -e; for m in $(DROPIN) $(COMPAT); do (cd $$m && $(GO) test -race -timeout 10m ./...); done

# The console in a real browser: Debian's chromium, or the one that CHROMIUM names, and axe-core from npm. Screenshots go to
# console/browser/out.
AXE      := $(BROWSER)/node_modules/axe-core/axe.min.js
NPM_CI   := npm ci --ignore-scripts --no-audit --no-fund

test-browser: $(AXE)
	cd $(BROWSER) && $(GO) test -count=1 -timeout 15m ./...

# The pictures of the console in the documents, as its tests take them.
screens:
	cd $(BROWSER) && $(GO) test -count=1 -timeout 10m -run '^(TestEveryPage|TestBothThemesAndThePhone)$$' .
	cd $(BROWSER)/out && for p in overview services watch keys-diff=keys 360-dark-overview=phone-dark; do \
		cp $${p%=*}.png ../../screenshots/$${p#*=}.png; done

$(AXE): $(BROWSER)/package-lock.json
	cd $(BROWSER) && $(NPM_CI) && touch $(CURDIR)/$@

# The agent with the real programs that find services through it: Debian's prometheus, haproxy, nginx, unbound, bind9-dnsutils (dig),
# curl, php-cli and python3-grpcio, and gRPC for Node from npm.
NODEGRPC := $(REACH)/clients/node_modules/@grpc/grpc-js-xds/package.json

test-reach: $(NODEGRPC)
	cd $(REACH) && PATH="$$PATH:/usr/sbin:/sbin" $(GO) test -count=1 -timeout 5m ./...

$(NODEGRPC): $(REACH)/clients/package-lock.json
	cd $(REACH)/clients && $(NPM_CI) && touch $(CURDIR)/$@

# Requests that make no sense, for DNS, HTTP and xDS, drawn by Go's fuzzing for FUZZTIME each. Not part of test.
FUZZTIME := 20s

fuzz:
	@set -e; for f in cmd/fairlead/internal/nameserver.FuzzPacket cmd/fairlead/internal/agent.FuzzBody cmd/fairlead/internal/agent.FuzzPath \
		xds.FuzzRequests xds.FuzzClusterName; do \
		echo "== fuzz $$f"; (cd $${f%.*} && $(GO) test -run '^$$' -fuzz "^$${f##*.}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s .); done

# Lighthouse's scores of the console's pages; a report.
lighthouse:
	cd $(BROWSER)/lighthouse && $(NPM_CI)
	cd $(BROWSER) && $(GO) run ./lighthouse

# The root module's tests twenty times in a row: none of them may depend on luck.
test-repeat:
	$(GO) test -race -count=20 -timeout 90m ./...

# The client's tests against servers of several versions, each also through etcd's
# gRPC proxy. Version 3.4 comes from Debian's package, where there is one; the target
# says so if there is none.
DEBIAN34 := test -x $${XDG_CACHE_HOME:-$$HOME/.cache}/fairlead/etcd-3.4-debian || \
	apt-cache policy etcd-server etcd 2>/dev/null | grep -q 'Candidate: 3\.4\.'

test-versions:
	@set -e; for v in $(VERSIONS); do \
		if [ $$v = 3.4 ] && ! { $(DEBIAN34); }; then \
			echo "== etcd 3.4 left out: this system has no Debian package of it"; continue; fi; \
		echo "== etcd $$v"; FAIRLEAD_ETCD_VERSION=$$v $(GO) test -race -count=1 -timeout 15m ./clientv3/...; done

# Figures; they are reports, nothing fails because a machine is slow. The tables also go to bench/out
# as JSON. About fifteen minutes.
bench:
	$(GO) test -run '^$$' -bench . -benchtime 1s ./clientv3 ./internal/... ./batch ./cache
	@mkdir -p bench/out
	cd bench && $(GO) run ./weight
	cd bench && $(GO) run ./speed -json out/speed.json
	cd bench && $(GO) run ./ranges -json out/ranges.json
	cd bench && $(GO) run ./batch -json out/batch.json
	cd bench && $(GO) run ./cache -json out/cache.json
	cd bench && $(GO) run ./promises -rows 14 -json out/watches.json
	cd bench && $(GO) run ./scale

# Random faults against a cluster of three, and what the clients saw checked against what was committed. Without a SEED
# it takes a new one and prints it. RESTORE=true: in the middle the cluster goes back to a backup.
chaos:
	$(GO) run ./chaos -duration $(DURATION) -seed $(SEED) -restore=$(RESTORE)

# Small wrong changes to a copy, each of which some test, or the chaos test, must notice. At most an hour.
mutants:
	$(GO) run ./tools/mutants

# Other projects' own tests over our client, by means of the drop-in: docs/compat.md. The official client's results, for
# comparison: cd compat && go run . --official. From an empty cache much is built; warm about half an hour, and the part that CI
# runs less than fifteen minutes.
compat:
	cd compat && $(GO) run .

compat-quick:
	cd compat && $(GO) run . --quick

# The drop-in module is written from the packages of the client; check says when that is due.
dropin:
	cd bench && $(GO) run ./forward

dropin-check:
	cd bench && $(GO) run ./forward -check

# The storage of the Kubernetes API server and go-zero's registry, each with frozen members, with the official client and with the
# drop-in: dropin/examples. They take many modules and are not part of test; from an empty cache they build for ten minutes.
dropin-example:
	cd bench && $(GO) test -tags kubernetes,gozero -count=1 -timeout 40m -run 'Kubernetes|GoZero' -v ./dropin

# Programs drawn from a seed, run through the official client and ours, and compared.
differential:
	cd bench && $(GO) run ./differential -duration $(DURATION) -seed $(SEED)

# What CI asks besides the tests.
check: fmt-check widths vet staticcheck arch tidy-check dropin-check

fmt-check:
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
		if [ -n "$$out" ]; then echo "not formatted:"; echo "$$out"; exit 1; fi

# Comments have at most 100 columns, code 120, a tab being four.
widths:
	@git ls-files -co --exclude-standard '*.go' '*.js' | grep -v '/testdata/\|^dropin/' | xargs $(GO) run ./tools/widths

vet:
	@set -e; for m in $(MODULES) $(DROPIN) $(COMPAT) $(BROWSER) $(REACH); do echo "== vet $$m"; (cd $$m && $(GO) vet ./...); done

staticcheck: bin/staticcheck
	@set -e; for m in $(MODULES) $(DROPIN) $(COMPAT) $(BROWSER) $(REACH); do echo "== staticcheck $$m"; (cd $$m && $(CURDIR)/bin/staticcheck ./...); done

bin/staticcheck: tools/go.mod
	cd tools && GOWORK=off $(GO) build -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck

# Who may import whom; also part of the tests.
arch:
	$(GO) test -count=1 -run 'TestImportRules|TestLightness' .
	cd bench && $(GO) test -count=1 ./surface && $(GO) run ./weight

tidy-check:
	$(GO) run ./tools/release tidy -check

# `go mod tidy` in every module. Plain `go mod tidy` cannot work in them: what they require of each other may not be published yet.
tidy:
	$(GO) run ./tools/release tidy

# What users get as version VERSION, from an empty module cache and without go.work: packed, installed, built, run. docs/release.md.
release-check:
	@$(GO) run ./tools/release check "$(VERSION)"

# The same, then a commit with the versions set, and the tags. Nothing is pushed.
release:
	@$(GO) run ./tools/release make "$(VERSION)"
