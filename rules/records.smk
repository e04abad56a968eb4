# INPUTS   RUN/download/manifest.json
# OUTPUTS  RUN/records/{records,questions,rejected}.jsonl, RUN/records/manifest.json


rule parse_records:
    """Read annotations and questions into records; what cannot be used is rejected with a reason."""
    input:
        f"{RUN}/download/manifest.json",
    output:
        records=f"{RUN}/records/records.jsonl",
        questions=f"{RUN}/records/questions.jsonl",
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
        annotations=f"{RUN}/download/annotations/next_event_prediction.json",
        questions=f"{RUN}/download/annotations/futurebench.json",
        code=code("parse_records.py"),
    shell:
        "python scripts/parse_records.py --annotations {params.annotations:q} --questions {params.questions:q}"
        " --videos {params.run}/download/videos --out-dir {params.run}/records 2>&1 | tee {log}"
