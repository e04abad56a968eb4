# Only of plain videos (source.kind: videos).
# INPUTS   RUN/download/annotations/*.json (paths of the videos; questions), the videos
# OUTPUTS  RUN/shots/shards/*.jsonl, RUN/shots/{shots,rejected}.jsonl

SHOTS_SHARDS = [f"{shard}-of-{CONFIG.shots.shards}" for shard in range(1, CONFIG.shots.shards + 1)]


rule shots_shard:
    """Look through the plain videos of one shard: length, shots, signature."""
    input:
        f"{RUN}/download/videos.json",
    output:
        f"{RUN}/shots/shards/{{shard}}-of-{CONFIG.shots.shards}.jsonl",
    log:
        f"{RUN}/logs/shots_shard/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/shots_shard/{{shard}}.tsv"
    conda:
        "../envs/annotate.yaml"
    threads: CONFIG.shots.processes
    params:
        run=run_folder,
        recipe=recipe(CONFIG.shots, "threshold", "min_shot_s", "timeout_s"),
        code=code("shots_shard.py"),
        shards=CONFIG.shots.shards,
    shell:
        r"""
        python scripts/shots_shard.py \
            --annotations {params.run:q}/download/annotations/next_event_prediction.json \
            --videos {params.run:q}/download/videos \
            --shots {params.recipe:q} \
            --processes {threads:q} \
            --shard {wildcards.shard:q} \
            --shards {params.shards:q} \
            --run-dir {params.run:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


rule merge_shots:
    """The videos that can be annotated: of a fitting length, and without copies."""
    input:
        shards=[f"{RUN}/shots/shards/{shard}.jsonl" for shard in SHOTS_SHARDS],
        download=f"{RUN}/download/manifest.json",
    output:
        shots=f"{RUN}/shots/shots.jsonl",
        rejected=f"{RUN}/shots/rejected.jsonl",
    log:
        f"{RUN}/logs/merge_shots.log",
    benchmark:
        f"{RUN}/benchmarks/merge_shots.tsv"
    conda:
        "../envs/annotate.yaml"
    params:
        run=run_folder,
        recipe=recipe(CONFIG.shots, "min_duration_s", "max_duration_s", "near_duplicate_distance"),
        code=code("merge_shots.py"),
    shell:
        r"""
        python scripts/merge_shots.py \
            --shard-files {input.shards:q} \
            --questions {params.run:q}/download/annotations/futurebench.json \
            --shots {params.recipe:q} \
            --out {output.shots:q} \
            --rejected {output.rejected:q} \
            2>&1 | tee {log:q}
        """
