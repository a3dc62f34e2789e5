# Skiff: one non-recursive Makefile. `make help` lists what it can do.
#
#   V=1            show the commands
#   SAN=asan|ubsan|tsan   build with a sanitizer, into build-<SAN>/
#   CC=clang       build with clang (into build-clang/ unless B is given)
#   B=DIR          build folder

MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SECONDARY:
SHELL := /bin/bash

ifeq ($(origin CC),default)
CC := gcc
endif
CLANG   ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PROTOCC ?= protoc-c
SAN     ?=

SUFFIX := $(if $(findstring clang,$(CC)),-clang)$(if $(SAN),-$(SAN))$(if $(FUZZ),-fuzz)
B      ?= build$(SUFFIX)
PREFIX ?= /usr/local

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

# ---- flags -----------------------------------------------------------------
PKGS     := libbpf liburing luajit libnghttp2 libprotobuf-c openssl libcares libpcre2-8 yaml-0.1 \
            jansson libcurl libxxhash libcap-ng libseccomp libmicrohttpd libelf
PKG_CF   := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

WARN    := -Wall -Wextra -Werror -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
OPT     ?= -O2 -g
HARDEN  := -fPIE -fstack-protector-strong -fcf-protection -D_FORTIFY_SOURCE=2 -fno-strict-aliasing
LDHARD  := -pie -Wl,--as-needed,-z,relro,-z,now,-z,noexecstack
SAN_asan  := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SAN_tsan  := -fsanitize=thread
comma   := ,
SANF    := $(SAN_$(SAN)) $(if $(FUZZ),-fsanitize=fuzzer-no-link$(comma)address$(comma)undefined -fno-sanitize-recover=all)
ifneq ($(SANF),)
HARDEN  := $(filter-out -D_FORTIFY_SOURCE=2,$(HARDEN))
endif
CPPFLAGS += -D_GNU_SOURCE -DSKIFF_VERSION='"$(VERSION)"' -Iuser -Iinclude -I$(B)/gen -I/usr/share/include/llhttp $(PKG_CF)
CFLAGS  += -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(SANF)
LDFLAGS += $(LDHARD) $(SANF)
LDLIBS  += $(PKG_LIBS) -lz -lpthread -lm
VERSION := $(shell cat VERSION 2>/dev/null || echo 0)

# ---- sources ---------------------------------------------------------------
ROOMS := base l7 mesh io codec route upstream filter lua proxy xds datapath admin agent control cli
MAINS := skiffd skiffctl
SRCS  := $(foreach r,$(ROOMS),$(wildcard user/$(r)/*.c user/$(r)/*/*.c))
SRCS  += $(filter-out $(MAINS:%=user/cmd/%.c),$(wildcard user/cmd/*.c))
OBJS  := $(SRCS:user/%.c=$(B)/obj/%.o)

PROTOS  := $(shell find proto -name '*.proto' 2>/dev/null | sort)
PB_SRCS := $(PROTOS:proto/%.proto=$(B)/gen/%.pb-c.c)
PB_OBJS := $(PB_SRCS:.c=.o)
PB_HDRS := $(PB_SRCS:.c=.h)

LLHTTP_OBJS := $(B)/gen/llhttp/api.o $(B)/gen/llhttp/http.o $(B)/gen/llhttp/llhttp.o

BPF_SRCS := $(wildcard bpf/*.bpf.c)
BPF_OBJS := $(BPF_SRCS:bpf/%.bpf.c=$(B)/bpf/%.bpf.o)
SKEL     := $(if $(BPF_SRCS),$(B)/gen/skiff.skel.h)

PROGS := $(foreach p,$(MAINS),$(if $(wildcard user/cmd/$(p).c),$(B)/$(p)))
LIB   := $(B)/libskiff.a

UNIT_SRCS := $(wildcard tests/unit/*/test_*.c)
UNIT_BINS := $(UNIT_SRCS:%.c=$(B)/%)
FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_REPLAY := $(FUZZ_SRCS:tests/fuzz/fuzz_%.c=$(B)/tests/fuzz/replay_%)
FUZZ_BINS := $(FUZZ_SRCS:tests/fuzz/fuzz_%.c=$(B)/tests/fuzz/fuzz_%)
TOOL_SRCS := $(wildcard tests/lib/*.c tests/bench/*.c)
TOOL_BINS := $(TOOL_SRCS:%.c=$(B)/%)
ITEST_SRCS := $(wildcard tests/integration/*/*.c)
ITEST_BINS := $(ITEST_SRCS:%.c=$(B)/%)

.PHONY: all help clean demo test check unit unit-bins fuzz-replay fuzz-bins fuzz bench install format \
        analyze layers style tools print-cflags
all: $(PROGS) $(TOOL_BINS) $(ITEST_BINS) ## build skiffd, skiffctl and the test tools

help: ## this text
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

clean: ## remove every build folder
	$(Q)rm -rf build build-*

# ---- generated code --------------------------------------------------------
$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: proto/%.proto
	$(call say,PROTOC,$<)
	@mkdir -p $(B)/gen
	$(Q)$(PROTOCC) -Iproto --c_out=$(B)/gen $<

# Generated code is compiled with the warnings that it can pass.
$(B)/gen/%.pb-c.o: $(B)/gen/%.pb-c.c | $(PB_HDRS)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(OPT) $(HARDEN) $(SANF) -w -MMD -MP -c $< -o $@

$(B)/gen/llhttp/%.o: /usr/share/llhttp/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -DLLHTTP_STRICT_MODE=1 $(OPT) $(HARDEN) $(if $(FUZZ),$(SANF)) -w -c $< -o $@

$(B)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) include/skiff/bpf.h
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) -O2 -g -Wall -Werror -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -I/usr/include/$(shell gcc -dumpmachine 2>/dev/null) -Iinclude -Ibpf -c $< -o $@

$(B)/bpf/skiff.o: $(BPF_OBJS)
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/gen/skiff.skel.h: $(B)/bpf/skiff.o
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name skiff_bpf > $@

# ---- objects, library, programs ---------------------------------------------
$(B)/obj/%.o: user/%.c | $(SKEL) $(PB_HDRS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(LIB): $(OBJS) $(PB_OBJS) $(LLHTTP_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@.$$$$ && $(AR) rcs $@.$$$$ $^ && mv -f $@.$$$$ $@

$(B)/skiffd: $(B)/obj/cmd/skiffd.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@.new $^ $(LDLIBS)
	$(Q)mv $@.new $@

$(B)/skiffctl: $(B)/obj/cmd/skiffctl.o $(LIB)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@.new $^ $(LDLIBS)
	$(Q)mv $@.new $@

# ---- tests -----------------------------------------------------------------
$(B)/tests/unit/%: tests/unit/%.c $(LIB)
	$(call say,TEST,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -I. -Ibpf -DTESTDATA='"tests/data"' $(CFLAGS) -Wno-missing-prototypes -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(LIB) -lcmocka $(LDLIBS)

$(B)/tests/fuzz/replay_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(LIB)
	$(call say,FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -I. -Ibpf $(CFLAGS) -Wno-missing-prototypes $(LDFLAGS) -o $@ \
		$(filter %.c,$^) $(LIB) $(LDLIBS)

$(B)/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(LIB)
	$(call say,FUZZ,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -I. -Ibpf $(CFLAGS) -fsanitize=fuzzer -Wno-missing-prototypes $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

# Programs of the integration tests that need the library.
$(B)/tests/integration/%: tests/integration/%.c $(LIB)
	$(call say,TOOL,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)

# Small programs of the tests, the demo and the bench: no dependency on the library.
$(B)/tests/lib/%: tests/lib/%.c
	$(call say,TOOL,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu11 $(OPT) -Wall -Wextra -Werror -o $@ $< -lpthread
$(B)/tests/bench/%: tests/bench/%.c
	$(call say,TOOL,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu11 $(OPT) -Wall -Wextra -Werror -o $@ $< -lpthread
tools: $(TOOL_BINS) $(ITEST_BINS)

unit-bins: $(UNIT_BINS)
fuzz-bins: $(FUZZ_REPLAY)

unit: $(UNIT_BINS) ## build and run the unit tests
	$(Q)scripts/run-tests unit $(B)

fuzz-replay: $(FUZZ_REPLAY) ## run every fuzz target over its corpus
	$(Q)scripts/run-tests fuzz $(B)

fuzz: ## libFuzzer run of every target: make fuzz SECS=60 [TARGET=http1]
	$(Q)scripts/run-fuzz $(or $(SECS),60) $(TARGET)

layers: ## who may include whom (docs/rooms)
	$(Q)scripts/check-layers
style: ## the conventions that a script can see
	$(Q)scripts/check-style

check: ## warnings on gcc and clang, unit tests, fuzz corpora, layers, style, ASan + UBSan
	$(Q)scripts/check $(B)

test: ## make check, then the integration tests with real peers (root)
	$(Q)scripts/run-tests all $(B)

demo: all ## two pods, real traffic, seen in the kernel (root)
	$(Q)tests/demo/run

bench: all ## side by side with no mesh and Envoy sidecars (root)
	$(Q)tests/bench/run

install: all ## install into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(B)/skiffd $(DESTDIR)$(PREFIX)/sbin/skiffd
	install -m 755 $(B)/skiffctl $(DESTDIR)$(PREFIX)/bin/skiffctl
	install -d $(DESTDIR)$(PREFIX)/share/doc/skiff/examples $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 644 README.md LICENSE docs/*.md $(DESTDIR)$(PREFIX)/share/doc/skiff
	install -m 644 examples/*.yaml $(DESTDIR)$(PREFIX)/share/doc/skiff/examples
	sed 's|@PREFIX@|$(PREFIX)|g' packaging/skiffd.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/skiffd.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/skiffd.service

format: ## clang-format the lines that are too long, if it is installed
	$(Q)scripts/format

# The flags that our files are compiled with, for scripts/analyze and for editors.
print-cflags: $(SKEL) $(PB_HDRS)
	@echo $(CPPFLAGS) $(filter-out -Werror,$(CFLAGS))

analyze: ## gcc -fanalyzer and clang --analyze
	$(Q)scripts/analyze

-include $(OBJS:.o=.d) $(PB_OBJS:.o=.d) $(wildcard $(B)/obj/cmd/*.d $(B)/tests/unit/*/*.d)
