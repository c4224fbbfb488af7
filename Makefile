# make demo   sets up .venv and runs the demo study
# make test   sets up .venv and runs every test that needs no GPU
# On a machine without a local CPU wheel of torch, see README, "Which torch".

PYTHON ?= python3
CORES ?= 1
PIP_ARGS ?=
STUDY ?= demo-captioning
TEST_PROCESSES ?= 2
# More of Snakemake's options for demo, run, again and reproduce, as in SNAKEMAKE_ARGS=--use-conda.
SNAKEMAKE_ARGS ?=

# One environment a checkout; made anew when the lock changes.
VENV := .venv
READY := $(VENV)/.locked
BIN := $(abspath $(VENV))/bin
RUN := PATH="$(BIN):$$PATH" PYTHONNOUSERSITE=1
SNAKEMAKE = $(RUN) snakemake --cores $(CORES) $(SNAKEMAKE_ARGS)

.PHONY: help demo run plan again reproduce test test-gpu bench test-tensorflow tensorflow dag lock lock-tensorflow envs format

help:
	@sed -n 's/^# \(make\)/\1/p' Makefile
	@echo "make run STUDY=name, make plan STUDY=name, make again STUDY=name TARGET=file, make reproduce STUDY=name, make dag, make bench, make test-gpu, make tensorflow, make test-tensorflow, make format, make lock, make envs"
	@echo "SNAKEMAKE_ARGS=... is handed on to Snakemake, as in: make run STUDY=name SNAKEMAKE_ARGS=--use-conda"

$(READY): requirements.lock requirements-gptq.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	"$(BIN)/python" -m pip install --quiet $(PIP_ARGS) -r requirements.lock
	@"$(BIN)/python" -m pip install --quiet $(PIP_ARGS) -r requirements.lock -r requirements-gptq.lock || \
		echo "GPTQModel could not be installed here (it needs a C compiler): the formats gptq-* and awq-* will say so, all else works."
	@touch $@

demo: $(READY)
	$(SNAKEMAKE) --config study=demo-captioning

run: $(READY)
	$(SNAKEMAKE) --config study=$(STUDY)

# What a run would do on this machine: the baseline, what is left out and why, what has to be downloaded.
plan: $(READY)
	@$(RUN) python workflow/scripts/plan_study.py $(STUDY)

# What is made from a study's records alone: these rules need no model, no data set and no picture.
FROM_RECORDS := resolve_study combine_measurements compare_precisions summarize_study recommend_precision \
	tabulate_carbon tabulate_ablation plot_figures plot_comparison plot_ablation plot_breakdown read_ratings \
	draw_rulegraph write_paper write_appendix write_slides write_page bundle_study

# One file of a finished study once more, from its records: also where its checkpoints are gone, as in an archive.
again: $(READY)
	$(SNAKEMAKE) --force --allowed-rules $(FROM_RECORDS) --config study=$(STUDY) -- $(TARGET)

# Predictions and scores of a finished study once more, in a folder of their own: are they the same?
reproduce: $(READY)
	$(SNAKEMAKE) --config study=$(STUDY) -- reproduce

# One test process a core, each with one thread: two that compute with all cores would stand in each other's way.
test: $(READY)
	$(RUN) OMP_NUM_THREADS=1 python -m pytest tests --ignore tests/gpu --numprocesses $(TEST_PROCESSES) \
		--dist loadfile --no-loadscope-reorder

test-gpu: $(READY)
	$(RUN) python -m pytest tests/gpu

# TensorFlow, for SavedModels and Keras models, in an environment of its own: some hundred megabytes, and only on demand.
TENSORFLOW := .venv-tensorflow

$(TENSORFLOW)/.locked: requirements-tensorflow.lock
	$(PYTHON) -m venv --clear $(TENSORFLOW)
	$(TENSORFLOW)/bin/python -m pip install --quiet $(PIP_ARGS) -r requirements-tensorflow.lock
	@touch $@

tensorflow: $(TENSORFLOW)/.locked

# Nightly: TensorFlow's converter really run, and its files audited.
test-tensorflow: $(READY) tensorflow
	$(RUN) OMP_NUM_THREADS=1 python -m pytest tests/tf_route

# How fast each format is on this machine: docs/benchmarks.md.
bench: $(READY)
	$(RUN) PYTHONPATH=workflow/scripts python benchmarks/bench.py

# The rules as a graph, in mermaid text: GitHub and https://mermaid.live draw it.
dag: $(READY)
	@mkdir -p results
	$(RUN) snakemake --rulegraph mermaid-js --config study=$(STUDY) > results/dag.mmd
	@echo "results/dag.mmd (with graphviz: snakemake --dag | dot -Tsvg > results/dag.svg)"

format: $(READY)
	$(RUN) ruff check --fix .
	$(RUN) ruff format .
	$(RUN) snakefmt Snakefile rules

# setuptools is one of what `pip freeze` keeps quiet about, and torch needs it.
lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet $(PIP_ARGS) -r requirements.in
	(sed -n '/^#/p' requirements.lock; .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude wheel | sed 's/+cpu//') > requirements.new
	mv requirements.new requirements.lock
	rm -rf .venv-lock

lock-tensorflow: $(READY)
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet $(PIP_ARGS) -c requirements.lock \
		$$("$(BIN)/python" -c 'import tomllib; print(*tomllib.load(open("envs/groups.toml", "rb"))["tensorflow"]["pypi"])')
	(sed -n '/^#/p' requirements-tensorflow.lock; .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude wheel) > requirements.new
	mv requirements.new requirements-tensorflow.lock
	rm -rf .venv-lock

# The conda environments, from envs/groups.toml and the locks.
envs: $(READY)
	$(RUN) python workflow/scripts/pin_environments.py
