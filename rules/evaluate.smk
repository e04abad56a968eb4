# INPUTS   RUN/convert/{futurebench,seedbench_r1}.jsonl, a model
# OUTPUTS  RUN/evaluate/controls/<control>.json, RUN/evaluate/<model>/{samples.jsonl,scores.json}

# What lmms-eval reads of our tasks, and no script imports.
TASK_FILES = [
    f"scripts/nep/evaluate/tasks/{name}"
    for name in ("multiple_choice/_template_yaml", "temporalbench/_template_yaml", "temporalbench/utils.py")
]


rule make_controls:
    """Videos in which the order of events is destroyed: a model that watches must fail on them."""
    input:
        futurebench_questions,
    output:
        f"{RUN}/evaluate/controls/{{control}}.json",
    log:
        f"{RUN}/logs/make_controls/{{control}}.log",
    benchmark:
        f"{RUN}/benchmarks/make_controls/{{control}}.tsv"
    conda:
        "../envs/video.yaml"
    threads: CONFIG.split.processes
    params:
        run=run_folder,
        seed=CONFIG.seed,
        code=code("make_controls.py"),
    shell:
        r"""
        python scripts/make_controls.py \
            --questions {input:q} \
            --control {wildcards.control:q} \
            --seed {params.seed:q} \
            --run-dir {params.run:q} \
            --processes {threads:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


rule evaluate_model:
    """One checkpoint through lmms-eval: every benchmark, variant and control, loaded once."""
    input:
        questions=asked_futurebench,
        seedbench=asked_seedbench,
        benchmarks=fetched_benchmarks,
        controls=[f"{RUN}/evaluate/controls/{control}.json" for control in CONFIG.evaluate.video_controls],
        model=lambda wildcards: below_run(model_manifest(wildcards.model)),
        prompts=PROMPTS,
        tasks=TASK_FILES,
    output:
        scores=f"{RUN}/evaluate/{{model}}/scores.json",
        samples=f"{RUN}/evaluate/{{model}}/samples.jsonl",
    log:
        f"{RUN}/logs/evaluate_model/{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_model/{{model}}.tsv"
    conda:
        "../envs/evaluate.yaml"
    threads: cores_of(CONFIG.evaluate)
    resources:
        processes=CONFIG.evaluate.processes,
        vllm_environment=CONFIG.evaluate.vllm_environment,
    params:
        run=run_folder,
        recipe=recipe(CONFIG.evaluate),
        vision=recipe(CONFIG.vision),
        encode=recipe(CONFIG.encode, "dtype"),
        folder=lambda wildcards: below_run(model_folder(wildcards.model)),
        seed=CONFIG.seed,
        code=code("evaluate_model.py", "run_lmms_eval.py"),
    shell:
        r"""
        python scripts/evaluate_model.py \
            --model-dir {params.folder:q} \
            --model-name {wildcards.model:q} \
            --model-manifest {input.model:q} \
            --questions {input.questions:q} \
            --seedbench {input.seedbench:q} \
            --controls-dir {params.run:q}/evaluate/controls \
            --prompts {input.prompts:q} \
            --vision {params.vision:q} \
            --encode {params.encode:q} \
            --evaluate {params.recipe:q} \
            --processes {resources.processes:q} \
            --vllm-environment {resources.vllm_environment:q} \
            --seed {params.seed:q} \
            --run-dir {params.run:q} \
            --out-dir {params.run:q}/evaluate/{wildcards.model:q} \
            2>&1 | tee {log:q}
        """


rule evaluate_reference:
    """One model behind an OpenAI-compatible API on the same questions; asked from where there is a network."""
    input:
        questions=asked_futurebench,
        seedbench=asked_seedbench,
        benchmarks=fetched_benchmarks,
        controls=[f"{RUN}/evaluate/controls/{control}.json" for control in CONFIG.evaluate.video_controls],
        prompts=PROMPTS,
        tasks=TASK_FILES,
    output:
        scores=f"{RUN}/evaluate/{{reference}}/scores.json",
        samples=f"{RUN}/evaluate/{{reference}}/samples.jsonl",
    log:
        f"{RUN}/logs/evaluate_reference/{{reference}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_reference/{{reference}}.tsv"
    conda:
        "../envs/evaluate.yaml"
    resources:
        endpoint=lambda wildcards: CONFIG.references[wildcards.reference].model_dump_json(),
    params:
        run=run_folder,
        endpoint=lambda wildcards: recipe(CONFIG.references[wildcards.reference]),
        recipe=recipe(CONFIG.evaluate),
        vision=recipe(CONFIG.vision),
        encode=recipe(CONFIG.encode, "dtype"),
        seed=CONFIG.seed,
        code=code("evaluate_model.py", "run_lmms_eval.py"),
    shell:
        r"""
        python scripts/evaluate_model.py \
            --endpoint {resources.endpoint:q} \
            --model-name {wildcards.reference:q} \
            --questions {input.questions:q} \
            --seedbench {input.seedbench:q} \
            --controls-dir {params.run:q}/evaluate/controls \
            --prompts {input.prompts:q} \
            --vision {params.vision:q} \
            --encode {params.encode:q} \
            --evaluate {params.recipe:q} \
            --seed {params.seed:q} \
            --run-dir {params.run:q} \
            --out-dir {params.run:q}/evaluate/{wildcards.reference:q} \
            2>&1 | tee {log:q}
        """
