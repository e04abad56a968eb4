# INPUTS   a hub repository, or a local folder in its layout
# OUTPUTS  RUN/download/{archives/*.json,manifest.json}, RUN/models/base.manifest.json; videos, annotations, checkpoint beside


localrules:
    list_source,
    fetch_archive,
    finish_download,
    fetch_model,


def source_files():
    """Files of a local source that exist now or that the demo makes; none for a hub."""
    if CONFIG.source.kind == "hub":
        return []
    if CONFIG.source.path == f"{RUN}/hub":
        return DEMO_HUB_FILES
    patterns = [*CONFIG.source.archives, CONFIG.source.annotations, CONFIG.source.questions]
    return sorted(str(path) for pattern in patterns for path in Path(CONFIG.source.path).glob(pattern))


def model_files():
    """Files of a local base model that the demo makes; others are only read."""
    return rules.make_tiny_model.output if CONFIG.model.path == f"{RUN}/tiny_model" else []


def archive_manifests(wildcards):
    """One manifest for each archive that the source lists."""
    with checkpoints.list_source.get().output[0].open() as listing:
        return [f"{RUN}/download/archives/{archive['name']}.json" for archive in json.load(listing)["archives"]]


checkpoint list_source:
    """List the source's archives and annotation files, with sizes and checksums."""
    input:
        source_files(),
    output:
        f"{RUN}/download/archives.json",
    params:
        recipe=recipe(CONFIG.source),
        code=code("list_source.py"),
    log:
        f"{RUN}/logs/list_source.log",
    benchmark:
        f"{RUN}/benchmarks/list_source.tsv"
    conda:
        "../envs/data.yaml"
    shell:
        "python scripts/list_source.py --source {params.recipe:q} --out {output:q} 2>&1 | tee {log}"


rule fetch_archive:
    """Fetch one archive, verify it, extract it safely."""
    input:
        f"{RUN}/download/archives.json",
    output:
        f"{RUN}/download/archives/{{archive}}.json",
    params:
        recipe=recipe(CONFIG.source),
        code=code("fetch_archive.py"),
    log:
        f"{RUN}/logs/fetch_archive/{{archive}}.log",
    benchmark:
        f"{RUN}/benchmarks/fetch_archive/{{archive}}.tsv"
    conda:
        "../envs/data.yaml"
    shell:
        "python scripts/fetch_archive.py --source {params.recipe:q} --listing {input:q} --name {wildcards.archive:q}"
        " --run-dir {RUN} --out {output:q} 2>&1 | tee {log}"


rule finish_download:
    """Fetch the annotation files and write the manifest of the whole download."""
    input:
        archives=archive_manifests,
        listing=f"{RUN}/download/archives.json",
    output:
        f"{RUN}/download/manifest.json",
    params:
        recipe=recipe(CONFIG.source),
        code=code("finish_download.py"),
    log:
        f"{RUN}/logs/finish_download.log",
    benchmark:
        f"{RUN}/benchmarks/finish_download.tsv"
    conda:
        "../envs/data.yaml"
    shell:
        "python scripts/finish_download.py --source {params.recipe:q} --listing {input.listing:q} --run-dir {RUN}"
        " --out {output:q} 2>&1 | tee {log}"


rule fetch_model:
    """Fetch the base model: safetensors, of a supported family."""
    input:
        model_files(),
    output:
        f"{RUN}/models/base.manifest.json",
    params:
        recipe=recipe(CONFIG.model),
        code=code("fetch_model.py"),
    log:
        f"{RUN}/logs/fetch_model.log",
    benchmark:
        f"{RUN}/benchmarks/fetch_model.tsv"
    conda:
        "../envs/train.yaml"
    shell:
        "python scripts/fetch_model.py --model {params.recipe:q} --out-dir {RUN}/models/base --manifest {output:q}"
        " 2>&1 | tee {log}"
