# INPUTS   a hub repository, a local folder in its layout, or a table beside plain videos or folders of images
# OUTPUTS  RUN/download/{archives/*.json,frames/*.jsonl,benchmarks/*.json,manifest.json,videos.json}, RUN/models/base.manifest.json; videos, annotations, checkpoint beside


localrules:
    list_source,
    fetch_archive,
    finish_download,
    fetch_model,
    fetch_benchmark,


checkpoint list_source:
    """List the source's archives and annotation files, with sizes and checksums."""
    input:
        source_files(),
    output:
        f"{RUN}/download/archives.json",
    log:
        f"{RUN}/logs/list_source.log",
    benchmark:
        f"{RUN}/benchmarks/list_source.tsv"
    conda:
        "../envs/data.yaml"
    params:
        recipe=recipe(CONFIG.source),
        videos=plain_videos(),
        code=code("list_source.py"),
    shell:
        r"""
        python scripts/list_source.py \
            --source {params.recipe:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


rule fetch_archive:
    """Fetch one archive, verify it, extract it safely."""
    input:
        f"{RUN}/download/archives.json",
    output:
        f"{RUN}/download/archives/{{archive}}.json",
    log:
        f"{RUN}/logs/fetch_archive/{{archive}}.log",
    benchmark:
        f"{RUN}/benchmarks/fetch_archive/{{archive}}.tsv"
    conda:
        "../envs/data.yaml"
    params:
        run=run_folder,
        recipe=recipe(CONFIG.source),
        code=code("fetch_archive.py"),
    shell:
        r"""
        python scripts/fetch_archive.py \
            --source {params.recipe:q} \
            --listing {input:q} \
            --name {wildcards.archive:q} \
            --run-dir {params.run:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


rule frames_shard:
    """Make the videos of one shard of the folders of images (source.frame_folders)."""
    input:
        f"{RUN}/download/archives.json",
    output:
        f"{RUN}/download/frames/{{shard}}-of-{FRAME_FOLDERS.shards}.jsonl",
    log:
        f"{RUN}/logs/frames_shard/{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/frames_shard/{{shard}}.tsv"
    conda:
        "../envs/video.yaml"
    threads: FRAME_FOLDERS.processes
    params:
        run=run_folder,
        recipe=recipe(CONFIG.source),
        images=plain_videos(),
        code=code("frames_shard.py"),
        shards=FRAME_FOLDERS.shards,
    shell:
        r"""
        python scripts/frames_shard.py \
            --source {params.recipe:q} \
            --listing {input:q} \
            --processes {threads:q} \
            --shard {wildcards.shard:q} \
            --shards {params.shards:q} \
            --run-dir {params.run:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """


rule finish_download:
    """Fetch the annotation files and write the manifest of the whole download."""
    input:
        archives=archive_manifests,
        frames=frame_shards(),
        listing=f"{RUN}/download/archives.json",
    output:
        manifest=f"{RUN}/download/manifest.json",
        videos=f"{RUN}/download/videos.json",
    log:
        f"{RUN}/logs/finish_download.log",
    benchmark:
        f"{RUN}/benchmarks/finish_download.tsv"
    conda:
        "../envs/data.yaml"
    params:
        run=run_folder,
        recipe=recipe(CONFIG.source),
        code=code("finish_download.py"),
    shell:
        r"""
        python scripts/finish_download.py \
            --source {params.recipe:q} \
            --listing {input.listing:q} \
            --frames {input.frames:q} \
            --run-dir {params.run:q} \
            --out {output.manifest:q} \
            --videos {output.videos:q} \
            2>&1 | tee {log:q}
        """


rule fetch_model:
    """Fetch the base model: safetensors, of a supported family."""
    input:
        model_files(),
    output:
        f"{RUN}/models/base.manifest.json",
    log:
        f"{RUN}/logs/fetch_model.log",
    benchmark:
        f"{RUN}/benchmarks/fetch_model.tsv"
    conda:
        "../envs/train.yaml"
    params:
        run=run_folder,
        recipe=recipe(CONFIG.model),
        code=code("fetch_model.py"),
    shell:
        r"""
        python scripts/fetch_model.py \
            --model {params.recipe:q} \
            --out-dir {params.run:q}/models/base \
            --manifest {output:q} \
            2>&1 | tee {log:q}
        """


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
        r"""
        python scripts/fetch_benchmark.py \
            --name {wildcards.name:q} \
            --benchmarks {params.folder:q} \
            --out {output:q} \
            2>&1 | tee {log:q}
        """
