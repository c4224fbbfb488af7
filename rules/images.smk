# The chosen items' images: fetched one by one, then brought to one form and size.


rule fetch_images:
    input:
        study_items="results/{study}/items.jsonl",
        dataset=lambda w: f"resources/datasets/{study_of(w)['dataset']['name']}",
    output:
        "results/{study}/image_sources.json",
    log:
        "logs/fetch_images/{study}.log",
    wildcard_constraints:
        study=WITH_IMAGES,
    conda:
        "../envs/data.yaml"
    params:
        code=code_of("fetch_images"),
        spec=spec_of("fetch_images"),
        partial="resources/.partial/datasets",
    shell:
        "python workflow/scripts/fetch_images.py --study {wildcards.study} --items {input.study_items}"
        " --dataset-dir {input.dataset} --spec {params.spec:q} --partial {params.partial} --out {output}"
        " 2>&1 | tee {log}"


rule resize_images:
    input:
        sources=rules.fetch_images.output,
    output:
        images=directory("results/{study}/images"),
        record="results/{study}/images.json",
    log:
        "logs/resize_images/{study}.log",
    wildcard_constraints:
        study=WITH_IMAGES,
    conda:
        "../envs/images.yaml"
    threads: ALL_CORES
    params:
        code=lambda w: code_of("resize_images", [FAMILIES[name] for name in choosy_families(w)]),
        spec=spec_of("resize_images"),
    shell:
        "python workflow/scripts/resize_images.py --study {wildcards.study} --sources {input.sources}"
        " --spec {params.spec:q} --threads {threads} --out-dir {output.images} --out {output.record}"
        " 2>&1 | tee {log}"
