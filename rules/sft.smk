# INPUTS   the experiment's SFT sets, RUN/encode/index/<experiment>-sft.jsonl, RUN/models/base.manifest.json
# OUTPUTS  RUN/<experiment>/sft/{manifest.json,metrics.jsonl,validation.jsonl}; the checkpoint in model/ beside


rule train_sft:
    """Supervised fine-tuning of one experiment on the DeepSpeed engine."""
    input:
        datasets=lambda wildcards: dataset_files("sft", wildcards.experiment),
        validation=lambda wildcards: validation_files(wildcards.experiment),
        clips=f"{RUN}/encode/index/{{experiment}}-sft.jsonl",
        model=f"{RUN}/models/base.manifest.json",
        deepspeed=of_training("sft", lambda training: training.deepspeed),
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
    threads: of_training("sft", cores_of)
    resources:
        **training_resources("sft"),
    params:
        run=run_folder,
        recipe=of_training("sft", recipe),
        seed=seed_of_training,
        code=code("train_sft.py"),
    # A signal to stop is for the training alone: shell and log outlive it.
    shell:
        r"""
        trap '' TERM
        {resources.launcher} scripts/train_sft.py \
            --recipe {params.recipe:q} \
            --seed {params.seed:q} \
            --checkpoint-minutes {resources.checkpoint_minutes:q} \
            --keep-checkpoints {resources.keep_checkpoints:q} \
            --tracker {resources.tracker:q} \
            --experiment {wildcards.experiment:q} \
            --convert-dir {params.run:q}/convert \
            --encode-dir {params.run:q}/encode \
            --index {input.clips:q} \
            --model {params.run:q}/models/base \
            --model-manifest {input.model:q} \
            --run-dir {params.run:q} \
            --out-dir {params.run:q}/{wildcards.experiment:q}/sft \
            2>&1 | tee {log:q}
        """
