# INPUTS   RUN/records/{records,seedbench_r1}.jsonl, the videos
# OUTPUTS  RUN/hash/shards/*.jsonl, RUN/hash/signatures.jsonl


rule hash_shard:
    """Sign the source videos of one shard by what they show."""
    input:
        records=f"{RUN}/records/records.jsonl",
        seedbench=f"{RUN}/records/seedbench_r1.jsonl",
        videos=f"{RUN}/download/videos.json",
    output:
        f"{RUN}/hash/shards/{{shard}}-of-{CONFIG.split.shards}.jsonl",
    log:
        f"{RUN}/logs/hash_shard/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/hash_shard/{{shard}}.tsv"
    conda:
        "../envs/video.yaml"
    threads: CONFIG.split.processes
    params:
        run=run_folder,
        code=code("hash_shard.py"),
        shards=CONFIG.split.shards,
        timeout_s=CONFIG.split.timeout_s,
    shell:
        r"""
        python scripts/hash_shard.py \
            --records {input.records:q} \
            --seedbench {input.seedbench:q} \
            --videos {params.run:q}/download/videos \
            --shard {wildcards.shard:q} \
            --shards {params.shards:q} \
            --processes {threads:q} \
            --timeout-s {params.timeout_s:q} \
            --run-dir {params.run:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


rule merge_hashes:
    """Merge the shards' signatures."""
    input:
        [f"{RUN}/hash/shards/{shard}.jsonl" for shard in SPLIT_SHARDS],
    output:
        f"{RUN}/hash/signatures.jsonl",
    log:
        f"{RUN}/logs/merge_hashes.log",
    benchmark:
        f"{RUN}/benchmarks/merge_hashes.tsv"
    conda:
        "../envs/video.yaml"
    params:
        code=code("merge_hashes.py"),
    shell:
        r"""
        python scripts/merge_hashes.py \
            --shard-files {input:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """
