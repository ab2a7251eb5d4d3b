# make demo: environment, data, training, scores and pictures.   make test: environment and tests.
# make bench: speed beside alternatives, PyTorch among them, which it installs.
VENV := .venv
RUN := $(VENV)/bin/python -W ignore
INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# OpenCV's contrib modules find object proposals. The wheel lies over opencv-python-headless, so it comes last.
CONTRIB := $(INSTALL) --force-reinstall --no-deps opencv-contrib-python-headless

.PHONY: demo test bench lint environment clean

demo: $(VENV)/installed
	$(RUN) -m keras_sat.demo

# Two processes, a file of tests at a time, since much of it is Python that traces graphs.
test: $(VENV)/installed-test
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/installed
	$(INSTALL) -e ".[bench]"
	$(RUN) -m benchmarks --output bench

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

environment: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@sh environment.sh $(VENV)
	$(INSTALL) -e .
	$(CONTRIB)
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) -e ".[test]"
	@touch $@

clean:
	rm -rf $(VENV) demo
