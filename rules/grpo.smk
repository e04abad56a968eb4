# INPUTS   the experiment's GRPO sets, RUN/encode/index.jsonl, the SFT model (or the base, for an experiment without SFT)
# OUTPUTS  RUN/<experiment>/grpo/{manifest.json,metrics.jsonl,validation.jsonl}; the checkpoint in model/ beside


rule train_grpo:
    """GRPO of one experiment on the DeepSpeed engine, with verifiable rewards."""
    input:
        datasets=lambda wildcards: dataset_files("grpo", wildcards.experiment),
        cache=f"{RUN}/encode/index.jsonl",
        model=lambda wildcards: manifest_of(start_model(wildcards)),
        rewards=lambda wildcards: reward_files(CONFIG.experiments[wildcards.experiment].grpo),
        deepspeed=lambda wildcards: CONFIG.experiments[wildcards.experiment].grpo.deepspeed,
    output:
        manifest=f"{RUN}/{{experiment}}/grpo/manifest.json",
        metrics=f"{RUN}/{{experiment}}/grpo/metrics.jsonl",
        validation=f"{RUN}/{{experiment}}/grpo/validation.jsonl",
    log:
        f"{RUN}/logs/train_grpo/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/train_grpo/{{experiment}}.tsv"
    # Most of the workflow waits for training: it goes before the evaluation of models that are ready.
    priority: 1
    conda:
        "../envs/train.yaml"
    threads: lambda wildcards: cores_of(CONFIG.experiments[wildcards.experiment].grpo)
    resources:
        nodes=lambda wildcards: CONFIG.experiments[wildcards.experiment].grpo.nodes,
        tasks=lambda wildcards: on_several_nodes(
            CONFIG.experiments[wildcards.experiment].grpo, CONFIG.experiments[wildcards.experiment].grpo.nodes
        ),
        tasks_per_gpu=lambda wildcards: on_several_nodes(CONFIG.experiments[wildcards.experiment].grpo, 0),
        mpi=lambda wildcards: on_several_nodes(CONFIG.experiments[wildcards.experiment].grpo, MPI),
        launcher=lambda wildcards: launcher(CONFIG.experiments[wildcards.experiment].grpo),
        checkpoint_every=lambda wildcards: CONFIG.experiments[wildcards.experiment].grpo.checkpoint_every,
        keep_checkpoints=lambda wildcards: CONFIG.experiments[wildcards.experiment].grpo.keep_checkpoints,
        tracker=lambda wildcards: CONFIG.experiments[wildcards.experiment].grpo.tracker,
    params:
        run=run_folder,
        recipe=lambda wildcards: recipe(CONFIG.experiments[wildcards.experiment].grpo),
        start=lambda wildcards: folder_of(start_model(wildcards)),
        seed=CONFIG.seed,
        code=code("train_grpo.py"),
    # A signal to stop is for the training alone: shell and log outlive it.
    shell:
        "trap '' TERM; {resources.launcher} scripts/train_grpo.py --recipe {params.recipe:q} --seed {params.seed}"
        " --checkpoint-every {resources.checkpoint_every} --keep-checkpoints {resources.keep_checkpoints}"
        " --tracker {resources.tracker}"
        " --experiment {wildcards.experiment} --convert-dir {params.run}/convert --encode-dir {params.run}/encode"
        " --model {params.start} --model-manifest {input.model:q} --run-dir {params.run}"
        " --out-dir {params.run}/{wildcards.experiment}/grpo 2>&1 | tee {log}"
