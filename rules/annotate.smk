# Only of plain videos (source.kind: videos).
# INPUTS   RUN/shots/shots.jsonl, prompts, the videos; a model behind an API, or served by the job
# OUTPUTS  RUN/annotate/{shards/*.jsonl,usage/*.json,events.jsonl,rejected.jsonl,usage.json,next_event_prediction.json}

ANNOTATE = CONFIG.annotate
ANNOTATE_SHARDS = [f"{shard}-of-{ANNOTATE.shards}" for shard in range(1, ANNOTATE.shards + 1)] if ANNOTATE else []


rule annotate_shard:
    """Let models annotate the videos of one shard; each answer is kept."""
    input:
        shots=f"{RUN}/shots/shots.jsonl",
        prompts=[str(prompt_file(ANNOTATE, step)) for step in steps_of(ANNOTATE)] if ANNOTATE else [],
    output:
        rows=f"{RUN}/annotate/shards/{{shard}}-of-{len(ANNOTATE_SHARDS)}.jsonl",
        usage=f"{RUN}/annotate/usage/{{shard}}-of-{len(ANNOTATE_SHARDS)}.json",
    log:
        f"{RUN}/logs/annotate_shard/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/annotate_shard/{{shard}}.tsv"
    # An API is asked from where there is a network; a job that serves the model itself needs a GPU.
    localrule: not (ANNOTATE and ANNOTATE.serves)
    conda:
        "../envs/annotate.yaml"
    threads: ANNOTATE.processes if ANNOTATE else 1
    resources:
        # Prices, limits and the address of an endpoint do not make anything run again.
        annotate=lambda wildcards: ANNOTATE.model_dump_json(),
    params:
        run=run_folder,
        recipe=recipe(ANNOTATE),
        code=code("annotate_shard.py"),
        shards=len(ANNOTATE_SHARDS),
    shell:
        r"""
        python scripts/annotate_shard.py \
            --shots {input.shots:q} \
            --videos {params.run:q}/download/videos \
            --annotate {resources.annotate:q} \
            --processes {threads:q} \
            --shard {wildcards.shard:q} \
            --shards {params.shards:q} \
            --run-dir {params.run:q} \
            --out {output.rows:q} \
            --usage {output.usage:q} \
            2>&1 | tee {log:q}
        """


rule merge_annotations:
    """The annotations of all shards in the published form, and what was left out or spent."""
    input:
        shards=[f"{RUN}/annotate/shards/{shard}.jsonl" for shard in ANNOTATE_SHARDS],
        usage=[f"{RUN}/annotate/usage/{shard}.json" for shard in ANNOTATE_SHARDS],
    output:
        f"{RUN}/annotate/next_event_prediction.json",
        f"{RUN}/annotate/events.jsonl",
        f"{RUN}/annotate/rejected.jsonl",
        f"{RUN}/annotate/usage.json",
    log:
        f"{RUN}/logs/merge_annotations.log",
    benchmark:
        f"{RUN}/benchmarks/merge_annotations.tsv"
    conda:
        "../envs/annotate.yaml"
    params:
        run=run_folder,
        max_failed_fraction=ANNOTATE.max_failed_fraction if ANNOTATE else None,
        code=code("merge_annotations.py"),
    shell:
        r"""
        python scripts/merge_annotations.py \
            --shard-files {input.shards:q} \
            --usage-files {input.usage:q} \
            --max-failed-fraction {params.max_failed_fraction:q} \
            --out-dir {params.run:q}/annotate \
            2>&1 | tee {log:q}
        """
