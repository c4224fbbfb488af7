# What a person looks at: tables, verdicts and figures.


rule summarize_study:
    input:
        human=human,
        scores=lambda w: study_cells(w.study, "{condition}/scores.json"),
        measurements=lambda w: study_cells(w.study, "{condition}/measurements.json"),
        audits=lambda w: study_cells(w.study, "audit.json"),
    output:
        reported("results/{study}/summary.csv", "summary", "Quality", "every number"),
    log:
        "logs/summarize_study/{study}.log",
    conda:
        "../envs/report.yaml"
    params:
        code=lambda w: code_of("summarize_study", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("summarize_study"),
        human=human_option,
    shell:
        "python workflow/scripts/summarize_study.py --study {wildcards.study} --spec {params.spec:q}"
        " --scores {input.scores} --measurements {input.measurements} --audits {input.audits} {params.human}"
        " --out {output} 2>&1 | tee {log}"


rule recommend_precision:
    input:
        comparison=rules.compare_precisions.output.record,
        summary=rules.summarize_study.output,
        measurements=lambda w: study_cells(w.study, "{condition}/measurements.json"),
        scores=lambda w: study_cells(w.study, "{condition}/scores.json"),
        blind=rules.score_blind.output,
    output:
        record="results/{study}/verdicts.json",
        text=reported("results/{study}/verdicts.txt", "verdicts", "Verdict", "in words"),
    log:
        "logs/recommend_precision/{study}.log",
    conda:
        "../envs/report.yaml"
    params:
        code=lambda w: telling_code("recommend_precision", w),
        spec=spec_of("recommend_precision"),
    shell:
        "python workflow/scripts/recommend_precision.py --spec {params.spec:q} --comparison {input.comparison}"
        " --summary {input.summary} --measurements {input.measurements} --scores {input.scores} --blind {input.blind}"
        " --out {output.record} --out-text {output.text} 2>&1 | tee {log}"


rule tabulate_carbon:
    input:
        measurements=lambda w: study_cells(w.study, "{condition}/measurements.json"),
        flops=lambda w: baseline_cells(w.study, "flops.json"),
    output:
        reported("results/{study}/carbon.csv", "carbon", "Costs", "energy and CO2e"),
    log:
        "logs/tabulate_carbon/{study}.log",
    conda:
        "../envs/report.yaml"
    params:
        code=code_of("tabulate_carbon"),
        spec=spec_of("tabulate_carbon"),
    shell:
        "python workflow/scripts/tabulate_carbon.py --spec {params.spec:q} --measurements {input.measurements}"
        " --flops {input.flops} --out {output} 2>&1 | tee {log}"


rule tabulate_ablation:
    input:
        comparison=rules.compare_precisions.output.record,
        audits=lambda w: study_cells(w.study, "audit.json"),
    output:
        reported("results/{study}/ablation.csv", "ablation", "Verdict", "loss by module group"),
    log:
        "logs/tabulate_ablation/{study}.log",
    conda:
        "../envs/report.yaml"
    params:
        code=lambda w: code_of("tabulate_ablation", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("tabulate_ablation"),
    shell:
        "python workflow/scripts/tabulate_ablation.py --spec {params.spec:q} --comparison {input.comparison}"
        " --audits {input.audits} --out {output} 2>&1 | tee {log}"


rule plot_figures:
    input:
        verdicts=rules.recommend_precision.output.record,
        blind=rules.score_blind.output,
        measurements=lambda w: study_cells(w.study, "{condition}/measurements.json"),
    output:
        reported_figures("results/{study}/figures"),
    log:
        "logs/plot_figures/{study}.log",
    conda:
        "../envs/figures.yaml"
    params:
        code=lambda w: code_of("plot_figures", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("plot_figures"),
        folder="results/{study}/figures",
    shell:
        "python workflow/scripts/plot_figures.py --verdicts {input.verdicts} --measurements {input.measurements}"
        " --blind {input.blind} --spec {params.spec:q} --out-dir {params.folder} 2>&1 | tee {log}"


rule plot_comparison:
    input:
        verdicts=rules.recommend_precision.output.record,
    output:
        reported_figures("results/{study}/figures", ["quality_delta"]),
    log:
        "logs/plot_comparison/{study}.log",
    conda:
        "../envs/figures.yaml"
    params:
        code=code_of("plot_comparison"),
        spec=spec_of("plot_comparison"),
        folder="results/{study}/figures",
    shell:
        "python workflow/scripts/plot_comparison.py --verdicts {input.verdicts} --spec {params.spec:q}"
        " --out-dir {params.folder} 2>&1 | tee {log}"


rule plot_ablation:
    input:
        rules.tabulate_ablation.output,
    output:
        reported_figures("results/{study}/figures", ["ablation"]),
    log:
        "logs/plot_ablation/{study}.log",
    conda:
        "../envs/figures.yaml"
    params:
        code=lambda w: code_of("plot_ablation", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("plot_ablation"),
        folder="results/{study}/figures",
    shell:
        "python workflow/scripts/plot_ablation.py --ablation {input} --spec {params.spec:q}"
        " --out-dir {params.folder} 2>&1 | tee {log}"


rule plot_breakdown:
    input:
        verdicts=rules.recommend_precision.output.record,
        blind=rules.score_blind.output,
        scores=lambda w: study_cells(w.study, "{condition}/scores.json"),
        measurements=lambda w: study_cells(w.study, "{condition}/measurements.json"),
    output:
        reported_figures("results/{study}/figures", ["quality_by_type"]),
    log:
        "logs/plot_breakdown/{study}.log",
    conda:
        "../envs/figures.yaml"
    params:
        code=lambda w: code_of("plot_breakdown", [TRACKS[study_of(w)["track"]]]),
        spec=spec_of("plot_breakdown"),
        folder="results/{study}/figures",
    shell:
        "python workflow/scripts/plot_breakdown.py --verdicts {input.verdicts} --scores {input.scores}"
        " --measurements {input.measurements} --blind {input.blind} --spec {params.spec:q} --out-dir {params.folder}"
        " 2>&1 | tee {log}"
