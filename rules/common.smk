# The checked configuration, and what rules say about themselves: recipe, code, files.
import json
import sys
from pathlib import Path

from nep.annotate.steps import prompt_file, steps_of
from nep.config.frame_folders import FrameFolders
from nep.config.whole import load_config
from nep.data.catalog import check_datasets, dataset_names
from nep.download.place import folder_state
from nep.errors import InputError
from nep.fingerprint import code_fingerprint
from nep.jobs.store import store_folder
from nep.layout.datasets import dataset_file, validation_file
from nep.layout.exports import EXPORTED_STAGES
from nep.layout.models import (
    BASE,
    TRAINING_STAGES,
    experiment_and_seed,
    model_folder,
    model_manifest,
    model_name,
)
from nep.own_benchmark.steps import CHOOSING_KEYS, WRITING_KEYS, prompt_files
from nep.plan.start import is_plan, leave_runs_alone, need_no_cores
from nep.watch.last_words import print_failure_summary
from nep.workflow import logs
from nep.workflow.start import acquire_run_lock, prepare_run

try:
    CONFIG = load_config(config)
    check_datasets(CONFIG)
    store_folder()
except InputError as error:
    raise WorkflowError(str(error)) from None

COMMAND = sys.argv[1:] if workflow.is_main_process else []
IS_PLAN = is_plan(COMMAND)
if IS_PLAN:
    need_no_cores(workflow)
prepare_run(CONFIG.run, workflow.is_main_process)

RUN = f"results/{CONFIG.run}"
logs.announce(f"{RUN}/logs")
PROMPTS = CONFIG.convert.prompts
# How videos are made of folders of images; without such folders, no rule asks for what frames_shard makes.
FRAME_FOLDERS = CONFIG.source.frame_folders or FrameFolders(fps=1)


def recipe(block, *keys):
    """What decides a stage's result, as JSON: the param by which Snakemake sees that it changed.

    The whole block, or the `keys` that the stage reads. How a stage is run (processes, checkpoints) comes to it as
    threads and resources, which Snakemake does not compare.
    """
    settings = block.result_settings() if block is not None else None
    return json.dumps({key: settings[key] for key in keys} if keys else settings, sort_keys=True)


def recipe_in_order(block):
    """The same with names in the order of the configuration, in which the report lays out experiments and tables."""
    return json.dumps(block.result_settings())


def code(*scripts):
    """Fingerprint of the logic of a rule's entry points: a param, so that a change of logic re-runs the stage."""
    kept = Path(".snakemake") / "nep-syntax"
    return " ".join(code_fingerprint(SCRIPTS / script, SCRIPTS, kept=kept) for script in scripts)


def trainings_with(stage):
    """Names of the trainings that have the stage: of an experiment, or of an experiment with one of its seeds.

    The wildcard `experiment` is such a name.
    """
    return [name for name, experiment in CONFIG.trainings.items() if getattr(experiment, stage) is not None]


def checkpoints_to_evaluate():
    """Names of the checkpoints to evaluate: the base, then each experiment's."""
    return [BASE, *CONFIG.trained_models]


def models():
    """Names of all models to evaluate: checkpoints, then the references behind an API."""
    return [*checkpoints_to_evaluate(), *CONFIG.references]


def below_run(path):
    """A path of `nep.layout` in this run's folder."""
    return f"{RUN}/{path}"


def dataset_files(stage, experiment):
    """The data sets that an experiment's stage trains on."""
    names = getattr(CONFIG.trainings[experiment], stage).datasets
    return [f"{RUN}/convert/{dataset_file(stage, name)}" for name in names]


def validation_files(experiment):
    """The held-out samples of an experiment's SFT data sets."""
    return [f"{RUN}/convert/{validation_file(name)}" for name in CONFIG.trainings[experiment].sft.datasets]


def trainings():
    """Name and stage of each training."""
    return [(name, stage) for stage in TRAINING_STAGES for name in trainings_with(stage)]


def selections(by_training):
    """What decides which rows trainings take, as JSON: of each training; or each choice once, whoever makes it."""
    chosen = {selection(model_name(name, stage) if by_training else "", stage, name) for name, stage in trainings()}
    return f"[{', '.join(sorted(chosen))}]"


def selection(name, stage, training):
    """One of them: a `Selection` of nep.encode.selected."""
    block, (_, seed) = getattr(CONFIG.trainings[training], stage), experiment_and_seed(training)
    keys = block.model_dump(include={"datasets", "balance_sources", "validation_samples"})
    keys["second_parts"] = stage == "grpo" and block.shows_second_parts
    own_seed = {} if seed is None else {"seed": seed}
    return json.dumps({"name": name, "stage": stage, **keys, **own_seed}, sort_keys=True)


def reward_files(grpo):
    """The user's own reward functions: files that a training waits for, and runs again with when they change."""
    return [path for path in grpo.reward_modules if Path(path).is_file()]


def exported_stages(consumer, experiment):
    """The stages that an experiment has and the consumer can train."""
    return [stage for stage in EXPORTED_STAGES[consumer] if experiment in trainings_with(stage)]


def exports_for(consumer):
    """The exports of all experiments that the consumer can train."""
    return [f"{RUN}/export/{consumer}/{name}/README.md" for name in CONFIG.trainings if exported_stages(consumer, name)]


def planned_targets():
    """What a plan plans: everything, or, without questions to evaluate on, everything else."""
    asked = CONFIG.has_questions or "futurebench" not in CONFIG.evaluate.tasks
    return ["all"] if asked else ["data_card", "sft", "grpo"]


def run_folder(wildcards):
    """The run's folder: a param of the rules whose scripts find their way below it."""
    return RUN


def source_files():
    """Files of a local source that exist now or that the demo makes; none for a hub."""
    if CONFIG.source.kind == "hub":
        return []
    if CONFIG.source.path == f"{RUN}/hub":
        return DEMO_HUB_FILES
    if CONFIG.source.path == f"{RUN}/plain":
        return rules.make_demo_videos.output
    archives = CONFIG.source.archives if CONFIG.source.kind == "folder" else []
    annotations = [] if CONFIG.source.kind == "videos" else [CONFIG.source.annotations]
    patterns = [*archives, *annotations, *filter(None, [CONFIG.source.questions])]
    patterns += CONFIG.source.seedbench_r1.values()
    return sorted(str(path) for pattern in patterns for path in Path(CONFIG.source.path).glob(pattern))


def plain_videos():
    """Hash of the names, sizes and times of plain videos, and of images that videos are made of: a param, so that another
    file lists and links them anew."""
    if not (CONFIG.source.kind == "videos" or CONFIG.source.frame_folders) or CONFIG.source.path == f"{RUN}/plain":
        return ""
    return folder_state(Path(CONFIG.source.path))


def frame_shards():
    """What became of the folders of images, where there are such."""
    shards = FRAME_FOLDERS.shards if CONFIG.source.frame_folders else 0
    return [f"{RUN}/download/frames/{shard}-of-{shards}.jsonl" for shard in range(1, shards + 1)]


def annotation_file():
    """The annotations in the published form: the source's, or what models made of plain videos."""
    stage = "annotate" if CONFIG.source.kind == "videos" else "download/annotations"
    return f"{RUN}/{stage}/next_event_prediction.json"


def question_file():
    """The questions of FutureBench in the published form: the source's, or those written about plain videos."""
    return f"{RUN}/{'questions' if CONFIG.questions else 'download/annotations'}/futurebench.json"


def model_files():
    """Files of a local base model that the demo makes; others are only read."""
    return rules.make_tiny_model.output if CONFIG.model.path == f"{RUN}/tiny_model" else []


def futurebench_questions(wildcards):
    """The questions of FutureBench; without a file of them, nothing of their evaluation can be planned."""
    if not CONFIG.has_questions:
        raise WorkflowError(
            "source.questions is null: there is nothing to evaluate on; ask for sft, grpo or another stage"
        )
    return f"{RUN}/convert/futurebench.jsonl"


def asked_futurebench(wildcards):
    """The questions of FutureBench where it is asked."""
    return futurebench_questions(wildcards) if "futurebench" in CONFIG.evaluate.tasks else []


def fetched_benchmarks(wildcards):
    """What is fetched of lmms-eval's own benchmarks; nothing offline, where what is there is taken."""
    if CONFIG.evaluate.offline:
        return []
    return [f"{RUN}/download/benchmarks/{name}.json" for name in CONFIG.evaluate.lmms_eval_benchmarks]


def asked_seedbench(wildcards):
    """The questions of SeedBench-R1 where one of its levels is asked."""
    return f"{RUN}/convert/seedbench_r1.jsonl" if CONFIG.evaluate.seedbench_levels else []


def signatures():
    """What evaluation videos are recognised by in the training videos; nothing where none are to be held out."""
    evaluated = CONFIG.has_questions or CONFIG.source.seedbench_r1
    return [f"{RUN}/hash/signatures.jsonl"] if evaluated and CONFIG.convert.hold_out_evaluation_videos else []


def archive_manifests(wildcards):
    """One manifest for each archive that the source lists."""
    with checkpoints.list_source.get().output[0].open() as listing:
        return [f"{RUN}/download/archives/{archive['name']}.json" for archive in json.load(listing)["archives"]]


def start_model(wildcards):
    """Name of the model that an experiment's GRPO starts from."""
    return model_name(wildcards.experiment, "sft") if wildcards.experiment in trainings_with("sft") else BASE


# What starts a launcher on each node of a job.
MPI = "srun"


def launcher(training, cores):
    """How a training script starts: by itself, or in several processes, on one node or on each of several.

    srun takes one core for a launcher and all its processes where it is not told the `cores` of a node.
    """
    several = f"python scripts/launch_training.py --nproc_per_node {training.processes}"
    if training.nodes > 1:
        place = f"--nodes={training.nodes} --ntasks={training.nodes} --cpus-per-task={cores}"
        return f"{MPI} {place} --kill-on-bad-exit=1 {several} --nnodes {training.nodes}"
    return f"{several} --standalone" if training.processes > 1 else "python"


def training_resources(stage):
    """How the training of an experiment is run, which decides nothing of its result."""
    return {
        "nodes": of_training(stage, lambda training: training.nodes),
        "tasks": of_training(stage, lambda training: on_several_nodes(training, training.nodes)),
        "tasks_per_gpu": of_training(stage, lambda training: on_several_nodes(training, 0)),
        "mpi": of_training(stage, lambda training: on_several_nodes(training, MPI)),
        "launcher": lambda wildcards, threads: of_training(stage, lambda of: launcher(of, threads))(wildcards),
        "checkpoint_minutes": of_training(stage, lambda training: training.checkpoint_minutes),
        "keep_checkpoints": of_training(stage, lambda training: training.keep_checkpoints),
        "tracker": of_training(stage, lambda training: training.tracker),
    }


def engine_code(grpo):
    """Fingerprint of the engine that writes a training's completions; nothing where the trainer does."""
    return code("serve_rollouts.py") if grpo.engine_environment else ""


def seed_of_training(wildcards):
    """The seed of a job's training."""
    return CONFIG.seed_of(wildcards.experiment)


def of_training(stage, value):
    """What `value` makes of the block `stage` of a job's experiment."""
    return lambda wildcards: value(getattr(CONFIG.trainings[wildcards.experiment], stage))


def on_several_nodes(training, value):
    """A resource that only a training on several nodes asks for."""
    return value if training.nodes > 1 else None


def cores_of(training):
    """Cores that a training stage uses on one node without GPUs."""
    return training.processes * training.threads


wildcard_constraints:
    experiment="|".join(CONFIG.trainings),
    model="|".join(checkpoints_to_evaluate()),
    reference="|".join(CONFIG.references) or "none",
    control="|".join(["none", *CONFIG.evaluate.video_controls]),
