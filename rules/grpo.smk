# INPUTS   the experiment's GRPO sets, RUN/encode/index/<experiment>-grpo.jsonl, the SFT model (or the base, for an experiment without SFT)
# OUTPUTS  RUN/<experiment>/grpo/{manifest.json,metrics.jsonl,validation.jsonl}; the checkpoint in model/ beside


rule train_grpo:
    """GRPO of one experiment on the DeepSpeed engine, with verifiable rewards."""
    input:
        datasets=lambda wildcards: dataset_files("grpo", wildcards.experiment),
        clips=f"{RUN}/encode/index/{{experiment}}-grpo.jsonl",
        model=lambda wildcards: below_run(model_manifest(start_model(wildcards))),
        rewards=of_training("grpo", reward_files),
        deepspeed=of_training("grpo", lambda training: training.deepspeed),
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
    threads: of_training("grpo", cores_of)
    resources:
        **training_resources("grpo"),
        rollout_environment=of_training("grpo", lambda training: training.rollout_environment),
        rollout_gpus=of_training("grpo", lambda training: training.rollout_gpus),
        rollout_timeout_s=of_training("grpo", lambda training: training.rollout_timeout_s),
    params:
        run=run_folder,
        recipe=of_training("grpo", recipe),
        start=lambda wildcards: below_run(model_folder(start_model(wildcards))),
        seed=seed_of_training,
        code=code("train_grpo.py"),
        engine=of_training("grpo", engine_code),
    # A signal to stop is for the training alone: shell and log outlive it.
    shell:
        r"""
        trap '' TERM
        {resources.launcher} scripts/train_grpo.py \
            --recipe {params.recipe:q} \
            --seed {params.seed:q} \
            --checkpoint-minutes {resources.checkpoint_minutes:q} \
            --keep-checkpoints {resources.keep_checkpoints:q} \
            --tracker {resources.tracker:q} \
            --rollout-environment {resources.rollout_environment:q} \
            --rollout-gpus {resources.rollout_gpus:q} \
            --rollout-timeout-s {resources.rollout_timeout_s:q} \
            --experiment {wildcards.experiment:q} \
            --convert-dir {params.run:q}/convert \
            --encode-dir {params.run:q}/encode \
            --index {input.clips:q} \
            --model {params.start:q} \
            --model-manifest {input.model:q} \
            --run-dir {params.run:q} \
            --out-dir {params.run:q}/{wildcards.experiment:q}/grpo \
            2>&1 | tee {log:q}
        """
