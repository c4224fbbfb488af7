# What models wrote is looked through before anything is published: made-up objects, personal strings, coarse words.


rule inspect_outputs:
    input:
        dataset=lambda w: f"resources/datasets/{study_of(w)['dataset']['name']}",
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=images,
        predictions=lambda w: study_cells(w.study, "{condition}/predictions.jsonl"),
        instances=lambda w: publication.instances(study_of(w)),
    output:
        record="results/{study}/inspection.json",
        flagged=reported("results/{study}/flagged.csv", "flagged", "Outputs inspected", "answers to look at"),
    log:
        "logs/inspect_outputs/{study}.log",
    conda:
        "../envs/inspection.yaml"
    params:
        code=lambda w: inspecting_code("inspect_outputs", w),
        words=content_of("workflow/data/words"),
        spec=spec_of("inspect_outputs"),
        images=images_option,
        instances=instances_option,
    shell:
        "python workflow/scripts/inspect_outputs.py --spec {params.spec:q} --dataset {input.dataset}"
        " --subset {input.subset} --items {input.study_items} {params.images} --predictions {input.predictions}"
        " {params.instances} --out {output.record} --out-flagged {output.flagged} 2>&1 | tee {log}"


# The one source of what models and people wrote for everything that is published: redacted here, and nowhere else.
rule gather_examples:
    input:
        subset=rules.select_subset.output.subset,
        study_items=rules.select_subset.output.study_items,
        images=images,
        predictions=lambda w: study_cells(w.study, "{condition}/predictions.jsonl"),
        item_scores=lambda w: study_cells(w.study, "{condition}/item_scores.jsonl"),
        inspection=rules.inspect_outputs.output.record,
    output:
        "results/{study}/examples.json",
    log:
        "logs/gather_examples/{study}.log",
    conda:
        "../envs/inspection.yaml"
    params:
        code=lambda w: inspecting_code("gather_examples", w),
        words=content_of("workflow/data/words"),
        spec=spec_of("gather_examples"),
        images=images_option,
    shell:
        "python workflow/scripts/gather_examples.py --spec {params.spec:q} --subset {input.subset}"
        " --items {input.study_items} {params.images} --predictions {input.predictions}"
        " --item-scores {input.item_scores} --inspection {input.inspection} --out {output} 2>&1 | tee {log}"
