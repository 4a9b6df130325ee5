# Every target makes the environment it needs. A CPU-only torch: `UV_TORCH_BACKEND=cpu make setup` (uv reads it).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := augmentor downstream pipelines
# Two test processes on two cores; `make test JOBS=0` runs in one.
JOBS ?= 2
# Where Python may not write bytecode, all of it is compiled once: each start takes a third then. Elsewhere it is
# written when a module is first imported.
COMPILE := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
# Of `make fuzz`: inputs for each reader, and most seconds for it. Of `make soak`: seconds.
FUZZ ?= 1000000
SECONDS ?= 28800
SOAK ?= 3600
# Of `make bench`: cpu or cuda.
DEVICE ?= cpu

# What `make lowest` and `make newest` run.
TESTS ?= tests

# Tools that are run and not installed: what is looked at must not change by looking.
TOOL := $(BIN)/uv tool run --quiet

.PHONY: setup demo demo-conditions docs test wheel lowest newest faults fuzz soak bench check format clean
.PHONY: lock licences sbom audit

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "augmentor needs Python 3.11 or newer; run: make PYTHON=python3.x ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install $(COMPILE) --python $(BIN)/python -c constraints.txt \
	--config-settings-package augmentor-synth:editable_mode=compat -e '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/augmentor demo --out runs/demo

demo-conditions: $(READY)
	$(BIN)/augmentor demo --conditions --out runs/demo-conditions

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --cov --cov-report=term --cov-fail-under=95 --durations=25

# Every fault of tests/faults, the long ones too, and the table of what was survived.
faults: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "" --durations=25 tests/faults

# As many inputs for every reader as FUZZ says, new ones each day; SECONDS bounds each reader.
fuzz: $(READY)
	AUGMENTOR_FUZZ_INPUTS=$(FUZZ) AUGMENTOR_FUZZ_SECONDS=$(SECONDS) \
	AUGMENTOR_FUZZ_FIRST=$$(($$(date +%s) / 86400 * $(FUZZ))) OMP_NUM_THREADS=1 \
	$(BIN)/python -m pytest -n $(JOBS) -m faults tests/faults/test_21_fuzzed_*.py

# Trains, stops, resumes, renders and measures in random order for SOAK seconds, with kills.
soak: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/soak.py --seconds $(SOAK)

# docs/results/bench.json. DEVICE=cuda measures a GPU; PARTS chooses among import, training,
# classifiers, pythae, oversampling, mixing, writing, synthesis, demo. pythae gets an environment of its own.
bench: $(READY)
	test -d $(VENV)-pythae || $(BIN)/uv venv --quiet --python $(BIN)/python $(VENV)-pythae
	$(BIN)/uv pip install --quiet --python $(VENV)-pythae -c constraints.txt pythae safetensors
	$(BIN)/python -m benchmarks.speed --device $(DEVICE) --pythae $(VENV)-pythae/bin/python \
	$(if $(PARTS),--only $(PARTS)) --json docs/results/bench.json

# The wheel, installed into an empty environment outside of the checkout, walks through the README.
wheel: $(READY)
	rm -rf dist
	$(BIN)/uv build --out-dir dist .
	$(BIN)/python -m tests.wheel_walk dist/*.whl

# The tests with the lowest versions of what pyproject.toml names, or with the newest of everything.
lowest newest: $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)-$@
	$(BIN)/uv pip install --quiet --python $(VENV)-$@ --resolution $(if $(filter lowest,$@),lowest-direct,highest) -e '.[dev]'
	OMP_NUM_THREADS=1 $(VENV)-$@/bin/python -m pytest -n $(JOBS) $(TESTS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site of the documents in build/site. A broken link, or a page that loads something from elsewhere,
# is an error. Without --quiet, which would hide warnings from strict mode too.
docs: $(READY)
	$(BIN)/python docs/site/assemble.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	! grep -rlE '<(script|img|iframe)[^>]*src="(https?:)?//|<link[^>]*rel="(stylesheet|preconnect)"[^>]*//' \
	build/site --include='*.html'

# lock.txt: the pinned versions with SHA-256 sums, for every system; SECURITY.md says how to install from it.
lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11.5 --generate-hashes --no-annotate --all-extras \
	--custom-compile-command "make lock" -c constraints.txt -o lock.txt pyproject.toml

licences: $(READY)
	$(TOOL) pip-licenses@5.5.5 --python $(BIN)/python --from mixed --order license

# dist/sbom.cdx.json: what is installed, with licences; addresses and paths of this machine are taken out.
sbom: $(READY)
	mkdir -p dist
	$(TOOL) --from cyclonedx-bom==7.5.0 cyclonedx-py environment --no-validate --output-reproducible \
	--pyproject pyproject.toml -o dist/sbom.raw $(BIN)/python
	$(BIN)/python -c 'import json, sys; \
	kept = lambda found: {key: value for key, value in found.items() if key != "externalReferences"}; \
	json.dump(json.load(sys.stdin, object_hook=kept), sys.stdout, indent=1)' < dist/sbom.raw > dist/sbom.cdx.json
	rm dist/sbom.raw

# Known weaknesses of the locked versions; it fails too where the list of them cannot be reached.
audit: $(READY)
	$(TOOL) pip-audit@2.10.1 --strict --disable-pip --require-hashes --progress-spinner off -r lock.txt

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VENV)-lowest $(VENV)-newest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage .coverage.*
