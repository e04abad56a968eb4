from snakemake.utils import min_version

min_version("9.27")


include: "rules/start.smk"


# The image with the environments of envs/, for --sdm conda apptainer (docs/environments.md); nothing else looks for it.
containerized: "nep.sif"


# A file given by --configfile is the whole configuration: it does not extend the demo's.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/demo.smk"
include: "rules/download.smk"
include: "rules/shots.smk"
include: "rules/annotate.smk"
include: "rules/questions.smk"
include: "rules/records.smk"
include: "rules/split.smk"
include: "rules/hash.smk"
include: "rules/convert.smk"
include: "rules/export.smk"
include: "rules/encode.smk"
include: "rules/sft.smk"
include: "rules/grpo.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/plan.smk"


onstart:
    leave_runs_alone(workflow) if IS_PLAN else acquire_run_lock(CONFIG.run)


onerror:
    print_failure_summary(log)


localrules:
    all,
    download,
    annotate,
    questions,
    segments,
    convert,
    export_llamafactory,
    export_easyr1,
    export_verl,
    export_swift,
    export_hf,
    encode,
    sft,
    grpo,
    evaluate,
    evaluate_reference,
    report,
    data_card,


rule all:
    """The whole workflow: everything up to the report."""
    default_target: True
    input:
        f"{RUN}/report/index.html",
        f"{RUN}/report/data.html",


rule download:
    """Data set and base model, fetched and verified."""
    input:
        f"{RUN}/download/manifest.json",
        f"{RUN}/models/base.manifest.json",


rule annotate:
    """Plain videos annotated by models."""
    input:
        f"{RUN}/annotate/next_event_prediction.json",


rule questions:
    """Questions about plain videos, written and filtered by models: to be reviewed (`make review`)."""
    input:
        f"{RUN}/questions/to_review.jsonl",


rule segments:
    """The videos cut into first and second parts, with manifests."""
    input:
        f"{RUN}/split/manifest.jsonl",


rule convert:
    """The data sets."""
    input:
        f"{RUN}/convert/manifest.json",


rule export_llamafactory:
    """The SFT of all experiments for LLaMA-Factory."""
    input:
        exports_for("llamafactory"),


rule export_easyr1:
    """The GRPO of all experiments for EasyR1."""
    input:
        exports_for("easyr1"),


rule export_verl:
    """The GRPO of all experiments for verl."""
    input:
        exports_for("verl"),


rule export_swift:
    """The SFT and GRPO of all experiments for ms-swift."""
    input:
        exports_for("swift"),


rule export_hf:
    """All data sets for Hugging Face `datasets`."""
    input:
        f"{RUN}/export/hf/README.md",


rule encode:
    """The cache of frames and vision features."""
    input:
        f"{RUN}/encode/index.jsonl",


rule sft:
    """The supervised models of all experiments."""
    input:
        [f"{RUN}/{name}/sft/manifest.json" for name in trainings_with("sft")],


rule grpo:
    """The GRPO models of all experiments."""
    input:
        [f"{RUN}/{name}/grpo/manifest.json" for name in trainings_with("grpo")],


rule evaluate:
    """The scores of all models."""
    input:
        [f"{RUN}/evaluate/{model}/scores.json" for model in models()],


rule report:
    """The report and its table."""
    input:
        f"{RUN}/report/index.html",
        f"{RUN}/report/results.csv",
        f"{RUN}/report/data.html",


rule data_card:
    """The page about the data; it needs no training."""
    input:
        f"{RUN}/report/data.html",
