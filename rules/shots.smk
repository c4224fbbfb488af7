# The worked examples of a few-shot condition, and their images, apart from what is evaluated: another condition makes
# nothing again that is there.
FEW_SHOT = any_of(c for s in STUDIES.values() for c in s["conditions"] if number_of(c))


rule select_shots:
    input:
        dataset=lambda w: f"resources/datasets/{study_of(w)['dataset']['name']}",
        study_items=rules.select_subset.output.study_items,
    output:
        shots="results/{study}/shots/{condition}/shots.jsonl",
        record="results/{study}/shots/{condition}/shots.json",
    log:
        "logs/select_shots/{study}.{condition}.log",
    wildcard_constraints:
        condition=FEW_SHOT,
    conda:
        "../envs/data.yaml"
    params:
        code=lambda w: code_of("select_shots", [DATASETS[study_of(w)["dataset"]["kind"]]]),
        spec=spec_of("select_shots"),
    shell:
        "python workflow/scripts/select_shots.py --dataset-dir {input.dataset} --items {input.study_items}"
        " --spec {params.spec:q} --out {output.shots} --record {output.record} 2>&1 | tee {log}"


use rule fetch_images as fetch_shot_images with:
    input:
        study_items=rules.select_shots.output.shots,
        dataset=lambda w: f"resources/datasets/{study_of(w)['dataset']['name']}",
    output:
        "results/{study}/shots/{condition}/image_sources.json",
    log:
        "logs/fetch_shot_images/{study}.{condition}.log",
    wildcard_constraints:
        condition=FEW_SHOT,
    params:
        code=code_of("fetch_images"),
        spec=spec_of("fetch_images"),
        partial="resources/.partial/datasets",


use rule resize_images as resize_shot_images with:
    input:
        sources=rules.fetch_shot_images.output,
    output:
        images=directory("results/{study}/shots/{condition}/images"),
        record="results/{study}/shots/{condition}/images.json",
    log:
        "logs/resize_shot_images/{study}.{condition}.log",
    wildcard_constraints:
        condition=FEW_SHOT,
    params:
        code=code_of("resize_images"),
        spec=spec_of("resize_images", on_corrupt="fail", remedy="take the examples from another `shots_split`"),
