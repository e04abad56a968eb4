# INPUTS   the experiment's SFT sets, RUN/encode/index.jsonl, RUN/models/base.manifest.json
# OUTPUTS  RUN/<experiment>/sft/{manifest.json,metrics.jsonl,validation.jsonl}; the checkpoint in model/ beside


rule train_sft:
    """Supervised fine-tuning of one experiment on the DeepSpeed engine."""
    input:
        datasets=lambda wildcards: dataset_files("sft", wildcards.experiment),
        validation=lambda wildcards: validation_files(wildcards.experiment),
        cache=f"{RUN}/encode/index.jsonl",
        model=f"{RUN}/models/base.manifest.json",
        deepspeed=lambda wildcards: CONFIG.experiments[wildcards.experiment].sft.deepspeed,
    output:
        manifest=f"{RUN}/{{experiment}}/sft/manifest.json",
        metrics=f"{RUN}/{{experiment}}/sft/metrics.jsonl",
        validation=f"{RUN}/{{experiment}}/sft/validation.jsonl",
    log:
        f"{RUN}/logs/train_sft/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/train_sft/{{experiment}}.tsv"
    # Most of the workflow waits for training: it goes before the evaluation of models that are ready.
    priority: 1
    conda:
        "../envs/train.yaml"
    threads: lambda wildcards: cores_of(CONFIG.experiments[wildcards.experiment].sft)
    resources:
        nodes=lambda wildcards: CONFIG.experiments[wildcards.experiment].sft.nodes,
        tasks=lambda wildcards: on_several_nodes(
            CONFIG.experiments[wildcards.experiment].sft, CONFIG.experiments[wildcards.experiment].sft.nodes
        ),
        tasks_per_gpu=lambda wildcards: on_several_nodes(CONFIG.experiments[wildcards.experiment].sft, 0),
        mpi=lambda wildcards: on_several_nodes(CONFIG.experiments[wildcards.experiment].sft, MPI),
        launcher=lambda wildcards: launcher(CONFIG.experiments[wildcards.experiment].sft),
        checkpoint_every=lambda wildcards: CONFIG.experiments[wildcards.experiment].sft.checkpoint_every,
        keep_checkpoints=lambda wildcards: CONFIG.experiments[wildcards.experiment].sft.keep_checkpoints,
        tracker=lambda wildcards: CONFIG.experiments[wildcards.experiment].sft.tracker,
    params:
        run=run_folder,
        recipe=lambda wildcards: recipe(CONFIG.experiments[wildcards.experiment].sft),
        seed=CONFIG.seed,
        code=code("train_sft.py"),
    # A signal to stop is for the training alone: shell and log outlive it.
    shell:
        "trap '' TERM; {resources.launcher} scripts/train_sft.py --recipe {params.recipe:q} --seed {params.seed}"
        " --checkpoint-every {resources.checkpoint_every} --keep-checkpoints {resources.keep_checkpoints}"
        " --tracker {resources.tracker}"
        " --experiment {wildcards.experiment} --convert-dir {params.run}/convert --encode-dir {params.run}/encode"
        " --model {params.run}/models/base --model-manifest {input.model:q} --run-dir {params.run}"
        " --out-dir {params.run}/{wildcards.experiment}/sft 2>&1 | tee {log}"
