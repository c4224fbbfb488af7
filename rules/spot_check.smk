# A few answers for people to rate. Their ratings lie in ratings/{study}/, which no rule writes to.


rule make_spot_check:
    input:
        study_items=rules.select_subset.output.study_items,
        images=rules.resize_images.output.record,
        predictions=lambda w: study_cells(w.study, "{condition}/predictions.jsonl"),
        records=lambda w: study_cells(w.study, "{condition}/predictions.json"),
        template="workflow/report/spot_check.html",
    output:
        page="results/{study}/spot_check.html",
        key="results/{study}/spot_check.json",
    log:
        "logs/make_spot_check/{study}.log",
    wildcard_constraints:
        study=WITH_IMAGES,
    conda:
        "../envs/images.yaml"
    params:
        code=code_of("make_spot_check"),
        spec=spec_of("make_spot_check"),
    shell:
        "python workflow/scripts/make_spot_check.py --items {input.study_items} --images {input.images}"
        " --predictions {input.predictions} --records {input.records} --template {input.template}"
        " --spec {params.spec:q} --out-page {output.page} --out-key {output.key} 2>&1 | tee {log}"


rule read_ratings:
    input:
        key=rules.make_spot_check.output.key,
        ratings=lambda w: in_one_sentence(needed_rating_files, w.study),
        item_scores=lambda w: study_cells(w.study, "{condition}/item_scores.jsonl"),
        scores=lambda w: study_cells(w.study, "{condition}/scores.json"),
    output:
        "results/{study}/human.json",
    log:
        "logs/read_ratings/{study}.log",
    conda:
        "../envs/scoring.yaml"
    params:
        code=code_of("read_ratings"),
        # a file moved here from the downloads keeps its date, which may be older than what was made of the one before
        # (of the wildcards alone: Snakemake does not look for a change in params that are made from the input)
        content=lambda w: [sha256_of(Path(path)) for path in rating_files(w.study)],
        spec=spec_of("read_ratings"),
    shell:
        # a person's file may be named with blanks
        "python workflow/scripts/read_ratings.py --key {input.key} --ratings {input.ratings:q}"
        " --item-scores {input.item_scores} --scores {input.scores} --spec {params.spec:q}"
        " --out {output} 2>&1 | tee {log}"
