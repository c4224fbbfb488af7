# Quality and speed are separate passes over the same audited checkpoint.


rule predict:
    input:
        checkpoint=rules.quantize_model.output.checkpoint,
        audit=rules.audit_checkpoint.output,
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=rules.resize_images.output.record,
        shots=shots,
    output:
        predictions="results/{study}/{model}/{precision}/{condition}/predictions.jsonl",
        record="results/{study}/{model}/{precision}/{condition}/predictions.json",
    log:
        "logs/predict/{study}.{model}.{precision}.{condition}.log",
    wildcard_constraints:
        study=ANSWERING,
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("predict"),
        spec=part(plan.prediction),
        shots=shots_options,
        # Snakemake deletes the outputs of a failed job; finished shards must outlive it
        shards="resources/.partial/predictions/{study}/{model}/{precision}/{condition}",
    shell:
        "python workflow/scripts/predict.py --checkpoint {input.checkpoint} --subset {input.subset}"
        " --items {input.study_items} --images {input.images} {params.shots} --spec {params.spec:q}"
        " --code {params.code} --shards {params.shards}"
        " --out {output.predictions} --record {output.record} 2>&1 | tee {log}"


rule predict_last_words:
    input:
        checkpoint=rules.quantize_model.output.checkpoint,
        audit=rules.audit_checkpoint.output,
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
    output:
        predictions="results/{study}/{model}/{precision}/{condition}/predictions.jsonl",
        record="results/{study}/{model}/{precision}/{condition}/predictions.json",
        logits="results/{study}/{model}/{precision}/{condition}/logits.safetensors",
    log:
        "logs/predict_last_words/{study}.{model}.{precision}.{condition}.log",
    wildcard_constraints:
        study=TEXT_ONLY,
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("predict_last_words"),
        spec=part(plan.last_words),
        shards="resources/.partial/predictions/{study}/{model}/{precision}/{condition}",
    shell:
        "python workflow/scripts/predict_last_words.py --checkpoint {input.checkpoint} --subset {input.subset}"
        " --items {input.study_items} --spec {params.spec:q} --code {params.code} --shards {params.shards}"
        " --out {output.predictions} --record {output.record} --out-logits {output.logits} 2>&1 | tee {log}"


rule measure_efficiency:
    input:
        checkpoint=rules.quantize_model.output.checkpoint,
        audit=rules.audit_checkpoint.output,
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=images,
        shots=shots,
    output:
        "results/{study}/{model}/{precision}/{condition}/measurements.json",
    log:
        "logs/measure_efficiency/{study}.{model}.{precision}.{condition}.log",
    wildcard_constraints:
        study=TRANSFORMERS,
    conda:
        "../envs/inference.yaml"
    # All cores, so that no other job runs beside it at any --cores.
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("measure_efficiency"),
        spec=part(plan.measurement),
        images=images_option,
        shots=shots_options,
    shell:
        "python workflow/scripts/measure_efficiency.py --checkpoint {input.checkpoint} --audit {input.audit}"
        " --subset {input.subset} --items {input.study_items} {params.images} {params.shots}"
        " --spec {params.spec:q} --out {output} 2>&1 | tee {log}"
