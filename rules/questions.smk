# Only of plain videos (source.kind: videos), where the block `questions` is given.
# INPUTS   RUN/annotate/events.jsonl, prompts, the videos; models behind APIs, or served by the job; reviewers' decisions
# OUTPUTS  RUN/questions/{shards/*.jsonl,usage/*.json,questions.jsonl,rejected.jsonl,usage.json},
#          RUN/questions/{futurebench.json,training.json,to_review.jsonl,left_out.jsonl,manifest.json}

WRITTEN = CONFIG.own_questions
WRITTEN_SHARDS = [f"{shard}-of-{WRITTEN.shards}" for shard in range(1, WRITTEN.shards + 1)] if WRITTEN else []


rule write_questions_shard:
    """Let models write, filter and answer questions about the videos of one shard; each answer is kept."""
    input:
        events=f"{RUN}/annotate/events.jsonl",
        prompts=[str(file) for file in prompt_files(WRITTEN)] if WRITTEN else [],
    output:
        rows=f"{RUN}/questions/shards/{{shard}}-of-{len(WRITTEN_SHARDS)}.jsonl",
        usage=f"{RUN}/questions/usage/{{shard}}-of-{len(WRITTEN_SHARDS)}.json",
    log:
        f"{RUN}/logs/write_questions_shard/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/write_questions_shard/{{shard}}.tsv"
    # An API is asked from where there is a network; a job that serves the model itself needs a GPU.
    localrule: not (WRITTEN and WRITTEN.serves)
    conda:
        "../envs/annotate.yaml"
    threads: WRITTEN.processes if WRITTEN else 1
    resources:
        # Prices, limits and the address of an endpoint do not make anything run again.
        questions=lambda wildcards: WRITTEN.model_dump_json(),
    params:
        run=run_folder,
        recipe=recipe(WRITTEN, *WRITING_KEYS) if WRITTEN else None,
        seed=CONFIG.seed,
        code=code("write_questions_shard.py"),
        shards=len(WRITTEN_SHARDS),
    shell:
        r"""
        python scripts/write_questions_shard.py \
            --events {input.events:q} \
            --videos {params.run:q}/download/videos \
            --questions {resources.questions:q} \
            --processes {threads:q} \
            --seed {params.seed:q} \
            --shard {wildcards.shard:q} \
            --shards {params.shards:q} \
            --run-dir {params.run:q} \
            --out {output.rows:q} \
            --usage {output.usage:q} \
            2>&1 | tee {log:q}
        """


rule merge_questions:
    """The questions of all shards with what was measured of them, and what was left out or spent."""
    input:
        shards=[f"{RUN}/questions/shards/{shard}.jsonl" for shard in WRITTEN_SHARDS],
        usage=[f"{RUN}/questions/usage/{shard}.json" for shard in WRITTEN_SHARDS],
    output:
        f"{RUN}/questions/questions.jsonl",
        f"{RUN}/questions/rejected.jsonl",
        f"{RUN}/questions/usage.json",
    log:
        f"{RUN}/logs/merge_questions.log",
    benchmark:
        f"{RUN}/benchmarks/merge_questions.tsv"
    conda:
        "../envs/annotate.yaml"
    params:
        run=run_folder,
        code=code("merge_questions.py"),
    shell:
        r"""
        python scripts/merge_questions.py \
            --shard-files {input.shards:q} \
            --usage-files {input.usage:q} \
            --out-dir {params.run:q}/questions \
            2>&1 | tee {log:q}
        """


rule choose_questions:
    """What the benchmark and the training take, by bounds and by reviewers' decisions; and what is to be reviewed."""
    input:
        questions=f"{RUN}/questions/questions.jsonl",
        reviews=WRITTEN.reviews if WRITTEN else [],
    output:
        f"{RUN}/questions/futurebench.json",
        f"{RUN}/questions/training.json",
        f"{RUN}/questions/to_review.jsonl",
        f"{RUN}/questions/left_out.jsonl",
        f"{RUN}/questions/manifest.json",
    log:
        f"{RUN}/logs/choose_questions.log",
    benchmark:
        f"{RUN}/benchmarks/choose_questions.tsv"
    conda:
        "../envs/annotate.yaml"
    params:
        run=run_folder,
        recipe=recipe(WRITTEN, *CHOOSING_KEYS) if WRITTEN else None,
        code=code("choose_questions.py"),
    shell:
        r"""
        python scripts/choose_questions.py \
            --questions {input.questions:q} \
            --reviews {input.reviews:q} \
            --choice {params.recipe:q} \
            --out-dir {params.run:q}/questions \
            2>&1 | tee {log:q}
        """
