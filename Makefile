# Everything from nothing: each target installs what it needs into .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SANITIZED := firmware/build-sanitized
MAKEFLAGS += --no-print-directory # which cmake's own makes hear too

.PHONY: help demo sim test test-faults test-firmware test-homeassistant test-homeassistant-old test-node-red test-container test-service test-package screenshots check format bench soak fuzz pound package pin install clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/.demo ## broker, virtual board and bridge in one; a first picture, then your turn
	$(BIN)/esp32cam2mqtt demo $(ARGS)

sim: compiler ## build the firmware as a program for this computer: firmware/build/esp32cam-sim
	@cmake -S firmware -B firmware/build >/dev/null
	@cmake --build firmware/build --parallel $$(nproc) --target esp32cam-sim

test: $(VENV)/.dev packages sim ## all tests over the wire, against a real Mosquitto and the firmware
	$(BIN)/pytest -n 6 --ignore=tests/faults --ignore=tests/fuzz $(ARGS)

test-faults: $(VENV)/.dev packages sim ## the five promises under attack, and a minute's soak
	$(BIN)/pytest -n 2 tests/faults tests/fuzz $(ARGS)
	$(BIN)/python -m tests.faults.soak --seconds 60

soak: $(VENV)/.dev packages ## ten minutes (SECONDS) of 20 cameras and faults; draws docs/soak.svg
	$(BIN)/python -m tests.faults.soak --seconds $${SECONDS:-600} --plot docs/soak.svg

test-firmware: $(VENV)/.dev packages compiler ## the firmware under AddressSanitizer and UBSan
	@cmake -S firmware -B $(SANITIZED) -DSANITIZE=ON >/dev/null
	@cmake --build $(SANITIZED) --parallel $$(nproc)
	ctest --test-dir $(SANITIZED) --output-on-failure
	ESP32CAM_SIM=$(SANITIZED)/esp32cam-sim \
		$(BIN)/pytest -n 2 tests/test_board_conformance.py tests/test_firmware*.py $(ARGS)

test-homeassistant: $(VENV)/.dev packages browser ## our entities in a real Home Assistant, installed once: 800 MB
	ESP32CAM_HASS="$$(sh tests/integration/homeassistant/install.sh)" \
		$(BIN)/pytest --timeout 180 tests/integration/homeassistant $(ARGS)

test-node-red: $(VENV)/.dev packages sim browser ## the example flows in a real Node-RED (NODE_RED=5: the next), installed once: 120 MB
	ESP32CAM_NODERED="$$(sh tests/integration/nodered/install.sh $(NODE_RED))" \
		$(BIN)/pytest --timeout 180 tests/integration/nodered $(ARGS)

test-container: $(VENV)/.dev packages ## docker/Dockerfile built and run, with podman; as root
	@sh tests/install-packages.sh container
	PYTHON=$(BIN)/python $(BIN)/pytest --timeout 300 tests/integration/container $(ARGS)

test-service: $(VENV)/.dev packages ## the systemd unit in a Debian whose systemd runs; as root
	@sh tests/install-packages.sh service
	PYTHON=$(BIN)/python $(BIN)/pytest --timeout 300 tests/integration/service $(ARGS)

test-homeassistant-old: $(VENV)/.dev packages ## the same in one from before 2024.11: the component form
	ESP32CAM_HASS="$$(sh tests/integration/homeassistant/install.sh 2024.3.3)" \
		$(BIN)/pytest --timeout 180 tests/integration/homeassistant/test_homeassistant.py $(ARGS)

screenshots: $(VENV)/.dev packages browser ## the manual's pictures, taken anew: docs/images
	ESP32CAM_HASS="$$(sh tests/integration/homeassistant/install.sh)" ESP32CAM_SCREENS=docs/images \
		$(BIN)/pytest --timeout 180 tests/integration/homeassistant/examples/test_screens.py $(ARGS)
	ESP32CAM_NODERED="$$(sh tests/integration/nodered/install.sh)" ESP32CAM_SCREENS=docs/images \
		$(BIN)/pytest --timeout 180 tests/integration/nodered/test_editor.py -k document $(ARGS)

test-package: $(VENV)/.dev ## the wheel, in empty environments away from here
	$(BIN)/pytest --timeout 300 tests/integration/package $(ARGS)

check: $(VENV)/.dev ## format, lint, types, and that documents and schema say what the code does
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_docs.py tests/test_docs_configuration.py tests/test_docs_homeassistant.py

format: $(VENV)/.dev ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev packages ## speed, beside a floor: the least that the contract costs
	$(BIN)/python -m tests.bench $(ARGS)

fuzz: $(VENV)/.dev ## each fuzz target for SECONDS (60) with atheris, which is installed for it
	@if $(BIN)/python -c 'import atheris' 2>/dev/null || \
		$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: atheris; \
	then $(BIN)/python -m tests.fuzz all $${SECONDS:-60}; \
	else echo "atheris has no wheel for this Python: hypothesis with many examples instead"; \
		ESP32CAM_EXAMPLES=20000 $(BIN)/pytest -n 2 --timeout 3600 tests/fuzz; fi

pound: $(VENV)/.dev packages ## 10,000 commands a second for ten seconds, and what becomes of them
	ESP32CAM_POUND=10 $(BIN)/pytest -s tests/faults/test_hostile_clients.py -k ten_thousand $(ARGS)

PINNED := $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras \
	--no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links
package: $(VENV)/.dev ## sources and wheel, in dist/
	$(BIN)/python -m build

pin: $(VENV)/bin/python ## renew docker/requirements*.txt: exact versions, each with its hashes
	@$(BIN)/pip install --quiet --disable-pip-version-check pip-tools
	@renew() { file=$$1; shift; { sed '/^#/!d' $$file; "$$@" --output-file - pyproject.toml | \
		sed '/^$$/d; /^#/d'; } > $$file.new && mv $$file.new $$file; }; \
	renew docker/requirements.txt $(PINNED) --extra images; \
	renew docker/requirements-build.txt $(PINNED) --build-deps-for wheel --only-build-deps

install: $(VENV)/.demo $(VENV)/.dev ## just set up .venv

clean: ## remove what these targets have made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf firmware/build firmware/build-*

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "No virtual environment could be made. On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo

.PHONY: packages browser compiler
packages:
	@sh tests/install-packages.sh tests

browser:
	@sh tests/install-packages.sh browser

compiler:
	@sh tests/install-packages.sh firmware
