# Moonlatch: `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := all

# ---- packages: Debian 12, by name ----
RUN_PACKAGES := gcc make libc6-dev libuv1-dev liblua5.4-dev lua5.4 node-llhttp zlib1g-dev libssl-dev lua-cjson
TEST_PACKAGES := lua-busted lua-check lua-socket libcmocka-dev libwslay-dev libhiredis-dev redis-server \
  clang libclang-rt-14-dev nodejs npm chromium openssl ca-certificates procps

VERSION := 0.1.0
BUILD := build
CC := gcc
CSTD := -std=c11 -D_GNU_SOURCE
WARN := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
HARDEN := -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fcf-protection
CFLAGS := -O2 -g $(HARDEN)
LDFLAGS := -pie -Wl,-z,relro,-z,now
LLHTTP := /usr/share/llhttp
INCLUDES := -Isrc -I/usr/share/include/llhttp -I/usr/include/lua5.4
DEFINES := -DLLHTTP_STRICT_MODE=1 -DMOONLATCH_VERSION='"$(VERSION)"'
LIBS := -luv -llua5.4 -lcrypto -lz -lm -lpthread

SOURCES := $(wildcard src/*.c src/*/*.c)
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/llhttp/llhttp.o $(BUILD)/obj/llhttp/api.o $(BUILD)/obj/llhttp/http.o
LIBRARY := $(BUILD)/libmoonlatch.a

all: check-packages $(BUILD)/moonlatch ## build the gateway

$(BUILD)/moonlatch: $(BUILD)/obj/main.o $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIBRARY): $(filter-out $(BUILD)/obj/main.o,$(OBJECTS))
	rm -f $@ && ar rcs $@ $^

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(CFLAGS) $(WARN) $(INCLUDES) $(DEFINES) -MMD -MP -c -o $@ $<

$(BUILD)/obj/llhttp/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	$(CC) $(CSTD) $(CFLAGS) $(INCLUDES) $(DEFINES) -c -o $@ $<

-include $(OBJECTS:.o=.d)

check-packages:
	@true
