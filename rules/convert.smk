# INPUTS   RUN/records/*.jsonl, RUN/split/manifest.jsonl, RUN/hash/signatures.jsonl, RUN/questions/training.json
# OUTPUTS  RUN/convert/{sft/*.json,grpo/*.jsonl,futurebench.jsonl,seedbench_r1.jsonl,manifest.json}

DATASETS = dataset_names(CONFIG.convert.hops, written=CONFIG.questions is not None)


# All that follows reads its files directly, so that Snakemake, which looks again by content after a checkpoint, leaves out
# what they do not change.
checkpoint convert_datasets:
    """Make the data sets from records and cut videos."""
    input:
        records=f"{RUN}/records/records.jsonl",
        questions=f"{RUN}/records/questions.jsonl",
        seedbench=f"{RUN}/records/seedbench_r1.jsonl",
        split=f"{RUN}/split/manifest.jsonl",
        signatures=signatures(),
        written=f"{RUN}/questions/training.json" if CONFIG.questions else [],
        prompts=PROMPTS,
    output:
        sft=[f"{RUN}/convert/{dataset_file('sft', name)}" for name in DATASETS["sft"]],
        validation=[f"{RUN}/convert/{validation_file(name)}" for name in DATASETS["sft"]],
        grpo=[f"{RUN}/convert/{dataset_file('grpo', name)}" for name in DATASETS["grpo"]],
        questions=f"{RUN}/convert/futurebench.jsonl",
        seedbench=f"{RUN}/convert/seedbench_r1.jsonl",
        manifest=f"{RUN}/convert/manifest.json",
    log:
        f"{RUN}/logs/convert_datasets.log",
    benchmark:
        f"{RUN}/benchmarks/convert_datasets.tsv"
    conda:
        "../envs/data.yaml"
    params:
        run=run_folder,
        recipe=recipe(CONFIG.convert),
        seed=CONFIG.seed,
        code=code("convert_datasets.py"),
    shell:
        r"""
        python scripts/convert_datasets.py \
            --records {input.records:q} \
            --questions {input.questions:q} \
            --seedbench {input.seedbench:q} \
            --split-manifest {input.split:q} \
            --signatures {input.signatures:q} \
            --written {input.written:q} \
            --convert {params.recipe:q} \
            --seed {params.seed:q} \
            --out-dir {params.run:q}/convert \
            2>&1 | tee {log:q}
        """
