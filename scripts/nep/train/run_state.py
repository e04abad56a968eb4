"""Where a training run keeps its state, what it resumes from, and how its results are published."""

import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nep.config.training import Training
from nep.errors import InputError
from nep.files import atomic_path, is_intact, read_json, sha256_of_file, sha256_of_json, write_json
from nep.fingerprint import code_fingerprint
from nep.jobs.store import Shelf
from nep.model_manifest import model_manifest
from nep.rollouts.environment import find_environment
from nep.train.checkpoint import clear_leftovers, drop_checkpoints
from nep.train.distributed import DistributedContext
from nep.train.engine import Engine
from nep.train.runtime.options import RunPaths

WEIGHT_SUFFIXES = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")
FINGERPRINT_LENGTH = 16
TRAIN_ROOM = Path(__file__).resolve().parent
# The module of each stage, from which all of its code is found.
TRAINERS = {"sft": TRAIN_ROOM / "sft.py", "grpo": TRAIN_ROOM / "rl" / "grpo.py"}
ENGINE = TRAIN_ROOM.parents[1] / "serve_rollouts.py"
MODEL, MANIFEST = "model", "manifest.json"
LOGS = ("metrics.jsonl", "validation.jsonl", "timings.jsonl", "anomalies.jsonl")
LIBRARIES = ("torch", "transformers", "peft", "deepspeed")


def recipe_fingerprint(stage: str, training: Training, seed: int, datasets: list[Path], paths: RunPaths) -> str:
    """Hash of all that decides a run's result; a run resumes only from checkpoints of the same fingerprint.

    The trainer's own code and the libraries beneath it are part of it, as a run that they change must start anew. How
    often checkpoints are written is not, and the DeepSpeed file counts by its content. Raises InputError for a missing
    vision cache or a manifest without fingerprint.
    """
    manifest = read_json(paths.model_manifest)
    if "fingerprint" not in manifest:
        raise InputError(f"{paths.model_manifest}: needs the key 'fingerprint'")
    if not paths.index.is_file():
        raise InputError(f"{paths.index}: no such file; run the encode stage")
    recipe = {
        **_of_engine(training),
        "stage": stage,
        "code": code_fingerprint(TRAINERS[stage], TRAIN_ROOM.parents[1]),
        "libraries": {name: version(name) for name in LIBRARIES},
        "training": {**training.result_settings(), "deepspeed": read_json(Path(training.deepspeed))},
        "seed": seed,
        "model": manifest["fingerprint"],
        "files": {path.name: sha256_of_file(path) for path in datasets},
        # Its rows have checksums of the clips' frames. Which other clips are cached decides nothing.
        "clips": sha256_of_file(paths.index),
    }
    return sha256_of_json(recipe)[:FINGERPRINT_LENGTH]


def _of_engine(training: Training) -> dict[str, Any]:
    """Code and packages of an engine beside the trainer; nothing where there is none."""
    if training.engine_environment is None:
        return {}
    versions = find_environment(training.engine_environment).versions
    return {"engine": {"code": code_fingerprint(ENGINE, TRAIN_ROOM.parents[1]), "libraries": versions}}


def work_folder(paths: RunPaths, stage: str, experiment: str, fingerprint: str) -> Path:
    """The folder of checkpoints and growing logs of one recipe."""
    return paths.run / "work" / stage / experiment / fingerprint


class Outputs:
    """The outputs of one recipe: `model/`, the logs, and last `manifest.json`, each complete or absent.

    They need no training where one has ended, the model that it left stands as it was, and only the declared files are
    gone; or where the store has them. A training that calls the user's own reward functions is not shared: what these
    import and read is not known.
    """

    def __init__(self, stage: str, fingerprint: str, paths: RunPaths, work: Path, may_be_shared: bool) -> None:
        self._shelf = Shelf(stage, run=paths.run, root=paths.out)
        self._key = {"fingerprint": fingerprint}
        self._start_model = paths.model
        self._out = paths.out
        self._work = work
        self._may_be_shared = may_be_shared

    def fetch(self, distributed: DistributedContext) -> bool:
        """Whether the outputs are there without training. All processes must call it."""
        found = distributed.is_main_process and (self._put_back() or self._take_from_store())
        return distributed.all_reduce_sum([found]) == [1]

    def publish(self, engine: Engine, results: dict[str, Any]) -> None:
        """Write the outputs of a training that has ended, and share them; its checkpoints are dropped."""
        model = engine.published_model()
        if engine.distributed.is_main_process:
            self._out.mkdir(parents=True, exist_ok=True)
            clear_leftovers(self._out)
            with atomic_path(self._out / MODEL) as folder:
                model.save_pretrained(folder)
                _copy_companions(self._start_model, folder)
            write_json(self._work / MANIFEST, {**model_manifest(self._out / MODEL), **results})
            self._hand_out()
        engine.distributed.barrier()

    def _put_back(self) -> bool:
        manifest = self._work / MANIFEST
        files = read_json(manifest)["files"] if manifest.is_file() else {}
        if not files or not all(is_intact(self._out / MODEL / name, digest) for name, digest in files.items()):
            return False
        print(f"{self._shelf.stage}: trained before, and the model stands; nothing is trained", file=sys.stderr)
        self._hand_out()
        return True

    def _take_from_store(self) -> bool:
        found = self._may_be_shared and self._shelf.fetch(self._key) is not None
        if found:
            print(f"{self._shelf.stage}: taken from the store, nothing is trained", file=sys.stderr)
        return found

    def _hand_out(self) -> None:
        """Put logs and manifest beside the model, share all of it, and drop what only an unfinished training needs."""
        outputs = [self._out / name for name in (*LOGS, MANIFEST)]
        for output in outputs:
            with atomic_path(output) as target:
                shutil.copyfile(self._work / output.name, target)
        if self._may_be_shared:
            self._shelf.publish(self._key, beside=[self._out / MODEL], outputs=outputs)
        drop_checkpoints(self._work)


def _copy_companions(source: Path, target: Path) -> None:
    """Tokenizer, processor, chat template and whatever else lies beside the weights of the start model."""
    for path in sorted(source.iterdir()):
        if path.is_file() and not path.name.endswith(WEIGHT_SUFFIXES) and not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)
