# Moonlatch. `make help` lists what there is; `make run` and `make test` do all the set-up themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

# ---- packages, by the names of Debian 12; listed once ----
BUILD_PACKAGES := gcc make libc6-dev libuv1-dev liblua5.4-dev node-llhttp libhiredis-dev zlib1g-dev libssl-dev libsqlite3-dev lua-cjson
TEST_PACKAGES := lua5.4 lua-busted lua-check lua-socket lua-dkjson libcmocka-dev libwslay-dev redis-server \
  clang libclang-rt-14-dev nodejs npm chromium openssl ca-certificates procps util-linux

VERSION := 0.1.0
PREFIX ?= /usr/local
BUILD ?= build
CC := gcc
AR := gcc-ar
CSTD := -std=c11 -D_GNU_SOURCE
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
HARDEN := -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fcf-protection
CFLAGS ?= -O2 -g -flto=auto -fno-plt $(HARDEN)
LDFLAGS ?= -pie -Wl,-z,relro,-z,now -rdynamic
SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LLHTTP := /usr/share/llhttp
INCLUDES := -Isrc -I/usr/share/include/llhttp -I/usr/include/lua5.4
DEFINES := -DLLHTTP_STRICT_MODE=1 -DMOONLATCH_VERSION='"$(VERSION)"' -DMOONLATCH_PREFIX='"$(PREFIX)"'
# linked in as an archive, because every step of a script is a call into it; whole and visible, because
# modules from outside (lua-cjson) look for it in the program
LUA := -Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive
LIBS := -luv -lhiredis -lsqlite3 $(LUA) -lssl -lcrypto -lz -lm -lpthread -ldl

SOURCES := $(wildcard src/*.c src/*/*.c)
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/llhttp/llhttp.o $(BUILD)/obj/llhttp/api.o $(BUILD)/obj/llhttp/http.o
LIBRARY := $(BUILD)/libmoonlatch.a
UNITS := $(patsubst spec/c/%_test.c,%,$(wildcard spec/c/*_test.c))
FUZZERS := $(patsubst spec/fuzz/%_fuzz.c,%,$(wildcard spec/fuzz/*_fuzz.c))
BUSTED := busted --lua=lua5.4 --lpath='./?.lua' --lpath='./lua/?.lua' --output=plainTerminal

# ---- building ----

.PHONY: all
all: packages-there $(BUILD)/moonlatch ## build the gateway (needs no root; says what is missing)

$(BUILD)/moonlatch: $(BUILD)/obj/main.o $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(filter-out $(BUILD)/obj/main.o,$(OBJECTS))
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(CFLAGS) $(WARN) $(INCLUDES) $(DEFINES) -MMD -MP -c -o $@ $<

# llhttp's own C, built here because its strict mode is a compile-time choice
$(BUILD)/obj/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(CFLAGS) $(INCLUDES) $(DEFINES) -c -o $@ $<

-include $(OBJECTS:.o=.d)

.PHONY: packages-there
packages-there:
	@missing=$$(spec/support/missing-packages $(BUILD_PACKAGES)); \
	[ -z "$$missing" ] || { echo "missing packages: $$missing"; echo "as root: make deps"; exit 1; }

.PHONY: deps deps-test
deps: ## install what building and running need (root)
	@spec/support/install-packages $(BUILD_PACKAGES)
deps-test: ## install what the tests need besides (root, npm)
	@spec/support/install-packages $(BUILD_PACKAGES) $(TEST_PACKAGES)

.PHONY: run
run: deps ## install what is missing, build, and serve conf/ on port 8000
	@$(MAKE) --no-print-directory all
	$(BUILD)/moonlatch serve $(ARGS)

.PHONY: install
install: all ## install under PREFIX (default /usr/local)
	install -D $(BUILD)/moonlatch $(DESTDIR)$(PREFIX)/bin/moonlatch
	install -d $(DESTDIR)$(PREFIX)/share/moonlatch $(DESTDIR)$(PREFIX)/etc/moonlatch
	cp -r lua scripts $(DESTDIR)$(PREFIX)/share/moonlatch/
	cp -rn conf/. $(DESTDIR)$(PREFIX)/etc/moonlatch/

# ---- tests ----

.PHONY: test
test: deps-test ## install what is missing, build with and without sanitizers, run everything
	@spec/run $(STAGES)

.PHONY: asan
asan: ## build the gateway with the address and undefined behaviour sanitizers: build/asan/moonlatch
	@$(MAKE) --no-print-directory BUILD=build/asan CFLAGS="$(SANITIZE)" LDFLAGS=-rdynamic all

.PHONY: units
units: $(UNITS:%=$(BUILD)/spec/%_test) ## build the C unit tests (see spec/run)

$(BUILD)/spec/%_test: spec/c/%_test.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(CFLAGS) -rdynamic $(INCLUDES) -Ispec $(DEFINES) -o $@ $< $(LIBRARY) $(LIBS) -lcmocka -lwslay

.PHONY: replays
replays: $(FUZZERS:%=$(BUILD)/spec/%_replay) ## build the programs that replay the fuzzers' corpora

$(BUILD)/spec/%_replay: spec/fuzz/%_fuzz.c spec/fuzz/replay.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(CFLAGS) $(INCLUDES) $(DEFINES) -o $@ $< spec/fuzz/replay.c $(LIBRARY) $(LIBS) -lwslay

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## fuzz each target for FUZZ_SECONDS (60); only one with FUZZERS=ws
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=clang CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined" LDFLAGS= fuzzers
	@for f in $(FUZZERS); do mkdir -p build/fuzz/found/$$f; echo "fuzzing $$f"; \
	  build/fuzz/spec/$${f}_fuzz -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -rss_limit_mb=2048 -timeout=10 \
	    -artifact_prefix=build/fuzz/found/$$f- build/fuzz/found/$$f spec/fuzz/corpus/$$f || exit 1; done

.PHONY: fuzzers
fuzzers: $(FUZZERS:%=$(BUILD)/spec/%_fuzz)
$(BUILD)/spec/%_fuzz: spec/fuzz/%_fuzz.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(CFLAGS) -fsanitize=fuzzer $(INCLUDES) $(DEFINES) -o $@ $< $(LIBRARY) $(LIBS) -lwslay

.PHONY: layers
layers: ## check who includes whom
	@spec/layers

.PHONY: bench
bench: all ## measure against the bare epoll yardstick; writes bench/RESULTS.md
	@bench/run

.PHONY: chaos
chaos: deps-test ## random faults of Redis under load, for CHAOS_SECONDS (60), and fail-overs
	@$(MAKE) --no-print-directory all && spec/interop/setup.sh
	CHAOS_SECONDS=$${CHAOS_SECONDS:-60} node --test spec/interop/chaos_test.mjs
	for i in $$(seq $${FAILOVERS:-5}); do $(BUSTED) --filter R-FAILOVER spec/gateway/redis_spec.lua || exit 1; done

.PHONY: clean
clean: ## remove what was built
	rm -rf build

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

print-sanitize:
	@echo '$(SANITIZE)'
