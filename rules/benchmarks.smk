# INPUTS   hub repositories of lmms-eval's own benchmarks
# OUTPUTS  RUN/download/benchmarks/<name>.json; the data below evaluate.benchmarks


localrules:
    fetch_benchmark,


rule fetch_benchmark:
    """Fetch one of lmms-eval's own benchmarks to where lmms-eval looks for it offline."""
    output:
        f"{RUN}/download/benchmarks/{{name}}.json",
    log:
        f"{RUN}/logs/fetch_benchmark/{{name}}.log",
    benchmark:
        f"{RUN}/benchmarks/fetch_benchmark/{{name}}.tsv"
    conda:
        "../envs/evaluate.yaml"
    params:
        folder=CONFIG.evaluate.benchmarks,
        code=code("fetch_benchmark.py"),
    shell:
        "python scripts/fetch_benchmark.py --name {wildcards.name} --benchmarks {params.folder:q} --out {output:q}"
        " 2>&1 | tee {log}"
