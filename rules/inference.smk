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
    priority: ANSWERS_NEXT
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("predict"),
        spec=spec_of("predict"),
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
    priority: ANSWERS_NEXT
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("predict_last_words"),
        spec=spec_of("predict_last_words"),
        shards="resources/.partial/predictions/{study}/{model}/{precision}/{condition}",
    shell:
        "python workflow/scripts/predict_last_words.py --checkpoint {input.checkpoint} --subset {input.subset}"
        " --items {input.study_items} --spec {params.spec:q} --code {params.code} --shards {params.shards}"
        " --out {output.predictions} --record {output.record} --out-logits {output.logits} 2>&1 | tee {log}"


# The noise floor: the same checkpoint asked again in other batches and another order. It differs by nothing else.
use rule predict as predict_again with:
    output:
        predictions="results/{study}/{model}/{precision}/{condition}/noise_floor/predictions.jsonl",
        record="results/{study}/{model}/{precision}/{condition}/noise_floor/predictions.json",
    log:
        "logs/predict_again/{study}.{model}.{precision}.{condition}.log",
    params:
        code=model_code("predict"),
        spec=spec_of("predict", again=True),
        shots=shots_options,
        shards="resources/.partial/predictions_again/{study}/{model}/{precision}/{condition}",


use rule predict_last_words as predict_last_words_again with:
    output:
        predictions="results/{study}/{model}/{precision}/{condition}/noise_floor/predictions.jsonl",
        record="results/{study}/{model}/{precision}/{condition}/noise_floor/predictions.json",
        logits="results/{study}/{model}/{precision}/{condition}/noise_floor/logits.safetensors",
    log:
        "logs/predict_last_words_again/{study}.{model}.{precision}.{condition}.log",
    params:
        code=model_code("predict_last_words"),
        spec=spec_of("predict_last_words", again=True),
        shards="resources/.partial/predictions_again/{study}/{model}/{precision}/{condition}",


# What the memory and the arithmetic of this machine allow, beside which every speed stands.
rule probe_machine:
    output:
        "results/{study}/machine.json",
    log:
        "logs/probe_machine/{study}.log",
    wildcard_constraints:
        study=TRANSFORMERS,
    conda:
        "../envs/inference.yaml"
    # All cores, as measure_efficiency.
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=code_of("probe_machine"),
        spec=spec_of("probe_machine"),
    shell:
        "python workflow/scripts/probe_machine.py --spec {params.spec:q} --out {output} 2>&1 | tee {log}"


rule measure_efficiency:
    input:
        checkpoint=rules.quantize_model.output.checkpoint,
        audit=rules.audit_checkpoint.output,
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=images,
        shots=shots,
    output:
        "results/{study}/{model}/{precision}/{condition}/measurements/repeat-{repeat}.json",
    log:
        "logs/measure_efficiency/{study}.{model}.{precision}.{condition}.{repeat}.log",
    wildcard_constraints:
        study=TRANSFORMERS,
    priority: measuring_in_turn
    conda:
        "../envs/inference.yaml"
    # All cores, so that no other job runs beside it at any --cores.
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("measure_efficiency"),
        spec=spec_of("measure_efficiency"),
        images=images_option,
        shots=shots_options,
    shell:
        "python workflow/scripts/measure_efficiency.py --checkpoint {input.checkpoint} --audit {input.audit}"
        " --subset {input.subset} --items {input.study_items} {params.images} {params.shots}"
        " --spec {params.spec:q} --out {output} 2>&1 | tee {log}"


rule combine_measurements:
    input:
        repeats=repeats,
        floor=floor_records,
    output:
        "results/{study}/{model}/{precision}/{condition}/measurements.json",
    log:
        "logs/combine_measurements/{study}.{model}.{precision}.{condition}.log",
    conda:
        "../envs/report.yaml"
    params:
        code=code_of("combine_measurements"),  # what a format computes in changes with its audit
        spec=spec_of("combine_measurements"),
        floor=floor_options,
    shell:
        "python workflow/scripts/combine_measurements.py --repeats {input.repeats} {params.floor}"
        " --spec {params.spec:q} --out {output} 2>&1 | tee {log}"


rule count_flops:
    input:
        checkpoint=rules.quantize_model.output.checkpoint,
        audit=rules.audit_checkpoint.output,
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=images,
        shots=shots,
    output:
        "results/{study}/{model}/{precision}/{condition}/flops.json",
    log:
        "logs/count_flops/{study}.{model}.{precision}.{condition}.log",
    wildcard_constraints:
        study=TRANSFORMERS,
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("count_flops"),
        spec=spec_of("count_flops"),
        images=images_option,
        shots=shots_options,
    shell:
        "python workflow/scripts/count_flops.py --checkpoint {input.checkpoint} --audit {input.audit}"
        " --subset {input.subset} --items {input.study_items} {params.images} {params.shots}"
        " --spec {params.spec:q} --out {output} 2>&1 | tee {log}"
