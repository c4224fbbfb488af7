# Detectors: exported once to LiteRT, then the same steps as for other models, by scripts without torch from there on.


# A SavedModel or Keras model in float32, by TensorFlow, which has an environment of its own also where conda makes none.
rule convert_detector:
    input:
        model="resources/models/{model}",
    output:
        folder=directory("resources/converted/{model}"),
    log:
        "logs/convert_detector/{model}.log",
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/tensorflow.yaml"
    threads: ALL_CORES
    params:
        code=lambda w: code_of("convert_detector", [FAMILIES[study_of(w)["models"][w.model]["family"]]]),
        spec=spec_of("convert_detector"),
        calibration="",
    shell:
        '"$BITBUDGET_TENSORFLOW" workflow/scripts/convert_detector.py --model-dir {input.model} --spec {params.spec:q}'
        " {params.calibration} --out {output.folder} 2>&1 | tee {log}"


# The same model in one of the converter's own formats.
use rule convert_detector as convert_precision with:
    input:
        model="resources/models/{model}",
        calibration=calibration,
    output:
        folder=temp(directory("results/{study}/{model}/{precision}/converted")),
    log:
        "logs/convert_precision/{study}.{model}.{precision}.log",
    wildcard_constraints:
        study=DETECTION,
    params:
        code=model_code("convert_detector"),
        spec=spec_of("convert_detector"),
        calibration=calibration_options,


rule export_detector:
    input:
        model="resources/models/{model}",
        converted=converted_model,
    output:
        folder=directory("resources/detectors/{model}"),
    log:
        "logs/export_detector/{model}.log",
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    params:
        code=lambda w: code_of("export_detector", [FAMILIES[study_of(w)["models"][w.model]["family"]]]),
        spec=spec_of("export_detector"),
        converted=converted_option,
    shell:
        "python workflow/scripts/export_detector.py --model-dir {input.model} --spec {params.spec:q} {params.converted}"
        " --out {output.folder} 2>&1 | tee {log}"


rule quantize_detector:
    input:
        exported=rules.export_detector.output.folder,
        calibration=calibration,
        ready=ready_file,
        converted=converted_precision,
    output:
        checkpoint=directory("results/{study}/{model}/{precision}/checkpoint"),
    log:
        "logs/quantize_detector/{study}.{model}.{precision}.log",
    wildcard_constraints:
        study=DETECTION,
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/detection.yaml"
    threads: ALL_CORES
    params:
        code=model_code("quantize_detector"),
        spec=spec_of("quantize_detector"),
        calibration=calibration_options,
        ready=ready_option,
        converted=converted_option,
    shell:
        "python workflow/scripts/quantize_detector.py --exported {input.exported} --spec {params.spec:q}"
        " {params.calibration} {params.ready} {params.converted} --out {output.checkpoint} 2>&1 | tee {log}"


rule audit_detector:
    input:
        exported=rules.export_detector.output.folder,
        checkpoint=rules.quantize_detector.output.checkpoint,
        calibration=calibration,
    output:
        "results/{study}/{model}/{precision}/audit.json",
    log:
        "logs/audit_detector/{study}.{model}.{precision}.log",
    wildcard_constraints:
        study=DETECTION,
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/detection.yaml"
    threads: ALL_CORES
    params:
        code=model_code("audit_detector"),
        spec=spec_of("audit_detector"),
        calibration=calibration_options,
    shell:
        "python workflow/scripts/audit_detector.py --checkpoint {input.checkpoint} --exported {input.exported}"
        " --spec {params.spec:q} {params.calibration} --out {output} 2>&1 | tee {log}"


rule detect:
    input:
        checkpoint=rules.quantize_detector.output.checkpoint,
        audit=rules.audit_detector.output,
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=rules.resize_images.output.record,
    output:
        predictions="results/{study}/{model}/{precision}/{condition}/predictions.jsonl",
        record="results/{study}/{model}/{precision}/{condition}/predictions.json",
    log:
        "logs/detect/{study}.{model}.{precision}.{condition}.log",
    wildcard_constraints:
        study=DETECTION,
    priority: ANSWERS_NEXT
    conda:
        "../envs/detection.yaml"
    threads: ALL_CORES
    params:
        code=model_code("detect"),
        spec=spec_of("detect"),
        shards="resources/.partial/predictions/{study}/{model}/{precision}/{condition}",
    shell:
        "python workflow/scripts/detect.py --checkpoint {input.checkpoint} --subset {input.subset}"
        " --items {input.study_items} --images {input.images} --spec {params.spec:q} --code {params.code}"
        " --shards {params.shards} --out {output.predictions} --record {output.record} 2>&1 | tee {log}"


use rule detect as detect_again with:
    output:
        predictions="results/{study}/{model}/{precision}/{condition}/noise_floor/predictions.jsonl",
        record="results/{study}/{model}/{precision}/{condition}/noise_floor/predictions.json",
    log:
        "logs/detect_again/{study}.{model}.{precision}.{condition}.log",
    params:
        code=model_code("detect"),
        spec=spec_of("detect", again=True),
        shards="resources/.partial/predictions_again/{study}/{model}/{precision}/{condition}",


rule measure_detector:
    input:
        checkpoint=rules.quantize_detector.output.checkpoint,
        audit=rules.audit_detector.output,
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=rules.resize_images.output.record,
    output:
        "results/{study}/{model}/{precision}/{condition}/measurements/repeat-{repeat}.json",
    log:
        "logs/measure_detector/{study}.{model}.{precision}.{condition}.{repeat}.log",
    wildcard_constraints:
        study=DETECTION,
    priority: measuring_in_turn
    conda:
        "../envs/detection.yaml"
    # All cores, so that no other job runs beside it at any --cores.
    threads: ALL_CORES
    params:
        code=model_code("measure_detector"),
        spec=spec_of("measure_detector"),
    shell:
        "python workflow/scripts/measure_detector.py --checkpoint {input.checkpoint} --audit {input.audit}"
        " --subset {input.subset} --items {input.study_items} --images {input.images} --spec {params.spec:q}"
        " --out {output} 2>&1 | tee {log}"


rule count_detector_flops:
    input:
        checkpoint=rules.quantize_detector.output.checkpoint,
        audit=rules.audit_detector.output,
        subset=rules.select_subset.output.subset,
    output:
        "results/{study}/{model}/{precision}/{condition}/flops.json",
    log:
        "logs/count_detector_flops/{study}.{model}.{precision}.{condition}.log",
    wildcard_constraints:
        study=DETECTION,
    conda:
        "../envs/detection.yaml"
    params:
        code=model_code("count_detector_flops"),
        spec=spec_of("count_detector_flops"),
    shell:
        "python workflow/scripts/count_detector_flops.py --checkpoint {input.checkpoint} --audit {input.audit}"
        " --subset {input.subset} --spec {params.spec:q} --out {output} 2>&1 | tee {log}"


rule plot_detections:
    input:
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=rules.resize_images.output.record,
        predictions=lambda w: study_cells(w.study, "{condition}/predictions.jsonl"),
    output:
        reported_figures("results/{study}/figures", ["detections"]),
    log:
        "logs/plot_detections/{study}.log",
    wildcard_constraints:
        study=DETECTION,
    conda:
        "../envs/figures.yaml"
    params:
        code=lambda w: code_of("plot_detections", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("plot_detections"),
        folder="results/{study}/figures",
    shell:
        "python workflow/scripts/plot_detections.py --subset {input.subset} --items {input.study_items}"
        " --images {input.images} --predictions {input.predictions} --spec {params.spec:q} --out-dir {params.folder}"
        " 2>&1 | tee {log}"
