# INPUTS   scores, metrics, manifests of the whole run
# OUTPUTS  RUN/report/{index.html,results.csv,results.parquet,results.tex,cards/MODEL/README.md,data.html}


rule make_report:
    """One self-contained page, the tables behind it, and a card for each trained model."""
    input:
        scores=[f"{RUN}/evaluate/{model}/scores.json" for model in models()],
        trained=[below_run(model_manifest(model)) for model in checkpoints_to_evaluate()],
        rejected=f"{RUN}/records/rejected.jsonl",
        split=f"{RUN}/split/manifest.jsonl",
        # Without a training nothing is encoded.
        cache=f"{RUN}/encode/index.jsonl" if CONFIG.trained_models else [],
        shown=[f"scripts/nep/benchmarks/{task}.yaml" for task in CONFIG.evaluate.tasks],
        layout=[f"scripts/nep/report/{name}" for name in ("report.html", "parts.html", "style.css", "page.js")],
    output:
        page=report(
            f"{RUN}/report/index.html",
            caption="captions/results.rst",
            category="Results",
            labels={"run": CONFIG.run, "what": "report", "format": "HTML"},
        ),
        table=report(
            f"{RUN}/report/results.csv",
            caption="captions/table.rst",
            category="Results",
            labels={"run": CONFIG.run, "what": "scores", "format": "CSV"},
        ),
        parquet=f"{RUN}/report/results.parquet",
        latex=f"{RUN}/report/results.tex",
        cards=[
            report(
                f"{RUN}/report/cards/{model}/README.md",
                caption="captions/model_card.rst",
                category="Model cards",
                labels={"run": CONFIG.run, "what": model, "format": "Markdown"},
            )
            for model in CONFIG.trained_models
        ],
    log:
        f"{RUN}/logs/make_report.log",
    benchmark:
        f"{RUN}/benchmarks/make_report.tsv"
    conda:
        "../envs/report.yaml"
    params:
        run=run_folder,
        recipe=recipe_in_order(CONFIG),
        code=code("make_report.py"),
    shell:
        r"""
        python scripts/make_report.py \
            --run-dir {params.run:q} \
            --config {params.recipe:q} \
            --out-dir {params.run:q}/report \
            2>&1 | tee {log:q}
        """


rule make_data_card:
    """What the data is: counts, lengths, cuts, data sets, what questions give away, samples."""
    input:
        records=f"{RUN}/records/records.jsonl",
        rejected=f"{RUN}/records/rejected.jsonl",
        split=f"{RUN}/split/manifest.jsonl",
        convert=f"{RUN}/convert/manifest.json",
        annotated=[f"{RUN}/annotate/{name}" for name in ("events.jsonl", "usage.json")] if CONFIG.annotate else [],
        written=f"{RUN}/questions/manifest.json" if CONFIG.questions else [],
        layout=[f"scripts/nep/report/{name}" for name in ("data_card.html", "parts.html", "style.css", "page.js")],
    output:
        report(
            f"{RUN}/report/data.html",
            caption="captions/data_card.rst",
            category="Data",
            labels={"run": CONFIG.run, "what": "data card", "format": "HTML"},
        ),
    log:
        f"{RUN}/logs/make_data_card.log",
    benchmark:
        f"{RUN}/benchmarks/make_data_card.tsv"
    conda:
        "../envs/report.yaml"
    params:
        run=run_folder,
        name=CONFIG.run,
        code=code("make_data_card.py"),
    shell:
        r"""
        python scripts/make_data_card.py \
            --run-dir {params.run:q} \
            --name {params.name:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """
