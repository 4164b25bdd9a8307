# make quickstart   train the original GAN on real handwritten digits and say what came out
# make test         install and run the tests (ZOO_DATA=DIR adds those on real data)
# make pictures     draw the cards' pictures (ZOO_DATA=DIR adds facades); ALL=1 first trains the experiments shown
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
DIGITS := recipes/gan/digits.yaml

.PHONY: quickstart test learn lint type tables pictures clean

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@ $(VENV)/.installed

quickstart: $(VENV)/.installed
	$(BIN)/zoo fit --config $(DIGITS)
	$(BIN)/zoo test --config $(DIGITS) --ckpt_path last
	@echo "The pictures of the training are in runs/gan/digits/, in the newest folder's samples/latest.png."

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest

learn: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow --timeout 1800 tests

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.installed-test
	$(BIN)/mypy

tables: $(VENV)/.installed
	$(BIN)/python scripts/tables.py $(MEASURE)

pictures: $(VENV)/.installed
	$(BIN)/python scripts/pictures $(if $(ALL),--all)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
