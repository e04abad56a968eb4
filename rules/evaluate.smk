# INPUTS   RUN/convert/futurebench.jsonl, a model
# OUTPUTS  RUN/evaluate/controls/<control>.json, RUN/evaluate/<model>/{samples.jsonl,scores.json}


rule make_controls:
    """Videos in which the order of events is destroyed: a model that watches must fail on them."""
    input:
        evaluation_questions,
    output:
        f"{RUN}/evaluate/controls/{{control}}.json",
    log:
        f"{RUN}/logs/make_controls/{{control}}.log",
    benchmark:
        f"{RUN}/benchmarks/make_controls/{{control}}.tsv"
    conda:
        "../envs/video.yaml"
    params:
        run=run_folder,
        seed=CONFIG.seed,
        code=code("make_controls.py"),
    shell:
        "python scripts/make_controls.py --questions {input:q} --control {wildcards.control} --seed {params.seed}"
        " --run-dir {params.run} --processes {threads} --out {output:q} 2>&1 | tee {log}"


rule evaluate_model:
    """One model through lmms-eval: every variant and control of the benchmark, loaded once."""
    input:
        questions=evaluation_questions,
        controls=[f"{RUN}/evaluate/controls/{control}.json" for control in CONFIG.evaluate.video_controls],
        model=lambda wildcards: manifest_of(wildcards.model),
        prompts=PROMPTS,
        task="scripts/nep/evaluation/tasks/futurebench/_template_yaml",
    output:
        scores=f"{RUN}/evaluate/{{model}}/scores.json",
        samples=f"{RUN}/evaluate/{{model}}/samples.jsonl",
    log:
        f"{RUN}/logs/evaluate_model/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_model/{{model}}.tsv"
    conda:
        "../envs/evaluate.yaml"
    threads: CONFIG.evaluate.threads
    params:
        run=run_folder,
        recipe=recipe(CONFIG.evaluate),
        vision=recipe(CONFIG.vision),
        folder=lambda wildcards: folder_of(wildcards.model),
        seed=CONFIG.seed,
        code=code("evaluate_model.py"),
    shell:
        "python scripts/evaluate_model.py --model-dir {params.folder} --model-name {wildcards.model}"
        " --model-manifest {input.model:q} --questions {input.questions:q} --controls-dir {params.run}/evaluate/controls"
        " --prompts {input.prompts:q} --vision {params.vision:q} --evaluate {params.recipe:q} --seed {params.seed}"
        " --run-dir {params.run} --out-dir {params.run}/evaluate/{wildcards.model} 2>&1 | tee {log}"
