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
        spec=part(plan.scoring),
        images=images_option,
        logits=logits_options,
        paraphrases=paraphrases_option,
    shell:
        "python workflow/scripts/score.py --items {input.study_items} {params.images}"
        " --predictions {input.predictions} --record {input.record} {params.logits} {params.paraphrases}"
        " --spec {params.spec:q} --out {output.scores} --out-items {output.item_scores} 2>&1 | tee {log}"


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
        spec=part(plan.blind_scoring),
        images=images_option,
        paraphrases=paraphrases_option,
    shell:
        "python workflow/scripts/score_blind.py --subset {input.subset} --items {input.study_items}"
        " {params.images} {params.paraphrases} --spec {params.spec:q} --out {output} 2>&1 | tee {log}"
