# What quantization methods look at before they round: texts, or items with images; none of them is evaluated.


rule select_calibration:
    input:
        dataset=lambda w: f"resources/datasets/{study_of(w)['dataset']['name']}",
        study_items="results/{study}/items.jsonl",
        file=lambda w: plan.calibration_file(study_of(w)),
    output:
        texts="results/{study}/calibration.jsonl",
        record="results/{study}/calibration.json",
    log:
        "logs/select_calibration/{study}.log",
    wildcard_constraints:
        study=TEXT_ONLY,
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/data.yaml"
    params:
        code=lambda w: code_of("select_calibration", [DATASETS[study_of(w)["dataset"]["kind"]]]),
        spec=spec_of("select_calibration"),
    shell:
        "python workflow/scripts/select_calibration.py --dataset-dir {input.dataset} --items {input.study_items}"
        " --spec {params.spec:q} --out {output.texts} --record {output.record} 2>&1 | tee {log}"


rule select_calibration_images:
    input:
        dataset=lambda w: f"resources/datasets/{study_of(w)['dataset']['name']}",
        study_items="results/{study}/items.jsonl",
    output:
        images="results/{study}/calibration/items.jsonl",
        record="results/{study}/calibration/calibration.json",
    log:
        "logs/select_calibration_images/{study}.log",
    wildcard_constraints:
        study=WITH_IMAGES,
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/data.yaml"
    params:
        code=lambda w: code_of("select_calibration_images", [DATASETS[study_of(w)["dataset"]["kind"]]]),
        spec=spec_of("select_calibration_images"),
    shell:
        "python workflow/scripts/select_calibration_images.py --dataset-dir {input.dataset}"
        " --items {input.study_items} --spec {params.spec:q} --out {output.images} --record {output.record}"
        " 2>&1 | tee {log}"


use rule fetch_images as fetch_calibration_images with:
    input:
        study_items=rules.select_calibration_images.output.images,
        dataset=lambda w: f"resources/datasets/{study_of(w)['dataset']['name']}",
    output:
        "results/{study}/calibration/image_sources.json",
    log:
        "logs/fetch_calibration_images/{study}.log",
    wildcard_constraints:
        study=WITH_IMAGES,
    priority: CHECKPOINTS_FIRST


use rule resize_images as resize_calibration_images with:
    input:
        sources=rules.fetch_calibration_images.output,
    output:
        images=directory("results/{study}/calibration/images"),
        record="results/{study}/calibration/images.json",
    log:
        "logs/resize_calibration_images/{study}.log",
    wildcard_constraints:
        study=WITH_IMAGES,
    priority: CHECKPOINTS_FIRST
    params:
        code=code_of("resize_images"),
        spec=spec_of("resize_images", on_corrupt="skip"),
