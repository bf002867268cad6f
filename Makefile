# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# The front: each target is the whole truth of its kind. Meson and ninja do the work.
#   make [build]   everything into build/bin           make run NAME=x   server and client over TCP
#   make test      unit, peer and house tests          make ci           all that CI runs
#   make sim SEED=n [COUNT=m] [TRACE=1]   the simulation: same seed, same hash
#   make mutants   of model and simulation: those that are found within three minutes
#   make coverage  of src/h2 and src/rpc by the unit and peer tests; fails below its goals
#   make interop   with grpc of other makes           make fmt          clang-format in place
#   make bench     server CPU beside grpc-go and tonic, in turns
#   make install   PREFIX=... DESTDIR=...              make clean
# PRESET=debug|asan|tsan chooses another build in its own directory: make PRESET=asan test

PRESET ?= release
SEED   ?= 1
COUNT  ?= 1
NAME   ?= world

DIR_release   := build
DIR_debug     := build-debug
DIR_asan      := build-asan
DIR_tsan      := build-tsan
SETUP_release := -Dbuildtype=release -Doptimization=2
SETUP_debug   := -Dbuildtype=debug
SETUP_asan    := -Dbuildtype=debug -Db_sanitize=address,undefined -Db_lundef=false
SETUP_tsan    := -Dbuildtype=debug -Db_sanitize=thread -Db_lundef=false

DIR   ?= $(DIR_$(PRESET))
SETUP := $(SETUP_$(PRESET)) $(if $(PREFIX),--prefix=$(PREFIX))

ifeq ($(SETUP_$(PRESET)),)
$(error PRESET=$(PRESET) is none of release, debug, asan, tsan)
endif

.PHONY: build run test sim mutants coverage ci interop soak bench fmt install clean deps-build \
        deps-test

build: $(DIR)/build.ninja
	@ninja -C $(DIR)

$(DIR)/build.ninja: | deps-build
	@meson setup $(DIR) $(SETUP)

deps-build:
	@tools/deps build

deps-test:
	@tools/deps test

run: build
	@tools/run_greeter $(DIR)/bin '$(subst ','\'',$(NAME))'

test: deps-test build
	@meson test -C $(DIR) --print-errorlogs

sim: $(DIR)/build.ninja
	@ninja -C $(DIR) test/sim/sim >/dev/null
	@$(DIR)/test/sim/sim $(SEED) $(COUNT) $(if $(TRACE),--trace)

mutants: build
	@test/model/mutants --played
	@test/sim/mutants $(DIR) --sure

coverage: deps-build
	@test -d build-coverage || meson setup build-coverage -Dbuildtype=debug -Doptimization=0 \
		-Db_coverage=true >/dev/null
	@ninja -C build-coverage >/dev/null
	@find build-coverage -name '*.gcda' -delete
	@-meson test -C build-coverage --suite base --suite h2 --suite rpc --suite client \
		--suite server --suite svc --suite fuzz --suite peer | tail -n 8
	@build-coverage/test/unit/rpc/test_faults --faults >/dev/null
	@tools/coverage build-coverage

ci:
	@.ci/run

interop: build
	@test/interop/run_interop --build $(DIR)
	@test/interop/run_official --build $(DIR)
	@test/interop/run_connect --build $(DIR)
	@test/interop/run_clients --build $(DIR)

soak: build
	@test/interop/run_interop --build $(DIR) --soak

bench: build
	@bench/compare --bin $(DIR)/bin

fmt:
	@tools/tidy --list | xargs clang-format -i

install: build
	@$(if $(PREFIX),meson configure $(DIR) -Dprefix=$(PREFIX))
	@meson install -C $(DIR) --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

clean:
	@rm -rf build build-debug build-asan build-tsan build-coverage build-ci
