# The checked configuration, and what rules say about themselves: recipe, code, logs, benchmarks.
import json
import os
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))
# Jobs run in the environment that Snakemake runs in, also where it has not been activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

from nep.config import load_config
from nep.errors import InputError
from nep.fingerprint import code_fingerprint
from nep.workflow.lock import hold_as_run

try:
    CONFIG = load_config(config)
except InputError as error:
    raise WorkflowError(str(error)) from None

if workflow.is_main_process:
    RUN_LOCK = hold_as_run(Path(".snakemake"))

RUN = f"results/{CONFIG.run}"
PROMPTS = CONFIG.convert.prompts


def recipe(block):
    """A config block as JSON: the stage's own settings, and the param by which Snakemake sees that they changed."""
    return json.dumps(block.model_dump(mode="json") if block is not None else None, sort_keys=True)


def code(script):
    """Fingerprint of an entry point's logic: a param, so that a change of logic re-runs the stage."""
    return code_fingerprint(SCRIPTS / script, SCRIPTS)


def experiments_with(stage):
    """Names of the experiments that have the stage."""
    return [name for name, experiment in CONFIG.experiments.items() if getattr(experiment, stage) is not None]


def models():
    """Names of all models to evaluate: the base, then each experiment's."""
    trained = [f"{name}-{stage}" for name in CONFIG.experiments for stage in ("sft", "grpo")]
    return ["base", *(model for model in trained if model.rsplit("-", 1)[0] in experiments_with(model.rsplit("-", 1)[1]))]


def manifest_of(model):
    """Manifest file of a model."""
    if model == "base":
        return f"{RUN}/models/base.manifest.json"
    experiment, stage = model.rsplit("-", 1)
    return f"{RUN}/{experiment}/{stage}/manifest.json"


def folder_of(model):
    """Checkpoint folder of a model."""
    if model == "base":
        return f"{RUN}/models/base"
    experiment, stage = model.rsplit("-", 1)
    return f"{RUN}/{experiment}/{stage}/model"


def dataset_files(stage, experiment):
    """The data sets that an experiment's stage trains on."""
    suffix = {"sft": "json", "grpo": "jsonl"}[stage]
    return [
        f"{RUN}/convert/{stage}/{name}.{suffix}" for name in getattr(CONFIG.experiments[experiment], stage).datasets
    ]


def launcher(training):
    """How a training script starts: by itself, or under torchrun with several processes."""
    several = f"torchrun --standalone --nproc_per_node {training.processes}"
    return several if training.processes > 1 else "python"


def cores_of(training):
    """Cores that a training stage uses on a machine without GPUs."""
    return training.processes * training.threads


wildcard_constraints:
    experiment="|".join(CONFIG.experiments),
    model="|".join(models()),
    control="|".join(["none", *CONFIG.evaluate.controls]),
