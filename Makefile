# make demo        install into .venv, then the whole job on scenes it renders itself; the result is in demo/
# make test        install into .venv, then every check that the continuous integration runs
# make check       the checks alone, in a .venv that is already there
# make check-fast  the same without the tests that are marked slow or hardware: under two minutes on two cores
# make docs        the documentation, into build/docs
# make format      let ruff rewrite what it can
# make clean       remove .venv, demo/ and all caches
#
# PYTHON=python3.12 make test   chooses the interpreter;  PYTEST="-k sensor" make test   passes flags to pytest;
# WORKERS=4 make check          runs so many tests at a time (2), each with one thread: 1 GB of memory each

PYTHON ?= python3
VENV ?= .venv
PYTEST ?=
WORKERS ?= 2
EXTRAS := train,timm,export,cpu,data,sinks,tables,sign,trt-rtx,docs,dev
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test install check check-fast static docs format clean
.DELETE_ON_ERROR:

demo: install
	@echo '==> tgkt-edge demo: result in demo/'
	@$(BIN)/tgkt-edge demo -o demo --overwrite

test: install check

install: $(INSTALLED)

# The stamp is written last, so an interrupted installation is taken up again by the next call.
$(INSTALLED): pyproject.toml
	@echo '==> installing into $(VENV): once, some minutes, about 7 GB with PyTorch'
	@rm -f $(INSTALLED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version.split()[0] + ". Name another: PYTHON=python3.12 make ...")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo 'No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv'; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[$(EXTRAS)]'
	bash .ci/stubs $(BIN)/python $(VENV)/stubs
	@touch $(INSTALLED)

check: static
	@echo '==> pytest: all tests'
	@$(RUN_TESTS) $(PYTEST)

check-fast: static
	@echo '==> pytest: without what is slow'
	@$(RUN_TESTS) -m 'not slow and not hardware' $(PYTEST)

# A file's tests run in one process, so that they share what they make; a thread each, so that workers share the cores.
RUN_TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
# Tests start hundreds of Pythons, which need not compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

static:
	@test -f $(INSTALLED) || { echo 'Nothing is installed yet: make test'; exit 1; }
	@echo '==> ruff: style'
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo '==> mypy: types'
	@MYPYPATH=$(VENV)/stubs $(BIN)/mypy --strict
	@echo '==> mkdocs: documentation'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs:
	@test -f $(INSTALLED) || { echo 'Nothing is installed yet: make test'; exit 1; }
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo '==> build/docs/index.html'

format:
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
