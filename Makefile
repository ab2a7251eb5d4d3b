# make demo: environment, data, training, scores and pictures.   make test: environment and tests.
# make lint: style and types.   make docs: the documentation as a site.
# make test-fast: the tests that need no other process and little time, for every change.
# make test-matrix: the tests with each of TensorFlow's CPU kernels and numbers of threads.
# make soak: kills and damages by the hundred; it resumes, and its table is soak/table.md.
# make guards: takes each guard of docs/reliability.md out of a copy of the code; its test must fail.
# make bench: speed beside alternatives, PyTorch among them, which it installs.
VENV := .venv
RUN := $(VENV)/bin/python -W ignore
# -qq: errors alone. What pip warns of is the machine's (places to look for wheels that are not there, the root user).
INSTALL := $(VENV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt
# OpenCV's contrib modules find object proposals. The wheel lies over opencv-python-headless, so it comes last.
CONTRIB := $(INSTALL) --force-reinstall --no-deps opencv-contrib-python-headless

.PHONY: demo test test-fast test-matrix soak guards bench lint docs environment clean

demo: $(VENV)/installed
	$(RUN) -m keras_sat.demo

# Two processes, a file of tests at a time, since much of it is Python that traces graphs.
test: $(VENV)/installed-test
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/installed-test
	$(RUN) -m pytest -n 2 --dist loadfile -m "not slow and not process and not java"

# Other kernels and numbers of threads sum in another order, so they round differently: the tests with each of them.
test-matrix: $(VENV)/installed-test
	@for onednn in 0 1; do for threads in 1 2; do \
	    TF_ENABLE_ONEDNN_OPTS=$$onednn TF_NUM_INTRAOP_THREADS=$$threads TF_NUM_INTEROP_THREADS=$$threads \
	        $(MAKE) --no-print-directory test || failed=1; \
	done; done; exit $${failed:-0}

soak: $(VENV)/installed-test
	$(RUN) -m tests.soak --output soak

guards: $(VENV)/installed-test
	$(RUN) -m tests.guards

bench: $(VENV)/installed
	$(INSTALL) -e ".[bench]"
	$(RUN) -m benchmarks --output bench

lint: $(VENV)/installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/basedpyright

# The reference is made of the settings; then links, anchors and the API's names are checked strictly.
docs: $(VENV)/installed-docs
	$(RUN) docs/configuration.py
	PATH=$(CURDIR)/$(VENV)/bin:$$PATH NO_MKDOCS_2_WARNING=1 mkdocs --quiet build

environment: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@sh environment.sh $(VENV)
	$(INSTALL) -e ".[web]"
	$(CONTRIB)
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) -e ".[test]"
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(INSTALL) -e ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) demo site
