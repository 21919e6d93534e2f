# The two commands for a fresh machine, and the developer's others.
#
# `make demo` and `make test` need a C compiler, a POSIX shell and a CPython
# 3.12 to 3.15 with its headers, on PATH or installed by pyenv or uv; they
# find it, make an environment under build/, build, and run.

DEV := $(shell sh tools/bootstrap) tools/dev

.PHONY: help demo test soak build bench docs lint shell ci clean

help:
	@echo 'make demo    parse the whole standard library in parallel interpreters'
	@echo 'make test    build and run the tests (PYTHON=3.13 chooses a version)'
	@echo 'make soak    everything at random, with faults, for SECONDS=600'
	@echo 'make bench   measure this machine'
	@echo 'make docs    the documentation, in build/docs/html'
	@echo 'make lint    ruff, clang-format, mypy'
	@echo 'make shell   a shell in which `python` has atoll'
	@echo 'make ci      all that CI does'
	@echo 'make clean   delete build/'

PICK := $(if $(PYTHON),--python $(PYTHON))

demo:
	@$(DEV) run $(PICK) --release python examples/stdlib_census.py $(ARGS)

test:
	@$(DEV) test $(PICK) $(ARGS)

soak:
	@$(DEV) run $(PICK) python tests/soak/soak.py $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

build:
	@$(DEV) build $(PICK)

bench:
	@$(DEV) bench $(PICK) $(ARGS)

docs:
	@$(DEV) docs $(PICK)

lint:
	@$(DEV) lint

shell:
	@$(DEV) shell $(PICK)

ci:
	@bash .ci/run

clean:
	rm -rf build
