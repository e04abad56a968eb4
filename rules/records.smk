# INPUTS   RUN/download/manifest.json, RUN/annotate/next_event_prediction.json and RUN/questions/futurebench.json (of plain videos)
# OUTPUTS  RUN/records/{records,questions,seedbench_r1,rejected}.jsonl, RUN/records/manifest.json


rule parse_records:
    """Read annotations and questions into records; what cannot be used is rejected with a reason."""
    input:
        f"{RUN}/download/manifest.json",
        annotation_file() if CONFIG.source.kind == "videos" else [],
        question_file() if CONFIG.questions else [],
    output:
        records=f"{RUN}/records/records.jsonl",
        questions=f"{RUN}/records/questions.jsonl",
        seedbench=f"{RUN}/records/seedbench_r1.jsonl",
        rejected=f"{RUN}/records/rejected.jsonl",
        manifest=f"{RUN}/records/manifest.json",
    log:
        f"{RUN}/logs/parse_records.log",
    benchmark:
        f"{RUN}/benchmarks/parse_records.tsv"
    conda:
        "../envs/data.yaml"
    params:
        run=run_folder,
        annotations=annotation_file(),
        questions=question_file(),
        seedbench=[f"{RUN}/download/annotations/seedbench_r1_{level}.json" for level in CONFIG.source.seedbench_r1],
        code=code("parse_records.py"),
    shell:
        r"""
        python scripts/parse_records.py \
            --annotations {params.annotations:q} \
            --questions {params.questions:q} \
            --seedbench {params.seedbench:q} \
            --videos {params.run:q}/download/videos \
            --out-dir {params.run:q}/records \
            2>&1 | tee {log:q}
        """
