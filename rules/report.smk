# What a person looks at: the table and the figures.


rule summarize_study:
    input:
        human=human,
        scores=lambda w: study_cells(w.study, "{condition}/scores.json"),
        measurements=lambda w: study_cells(w.study, "{condition}/measurements.json"),
        audits=lambda w: study_cells(w.study, "audit.json"),
    output:
        "results/{study}/summary.csv",
    log:
        "logs/summarize_study/{study}.log",
    conda:
        "../envs/report.yaml"
    params:
        code=lambda w: code_of("summarize_study", [TRACKS[study_of(w)["track"]]]),
        spec=part(plan.overview),
        human=human_option,
    shell:
        "python workflow/scripts/summarize_study.py --study {wildcards.study} --spec {params.spec:q}"
        " --scores {input.scores} --measurements {input.measurements} --audits {input.audits} {params.human}"
        " --out {output} 2>&1 | tee {log}"


rule plot_figures:
    input:
        summary=rules.summarize_study.output,
        blind=rules.score_blind.output,
        measurements=lambda w: study_cells(w.study, "{condition}/measurements.json"),
    output:
        figures("results/{study}/figures"),
    log:
        "logs/plot_figures/{study}.log",
    conda:
        "../envs/figures.yaml"
    params:
        code=lambda w: code_of("plot_figures", [TRACKS[study_of(w)["track"]]]),
        spec=part(plan.overview),
        folder="results/{study}/figures",
    shell:
        "python workflow/scripts/plot_figures.py --summary {input.summary} --measurements {input.measurements}"
        " --blind {input.blind} --spec {params.spec:q} --out-dir {params.folder} 2>&1 | tee {log}"


rule plot_breakdown:
    input:
        summary=rules.summarize_study.output,
        blind=rules.score_blind.output,
        scores=lambda w: study_cells(w.study, "{condition}/scores.json"),
        measurements=lambda w: study_cells(w.study, "{condition}/measurements.json"),
    output:
        expand("results/{{study}}/figures/quality_by_type.{form}", form=["svg", "png"]),
    log:
        "logs/plot_breakdown/{study}.log",
    conda:
        "../envs/figures.yaml"
    params:
        code=lambda w: code_of("plot_breakdown", [TRACKS[study_of(w)["track"]]]),
        spec=part(plan.overview),
        folder="results/{study}/figures",
    shell:
        "python workflow/scripts/plot_breakdown.py --summary {input.summary} --scores {input.scores}"
        " --measurements {input.measurements} --blind {input.blind} --spec {params.spec:q} --out-dir {params.folder}"
        " 2>&1 | tee {log}"
