# INPUTS   RUN/records/records.jsonl, the videos
# OUTPUTS  RUN/split/shards/*.jsonl, RUN/split/manifest.jsonl; RUN/segments/{first,second}/<id>.mp4 beside

SPLIT_SHARDS = [f"{shard}-of-{CONFIG.split.shards}" for shard in range(1, CONFIG.split.shards + 1)]


rule split_shard:
    """Cut the videos of one shard at their split times and check every cut by PTS."""
    input:
        records=f"{RUN}/records/records.jsonl",
        videos=f"{RUN}/download/videos.json",
    output:
        f"{RUN}/split/shards/{{shard}}-of-{CONFIG.split.shards}.jsonl",
    log:
        f"{RUN}/logs/split_shard/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/split_shard/{{shard}}.tsv"
    conda:
        "../envs/video.yaml"
    threads: CONFIG.split.processes
    params:
        run=run_folder,
        recipe=recipe(CONFIG.split, "crf", "preset", "audio", "incomplete", "timeout_s"),
        code=code("split_shard.py"),
        shards=CONFIG.split.shards,
    shell:
        r"""
        python scripts/split_shard.py \
            --records {input.records:q} \
            --videos {params.run:q}/download/videos \
            --split {params.recipe:q} \
            --processes {threads:q} \
            --shard {wildcards.shard:q} \
            --shards {params.shards:q} \
            --run-dir {params.run:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


rule merge_split:
    """Merge the shards' manifests; too many bad videos end the run here."""
    input:
        shards=[f"{RUN}/split/shards/{shard}.jsonl" for shard in SPLIT_SHARDS],
        rejected=f"{RUN}/records/rejected.jsonl",
    output:
        f"{RUN}/split/manifest.jsonl",
    log:
        f"{RUN}/logs/merge_split.log",
    benchmark:
        f"{RUN}/benchmarks/merge_split.tsv"
    conda:
        "../envs/video.yaml"
    params:
        recipe=recipe(CONFIG.split, "max_quarantine_fraction"),
        code=code("merge_split.py"),
    shell:
        r"""
        python scripts/merge_split.py \
            --shard-files {input.shards:q} \
            --rejected {input.rejected:q} \
            --split {params.recipe:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """
