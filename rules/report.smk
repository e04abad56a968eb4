# INPUTS   scores, metrics, manifests of the whole run
# OUTPUTS  RUN/report/{index.html,results.csv}


rule make_report:
    """One self-contained page, and the table behind it."""
    input:
        scores=[f"{RUN}/evaluate/{model}/scores.json" for model in models()],
        trained=[manifest_of(model) for model in models()],
        rejected=f"{RUN}/records/rejected.jsonl",
        split=f"{RUN}/split/manifest.jsonl",
        cache=f"{RUN}/encode/index.jsonl",
    output:
        page=f"{RUN}/report/index.html",
        table=f"{RUN}/report/results.csv",
    log:
        f"{RUN}/logs/make_report.log",
    benchmark:
        f"{RUN}/benchmarks/make_report.tsv"
    conda:
        "../envs/report.yaml"
    params:
        run=run_folder,
        recipe=recipe(CONFIG),
        code=code("make_report.py"),
    shell:
        "python scripts/make_report.py --run-dir {params.run} --config {params.recipe:q} --out-dir {params.run}/report"
        " 2>&1 | tee {log}"
