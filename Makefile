# The front door. Everything is built by CMake and Ninja; CMakePresets.json has the kinds of build.
PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc)
KILLS ?= 300
FUZZ_SECONDS ?= 60
CTEST = ctest --test-dir $(1) --output-on-failure -j $(JOBS) --no-tests=error
DEPS = tools/install_deps.sh

all:  ## build the release: build/bin, build/libexec/postrider
	cmake --preset release -DBUILD_TESTING=OFF --log-level=WARNING
	cmake --build build -j $(JOBS)

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

deps:  ## install the Debian packages that the build, the tests and lint need
	$(DEPS) build test lint

demo:  ## send real mail through a private instance and watch it; installs what it needs
	$(DEPS) build test
	$(MAKE) all
	python3 tools/demo.py

build-tests:
	$(DEPS) build test
	tools/unpack_peers.sh build/peers
	cmake --preset release -DBUILD_TESTING=ON --log-level=WARNING
	cmake --build build -j $(JOBS)

check: build-tests  ## unit, integration and short fault tests; installs what they need
	$(call CTEST,build) -L 'unit|integration|fault' -LE long

check-crash: build-tests  ## KILLS=300 random kills under load, judged by books kept outside
	PYTHONPATH=tests/support POSTRIDER_BUILD=build python3 tests/fault/kill_under_load.py --kills $(KILLS)

check-all: lint check asan ubsan check-crash check-security  ## everything

asan:  ## the tests of `make check` with the address sanitizer
	$(DEPS) build test
	tools/unpack_peers.sh build/peers
	cmake --preset asan --log-level=WARNING
	cmake --build build-asan -j $(JOBS)
	$(call CTEST,build-asan) -L 'unit|integration|fault' -LE long

ubsan:  ## the same with the undefined-behaviour sanitizer
	$(DEPS) build test
	tools/unpack_peers.sh build/peers
	cmake --preset ubsan --log-level=WARNING
	cmake --build build-ubsan -j $(JOBS)
	$(call CTEST,build-ubsan) -L 'unit|integration|fault' -LE long

check-security: build-tests  ## an evil worker in the place of each program: what it is denied, what is survived (needs root)
	PYTHONPATH=tests/support POSTRIDER_BUILD=build python3 tests/evil/security.py

figures: build-tests  ## run what doc/figures.md counts (as root; fuzzing and bench.py sandbox count by themselves), and write it
	tools/run_crash_states.py build
	tools/run_fault_rows.py build
	PYTHONPATH=tests/support POSTRIDER_BUILD=build python3 tests/fault/kill_under_load.py --kills $(KILLS)
	PYTHONPATH=tests/support POSTRIDER_BUILD=build python3 tests/bench/bench.py crowd --rounds 1
	PYTHONPATH=tests/support POSTRIDER_BUILD=build python3 tests/evil/security.py
	tools/make_figures.py

fuzz:  ## FUZZ_SECONDS=60 of each fuzz target, JOBS at a time
	$(DEPS) build test fuzz
	cmake --preset fuzz --log-level=WARNING
	cmake --build build-fuzz --target fuzz_targets -j $(JOBS)
	python3 tools/fuzz.py --seconds $(FUZZ_SECONDS) --jobs $(JOBS) $(TARGETS)

lint:  ## format, clang-tidy on changed files, layers, coroutine rules, headers alone, documents
	$(DEPS) build test lint
	tools/lint.sh

fmt:  ## format the C++ sources
	$(DEPS) lint
	git ls-files -z '*.cpp' '*.hpp' | xargs -0 clang-format -i

bench: build-tests  ## measure against Debian's Postfix in the same run (needs root)
	PYTHONPATH=tests/support POSTRIDER_BUILD=build python3 tests/bench/bench.py

conformance: build-tests  ## the same mail through Debian's Postfix: compare what arrives (needs root)
	PYTHONPATH=tests/support POSTRIDER_BUILD=build python3 tests/conformance/run.py

install: all  ## install below $(DESTDIR)$(PREFIX)
	DESTDIR='$(DESTDIR)' cmake --install build --prefix '$(PREFIX)'

.PHONY: all help deps demo build-tests check check-crash check-security check-all asan ubsan figures fuzz lint fmt bench conformance install
