# A model's snapshot, its checkpoint in each precision, and the proof that the checkpoint is what its name says.


rule fetch_model:
    input:
        local=lambda w: plan.local_model(study_of(w), w.model),
    output:
        folder=directory("resources/models/{model}"),
    log:
        "logs/fetch_model/{model}.log",
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/inference.yaml"
    params:
        code=lambda w: code_of("fetch_model", [FAMILIES[study_of(w)["models"][w.model]["family"]]]),
        spec=spec_of("fetch_model"),
        partial="resources/.partial/models/{model}",
    shell:
        "HF_HUB_OFFLINE=0 python workflow/scripts/fetch_model.py --model {wildcards.model} --spec {params.spec:q}"
        " --partial {params.partial} --out {output.folder} 2>&1 | tee {log}"


# Of all that is known of a model only this stands among a study's results, so that its report can tell it.
rule gather_models:
    input:
        lambda w: [f"resources/models/{model}" for model in study_of(w)["models"]],
    output:
        "results/{study}/models.json",
    log:
        "logs/gather_models/{study}.log",
    conda:
        "../envs/report.yaml"
    params:
        code=code_of("gather_models"),
        spec=spec_of("gather_models"),
    shell:
        "python workflow/scripts/gather_models.py --spec {params.spec:q} --models {input} --out {output} 2>&1 | tee {log}"


rule quantize_model:
    input:
        model="resources/models/{model}",
        calibration=calibration,
        # what is refused is told before; but no other items or images make another checkpoint
        study_items=ancient(rules.select_subset.output.study_items),
        images=ancient(images),
    output:
        checkpoint=directory("results/{study}/{model}/{precision}/checkpoint"),
    log:
        "logs/quantize_model/{study}.{model}.{precision}.log",
    wildcard_constraints:
        study=TRANSFORMERS,
        precision=MADE,
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("quantize_model"),
        spec=spec_of("quantize_model"),
        calibration=calibration_options,
        images=images_option,
        # It audits the checkpoint in the same process; the audit's job looks at it again where its code has changed.
        audit_with=lambda w: plan.modules(study_of(w), w.model, w.precision),
    shell:
        "python workflow/scripts/quantize_model.py --model-dir {input.model} --spec {params.spec:q}"
        " --items {input.study_items} {params.images} {params.calibration} --audit-with {params.audit_with}"
        " --out {output.checkpoint} 2>&1 | tee {log}"


rule audit_checkpoint:
    input:
        model="resources/models/{model}",
        checkpoint=rules.quantize_model.output.checkpoint,
        calibration=calibration,
    output:
        "results/{study}/{model}/{precision}/audit.json",
    log:
        "logs/audit_checkpoint/{study}.{model}.{precision}.log",
    wildcard_constraints:
        study=TRANSFORMERS,
        precision=MADE,
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("audit_checkpoint"),
        spec=spec_of("audit_checkpoint"),
        calibration=calibration_options,
    shell:
        "python workflow/scripts/audit_checkpoint.py --checkpoint {input.checkpoint} --model-dir {input.model}"
        " --spec {params.spec:q} --code {params.code} {params.calibration} --out {output} 2>&1 | tee {log}"
