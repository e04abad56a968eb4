# The commands of this project; `make help` lists them.
PYTHON ?= python3
CONFIG ?= config/config.yaml
CORES ?= $(shell nproc 2>/dev/null || echo 2)
RUN ?=
REVIEWER ?= $(USER)
WHAT ?= all
TO ?=
LICENSE ?=
OPTIONS ?=
VENV := .venv
BIN := $(VENV)/bin
TWO_WORKERS := --numprocesses=2 --dist=worksteal
PIN = $(BIN)/uv pip compile --quiet --no-annotate --no-header --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests setup-vllm demo study watch review app space publish slurm-demo test test-units test-runs test-matrix test-browser test-slurm test-envs test-interop test-interop-swift bench-data bench-ask bench-annotate bench-dag bench-slurm bench-train bench-rollouts bench-gpu lint schema dag reruns requirements

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'
	@echo "  variables: CONFIG=$(CONFIG) CORES=$(CORES) PYTHON=$(PYTHON) RUN=$(RUN) REVIEWER=$(REVIEWER) WHAT=$(WHAT)"

setup: ## make .venv with the pinned requirements; does nothing when it is current
	@PYTHON="$(PYTHON)" tools/setup_environment.sh $(VENV) requirements/main.txt

setup-tests: ## the same with what tests and checks need
	@PYTHON="$(PYTHON)" tools/setup_environment.sh $(VENV) requirements/main.txt requirements/test.txt

setup-vllm: ## make .venv-vllm: vLLM for machines without GPUs, which trainings and evaluations start
	@PYTHON="$(PYTHON)" UV_OVERRIDE=requirements/vllm.override tools/setup_environment.sh .venv-vllm requirements/vllm.txt

demo: setup ## run the whole workflow with CONFIG, print the result table and the path of the report
	@$(BIN)/python scripts/watch_run.py -- $(BIN)/snakemake --profile profiles/local --cores $(CORES) --configfile $(CONFIG)
	@$(BIN)/python scripts/print_results.py --config $(CONFIG)

# Trainings that recipes share are made once, by way of a store of its own.
study: setup-tests ## train and compare the recipes of config/recipes/study.yaml (hours; goes on where it was stopped)
	@mkdir -p results/study-store
	@NEP_STORE="$(CURDIR)/results/study-store" $(BIN)/python scripts/watch_run.py -- $(BIN)/snakemake --profile profiles/local --keep-going --cores $(CORES) --configfile config/config.yaml config/recipes/study.yaml
	PYTHONPATH=scripts $(BIN)/python benchmarks/study.py

watch: setup ## show how the run RUN, or the newest one, stands, until it has ended
	@$(BIN)/python scripts/watch_run.py $(if $(RUN),--run $(RUN))

review: setup ## review the questions of the run RUN as REVIEWER, on a page of this machine
	@$(BIN)/python scripts/review_questions.py --run "$(RUN)" --reviewer "$(REVIEWER)"

publish: setup ## publish WHAT (model, data, benchmark, space, all) of the run RUN on the hub: TO=owner/name LICENSE=... OPTIONS=--dry-run
	@$(BIN)/python scripts/publish.py --run "$(RUN)" --what "$(WHAT)" --to "$(TO)" --license "$(LICENSE)" $(OPTIONS)

app: setup ## ask the models of the run RUN (demo) what happens next, on a page of this machine
	@$(BIN)/python scripts/serve_app.py $(if $(RUN),--run $(RUN))

space: setup ## write that page with its models as results/RUN/space, a folder that can be put up by itself
	@$(BIN)/python scripts/write_space.py $(if $(RUN),--run $(RUN))

slurm-demo: setup ## run CONFIG through a Slurm of its own on this machine (Debian: slurmctld slurmd slurm-client munge)
	@PYTHONPATH=scripts $(BIN)/python tools/slurm_demo.py --configfile $(CONFIG)
	@$(BIN)/python scripts/print_results.py --config $(CONFIG)

lint: setup-tests ## ruff, snakefmt and snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(BIN):$$PATH" snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

test: lint ## the checks of `make lint`, then all tests
	$(BIN)/python -m pytest $(TWO_WORKERS) tests/unit tests/property tests/e2e

test-units: setup-tests ## the quick tests, by part
	$(BIN)/python -m pytest $(TWO_WORKERS) tests/unit tests/property

test-runs: setup-tests ## whole runs of the workflow
	$(BIN)/python -m pytest $(TWO_WORKERS) tests/e2e

test-matrix: setup-tests ## what `make test` leaves out of the matrices of configurations; noted in tests/matrix.sha256
	$(BIN)/python -m pytest $(TWO_WORKERS) -m matrix tests/unit tests/property
	$(BIN)/python tests/support/matrix.py --note

test-browser: setup-tests ## the pages in Chromium (Debian: chromium chromium-driver)
	$(BIN)/python -m pytest tests/browser

test-slurm: setup-tests ## the Slurm profile on a real Slurm of its own, with jobs stopped, lost and preempted
	$(BIN)/python -m pytest --numprocesses=3 --dist=worksteal tests/slurm

test-envs: setup-tests ## envs/*.yaml made from PyPI in .venv-env-*, and every rule run in its own one alone
	$(BIN)/python -m pytest tests/envs

test-interop: setup-tests setup-vllm ## LLaMA-Factory and verl on the exports (.venv-interop), servers and rollouts of vLLM (.venv-vllm)
	@PYTHON="$(PYTHON)" tools/setup_environment.sh .venv-interop requirements/interop.txt
	$(BIN)/python -m pytest tests/interop/test_llamafactory.py tests/interop/test_verl.py tests/interop/test_servers.py tests/interop/test_rollouts.py tests/interop/test_engine_gate.py tests/interop/test_evaluate_vllm.py

test-interop-swift: setup-tests ## ms-swift itself on its export, in .venv-interop-swift
	@PYTHON="$(PYTHON)" tools/setup_environment.sh .venv-interop-swift requirements/interop-swift.txt
	$(BIN)/python -m pytest tests/interop/test_swift.py

bench-data: setup-tests ## measure the data path against its peers; results and plot in benchmarks/results (an hour)
	@PYTHON="$(PYTHON)" tools/setup_environment.sh .venv-bench requirements/bench.txt
	@PYTHON="$(PYTHON)" tools/setup_environment.sh .venv-interop requirements/interop.txt
	PYTHONPATH=scripts:tools $(BIN)/python benchmarks/data_split.py
	PYTHONPATH=scripts:tools $(BIN)/python benchmarks/data_read.py
	PYTHONPATH=scripts:tools $(BIN)/python benchmarks/data_sample.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/data_scale.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/plot_data.py

bench-dag: setup-tests ## measure Snakemake's own time and memory against shards and experiments (half an hour)
	PYTHONPATH=scripts $(BIN)/python benchmarks/dag_scale.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/plot_dag.py

bench-ask: setup-tests ## measure asking about 10,000 videos (ten minutes)
	PYTHONPATH=scripts $(BIN)/python benchmarks/ask_scale.py

bench-annotate: setup-tests ## measure what gates catch with a noisy annotator, and the demo on its annotations (two demos' time)
	PYTHONPATH=scripts:tests $(BIN)/python benchmarks/annotate_gates.py
	PYTHONPATH=scripts:tests $(BIN)/python benchmarks/question_gates.py
	PYTHONPATH=scripts:tests $(BIN)/python benchmarks/annotate_demo.py

bench-slurm: setup-tests ## measure 500 short jobs through the Slurm profile on a Slurm of its own (half an hour)
	PYTHONPATH=scripts $(BIN)/python benchmarks/slurm_throughput.py

bench-train: setup-tests ## measure training against its peers; results and plots in benchmarks/results (an hour)
	@PYTHON="$(PYTHON)" tools/setup_environment.sh .venv-interop requirements/interop.txt
	@PYTHON="$(PYTHON)" tools/setup_environment.sh .venv-trl requirements/trl.txt
	PYTHONPATH=scripts $(BIN)/python benchmarks/train_sft.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/train_update.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/train_grpo.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/train_costs.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/train_memory.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/checkpoint_copy.py
	PYTHONPATH=scripts $(BIN)/python benchmarks/train_gpu.py --toy
	PYTHONPATH=scripts $(BIN)/python benchmarks/plot_train.py

bench-rollouts: setup-tests setup-vllm ## measure rollouts by the own engine and by vLLM on the CPU (ten minutes)
	PYTHONPATH=scripts $(BIN)/python benchmarks/rollout_engines.py

bench-gpu: setup-tests ## measure the published training on one GPU of 141 GB (eight minutes; not run here)
	PYTHONPATH=scripts $(BIN)/python benchmarks/train_gpu.py

schema: setup ## write config/schema.json and docs/configuration.md from scripts/nep/config/
	PYTHONPATH=scripts $(BIN)/python tools/write_config_schema.py

dag: setup ## draw docs/dag.svg (needs Graphviz's dot)
	PYTHONPATH=scripts $(BIN)/python tools/draw_workflow.py

reruns: setup-tests ## try out and write docs/reruns.md, what each key of the configuration runs again
	$(BIN)/python -m pytest tests/e2e/test_reruns.py --write-docs

requirements: setup-tests ## pin the whole closure of each requirements/*.in and of each envs/*.yaml
	$(PIN) requirements/main.in -o requirements/main.txt
	PYTHONPATH=scripts $(BIN)/python tools/pin_environments.py
	$(PIN) requirements/test.in -c requirements/main.txt -o requirements/test.txt
	$(PIN) requirements/space.in -c requirements/main.txt -o requirements/space.txt
	$(PIN) requirements/bench.in -o requirements/bench.txt
	$(PIN) requirements/trl.in -o requirements/trl.txt
	$(PIN) requirements/interop.in -o requirements/interop.txt
	$(PIN) requirements/interop-swift.in -o requirements/interop-swift.txt
	UV_OVERRIDE=requirements/vllm.override $(PIN) requirements/vllm.in -o requirements/vllm.txt
