# make demo: environment, data, training, scores and pictures.   make test: environment and tests.
VENV := .venv
RUN := $(VENV)/bin/python -W ignore

.PHONY: demo test lint environment clean

demo: $(VENV)/installed
	$(RUN) -m keras_sat.demo

test: $(VENV)/installed-test
	$(RUN) -m pytest

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

environment: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@sh environment.sh $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) demo
