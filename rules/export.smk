# INPUTS   RUN/convert/**, RUN/models/base.manifest.json
# OUTPUTS  RUN/export/<consumer>/<experiment>/README.md, RUN/export/hf/README.md; data sets and recipes beside


rule export_experiment:
    """One experiment's data sets and recipe for another training program."""
    input:
        datasets=lambda wildcards: [
            file
            for stage in exported_stages(wildcards.consumer, wildcards.experiment)
            for file in dataset_files(stage, wildcards.experiment)
        ],
        deepspeed=lambda wildcards: [
            getattr(CONFIG.trainings[wildcards.experiment], stage).deepspeed
            for stage in exported_stages(wildcards.consumer, wildcards.experiment)
        ],
        model=f"{RUN}/models/base.manifest.json",
        prompts=PROMPTS,
        copied=["scripts/nep/export/reward.py", "scripts/nep/export/swift_plugin.py"],
    output:
        f"{RUN}/export/{{consumer}}/{{experiment}}/README.md",
    log:
        f"{RUN}/logs/export_experiment/{{consumer}}/{{experiment}}.log",
    benchmark:
        f"{RUN}/benchmarks/export_experiment/{{consumer}}/{{experiment}}.tsv"
    wildcard_constraints:
        consumer="|".join(EXPORTED_STAGES),
    conda:
        "../envs/data.yaml"
    params:
        run=run_folder,
        recipe=lambda wildcards: recipe(CONFIG.trainings[wildcards.experiment]),
        vision=recipe(CONFIG.vision),
        start=lambda wildcards: below_run(model_folder(start_model(wildcards))),
        seed=seed_of_training,
        code=code("export_experiment.py"),
    shell:
        r"""
        python scripts/export_experiment.py \
            --consumer {wildcards.consumer:q} \
            --name {wildcards.experiment:q} \
            --experiment {params.recipe:q} \
            --vision {params.vision:q} \
            --prompts {input.prompts:q} \
            --seed {params.seed:q} \
            --grpo-model {params.start:q} \
            --run-dir {params.run:q} \
            2>&1 | tee {log:q}
        """


rule export_datasets:
    """All data sets of the run as a folder for Hugging Face `datasets`."""
    input:
        rules.convert_datasets.output,
    output:
        f"{RUN}/export/hf/README.md",
    log:
        f"{RUN}/logs/export_datasets.log",
    benchmark:
        f"{RUN}/benchmarks/export_datasets.tsv"
    conda:
        "../envs/data.yaml"
    params:
        run=run_folder,
        code=code("export_hf.py"),
    shell:
        r"""
        python scripts/export_hf.py \
            --run-dir {params.run:q} \
            --out-dir {params.run:q}/export/hf \
            2>&1 | tee {log:q}
        """
