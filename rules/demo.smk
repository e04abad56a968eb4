# What the demo makes for itself: a data set in the hub's layout or as plain videos, and a tiny base model.
# OUTPUTS  RUN/hub/*, RUN/plain/*, RUN/tiny_model/*  (named by source.path and model.path of the demo's configuration)

DEMO_VIDEOS = CONFIG.demo.videos
DEMO_HUB_FILES = [
    *(f"{RUN}/hub/video_data_part{part}.tar.gz" for part in range(DEMO_VIDEOS.archives if DEMO_VIDEOS else 1)),
    f"{RUN}/hub/next_event_prediction.json",
    f"{RUN}/hub/futurebench.json",
]


rule make_demo_data:
    """Render videos of the demo's world and write them in the layout of V1-33K."""
    input:
        prompts=PROMPTS,
    output:
        DEMO_HUB_FILES,
    log:
        f"{RUN}/logs/make_demo_data.log",
    benchmark:
        f"{RUN}/benchmarks/make_demo_data.tsv"
    conda:
        "../envs/video.yaml"
    threads: DEMO_VIDEOS.processes if DEMO_VIDEOS else 1
    params:
        run=run_folder,
        recipe=recipe(DEMO_VIDEOS),
        seed=CONFIG.seed,
        code=code("make_demo_data.py"),
    shell:
        r"""
        python scripts/make_demo_data.py \
            --videos {params.recipe:q} \
            --processes {threads:q} \
            --prompts {input.prompts:q} \
            --seed {params.seed:q} \
            --out-dir {params.run:q}/hub \
            2>&1 | tee {log:q}
        """


rule make_demo_videos:
    """Render the same videos as plain files, without annotations, and the questions about them."""
    output:
        videos=directory(f"{RUN}/plain/video_dataset"),
        questions=f"{RUN}/plain/futurebench.json",
    log:
        f"{RUN}/logs/make_demo_videos.log",
    benchmark:
        f"{RUN}/benchmarks/make_demo_videos.tsv"
    conda:
        "../envs/video.yaml"
    threads: DEMO_VIDEOS.processes if DEMO_VIDEOS else 1
    params:
        run=run_folder,
        recipe=recipe(DEMO_VIDEOS),
        seed=CONFIG.seed,
        code=code("make_demo_videos.py"),
    shell:
        r"""
        python scripts/make_demo_videos.py \
            --videos {params.recipe:q} \
            --processes {threads:q} \
            --seed {params.seed:q} \
            --out-dir {params.run:q}/plain \
            2>&1 | tee {log:q}
        """


rule make_tiny_model:
    """Make the tiny base model and give it its short pre-training."""
    input:
        prompts=PROMPTS,
    output:
        f"{RUN}/tiny_model/config.json",
        f"{RUN}/tiny_model/model.safetensors",
    log:
        f"{RUN}/logs/make_tiny_model.log",
    benchmark:
        f"{RUN}/benchmarks/make_tiny_model.tsv"
    conda:
        "../envs/train.yaml"
    threads: CONFIG.demo.model.threads if CONFIG.demo.model else 1
    params:
        run=run_folder,
        recipe=recipe(CONFIG.demo.model),
        vision=recipe(CONFIG.vision),
        seed=CONFIG.seed,
        code=code("make_tiny_model.py"),
    shell:
        r"""
        python scripts/make_tiny_model.py \
            --tiny {params.recipe:q} \
            --vision {params.vision:q} \
            --prompts {input.prompts:q} \
            --seed {params.seed:q} \
            --out-dir {params.run:q}/tiny_model \
            2>&1 | tee {log:q}
        """
