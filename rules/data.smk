# From a data set's source to the items of a study.


rule fetch_dataset:
    input:
        local=lambda w: plan.dataset_files(study_of(w)),
    output:
        folder=directory("resources/datasets/{dataset}"),
    log:
        "logs/fetch_dataset/{dataset}.log",
    conda:
        "../envs/data.yaml"
    params:
        code=lambda w: code_of("fetch_dataset", [DATASETS[study_of(w)["dataset"]["kind"]]]),
        spec=spec_of("fetch_dataset"),
        partial="resources/.partial/datasets",
    shell:
        "HF_HUB_OFFLINE=0 python workflow/scripts/fetch_dataset.py --dataset {wildcards.dataset}"
        " --spec {params.spec:q} --partial {params.partial} --out {output.folder} 2>&1 | tee {log}"


rule select_subset:
    input:
        dataset=lambda w: f"resources/datasets/{study_of(w)['dataset']['name']}",
        ids=lambda w: plan.ids_file(study_of(w)),
        # only to find its faults before a model runs; an edited one changes no item
        instances=lambda w: ancient(publication.instances(study_of(w))),
    output:
        subset="results/{study}/subset.json",
        study_items="results/{study}/items.jsonl",
    log:
        "logs/select_subset/{study}.log",
    conda:
        "../envs/data.yaml"
    params:
        code=lambda w: code_of("select_subset", [DATASETS[study_of(w)["dataset"]["kind"]]]),
        spec=spec_of("select_subset"),
        instances=instances_option,
    shell:
        "python workflow/scripts/select_subset.py --dataset-dir {input.dataset} --spec {params.spec:q}"
        " {params.instances} --study {wildcards.study} --out-subset {output.subset} --out-items {output.study_items} 2>&1 | tee {log}"


rule resolve_study:
    output:
        "results/{study}/study.resolved.yaml",
    log:
        "logs/resolve_study/{study}.log",
    priority: CHECKPOINTS_FIRST + 1  # what the machine decided stands before anything is made of it
    conda:
        "../envs/data.yaml"
    params:
        code=code_of("resolve_study"),
        study=lambda w: json.dumps(study_of(w), ensure_ascii=False),
    shell:
        "python workflow/scripts/resolve_study.py --study {params.study:q} --out {output} 2>&1 | tee {log}"
