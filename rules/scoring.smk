# From answers to quality.


rule filter_paraphrases:
    input:
        study_items=rules.select_subset.output.study_items,
    output:
        "results/{study}/meteor_paraphrases.gz",
    log:
        "logs/filter_paraphrases/{study}.log",
    conda:
        "../envs/scoring.yaml"
    params:
        code=code_of("filter_paraphrases"),
    shell:
        "python workflow/scripts/filter_paraphrases.py --items {input.study_items} --out {output} 2>&1 | tee {log}"


rule score:
    input:
        study_items=rules.select_subset.output.study_items,
        images=images,
        predictions="results/{study}/{model}/{precision}/{condition}/predictions.jsonl",
        record="results/{study}/{model}/{precision}/{condition}/predictions.json",
        logits=logits,
        paraphrases=paraphrases,
    output:
        scores="results/{study}/{model}/{precision}/{condition}/scores.json",
        item_scores="results/{study}/{model}/{precision}/{condition}/item_scores.jsonl",
    log:
        "logs/score/{study}.{model}.{precision}.{condition}.log",
    conda:
        "../envs/scoring.yaml"
    params:
        code=lambda w: code_of("score", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("score"),
        images=images_option,
        logits=logits_options,
        paraphrases=paraphrases_option,
        # of answers that have been accepted nothing more is to be kept
        shards="resources/.partial/predictions/{study}/{model}/{precision}/{condition}",
    shell:
        "python workflow/scripts/score.py --items {input.study_items} {params.images}"
        " --predictions {input.predictions} --record {input.record} {params.logits} {params.paraphrases}"
        " --shards {params.shards} --spec {params.spec:q} --out {output.scores} --out-items {output.item_scores}"
        " 2>&1 | tee {log}"


use rule score as score_again with:
    input:
        study_items=rules.select_subset.output.study_items,
        images=images,
        predictions="results/{study}/{model}/{precision}/{condition}/noise_floor/predictions.jsonl",
        record="results/{study}/{model}/{precision}/{condition}/noise_floor/predictions.json",
        logits=logits_again,
        paraphrases=paraphrases,
    output:
        scores="results/{study}/{model}/{precision}/{condition}/noise_floor/scores.json",
        item_scores="results/{study}/{model}/{precision}/{condition}/noise_floor/item_scores.jsonl",
    log:
        "logs/score_again/{study}.{model}.{precision}.{condition}.log",
    params:
        code=lambda w: code_of("score", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("score"),
        images=images_option,
        logits=logits_options,
        paraphrases=paraphrases_option,
        shards="resources/.partial/predictions_again/{study}/{model}/{precision}/{condition}",


rule score_blind:
    input:
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=images,
        paraphrases=paraphrases,
    output:
        "results/{study}/blind.json",
    log:
        "logs/score_blind/{study}.log",
    conda:
        "../envs/scoring.yaml"
    params:
        code=lambda w: code_of("score_blind", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("score_blind"),
        images=images_option,
        paraphrases=paraphrases_option,
    shell:
        "python workflow/scripts/score_blind.py --subset {input.subset} --items {input.study_items}"
        " {params.images} {params.paraphrases} --spec {params.spec:q} --out {output} 2>&1 | tee {log}"


rule compare_precisions:
    input:
        scores=lambda w: study_cells(w.study, "{condition}/scores.json"),
        item_scores=lambda w: study_cells(w.study, "{condition}/item_scores.jsonl"),
        predictions=lambda w: study_cells(w.study, "{condition}/predictions.jsonl"),
        noise_scores=lambda w: noise_floor(w.study, "scores.json"),
        noise_item_scores=lambda w: noise_floor(w.study, "item_scores.jsonl"),
        noise_predictions=lambda w: noise_floor(w.study, "predictions.jsonl"),
    output:
        record="results/{study}/comparison.json",
        table=reported("results/{study}/comparison.csv", "comparison", "Verdict", "against the baseline"),
    log:
        "logs/compare_precisions/{study}.log",
    conda:
        "../envs/scoring.yaml"
    params:
        code=lambda w: code_of("compare_precisions", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("compare_precisions"),
        noise=noise_floor_options,
    shell:
        "python workflow/scripts/compare_precisions.py --spec {params.spec:q} --scores {input.scores}"
        " --item-scores {input.item_scores} --predictions {input.predictions} {params.noise}"
        " --out {output.record} --out-table {output.table} 2>&1 | tee {log}"
