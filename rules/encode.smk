# INPUTS   the data sets that experiments name, RUN/models/base.manifest.json, the segments
# OUTPUTS  RUN/encode/shards/*.json, RUN/encode/index.jsonl, RUN/encode/index/<experiment>-<stage>.jsonl; RUN/encode/{frames,features}/*.safetensors beside

ENCODE_SHARDS = [f"{shard}-of-{CONFIG.encode.shards}" for shard in range(1, CONFIG.encode.shards + 1)]
TRAINING_SETS = sorted(
    {
        file
        for stage in TRAINING_STAGES
        for experiment in trainings_with(stage)
        for file in dataset_files(stage, experiment)
    }
    | {file for experiment in trainings_with("sft") for file in validation_files(experiment)}
)


rule encode_shard:
    """Sample and resize the frames of one shard's clips; run the frozen vision tower once."""
    input:
        datasets=TRAINING_SETS,
        split=f"{RUN}/split/manifest.jsonl",
        model=f"{RUN}/models/base.manifest.json",
    output:
        f"{RUN}/encode/shards/{{shard}}-of-{CONFIG.encode.shards}.json",
    log:
        f"{RUN}/logs/encode_shard/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/encode_shard/{{shard}}.tsv"
    conda:
        "../envs/train.yaml"
    threads: CONFIG.encode.processes
    params:
        run=run_folder,
        recipe=recipe(CONFIG.encode),
        vision=recipe(CONFIG.vision),
        selections=selections(by_training=False),
        seed=CONFIG.seed,
        code=code("encode_shard.py"),
        shards=CONFIG.encode.shards,
    shell:
        r"""
        python scripts/encode_shard.py \
            --selections {params.selections:q} \
            --convert-dir {params.run:q}/convert \
            --seed {params.seed:q} \
            --vision {params.vision:q} \
            --encode {params.recipe:q} \
            --model {params.run:q}/models/base \
            --model-manifest {input.model:q} \
            --processes {threads:q} \
            --shard {wildcards.shard:q} \
            --shards {params.shards:q} \
            --run-dir {params.run:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


# A training reads its own part directly: as with rules/convert.smk, it does not run where that is unchanged.
checkpoint merge_encode:
    """Merge the shards' manifests into the index of the cache, and write each training's part of it."""
    input:
        shards=[f"{RUN}/encode/shards/{shard}.json" for shard in ENCODE_SHARDS],
        # Directly, too: rules/convert.smk says why.
        datasets=TRAINING_SETS,
    output:
        index=f"{RUN}/encode/index.jsonl",
        parts=[f"{RUN}/encode/index/{model_name(name, stage)}.jsonl" for name, stage in trainings()],
    log:
        f"{RUN}/logs/merge_encode.log",
    benchmark:
        f"{RUN}/benchmarks/merge_encode.tsv"
    conda:
        "../envs/video.yaml"
    params:
        run=run_folder,
        selections=selections(by_training=True),
        seed=CONFIG.seed,
        code=code("merge_encode.py"),
    shell:
        r"""
        python scripts/merge_encode.py \
            --shard-files {input.shards:q} \
            --run-dir {params.run:q} \
            --selections {params.selections:q} \
            --convert-dir {params.run:q}/convert \
            --seed {params.seed:q} \
            --out {output.index:q} \
            --parts {params.run:q}/encode/index \
            2>&1 | tee {log:q}
        """
