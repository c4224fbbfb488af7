# What is handed in: a paper, its appendix, slides, a page to look through, and an archive of it all.


# Asks Snakemake itself, so it needs this run's own Python and no environment. With the study are asked those told of
# beside it: one that is picked with it need not have been run yet.
rule draw_rulegraph:
    input:
        rules.resolve_study.output,
    output:
        "results/{study}/rulegraph.dot",
    log:
        "logs/draw_rulegraph/{study}.log",
    handover: True
    params:
        code=code_of("draw_rulegraph"),
        workflow=content_of("Snakefile", "rules"),
        studies=lambda w: " ".join(publication.told_together(study_of(w))),
    shell:
        '"$BITBUDGET_PYTHON" workflow/scripts/draw_rulegraph.py --studies {params.studies} --out {output}'
        " 2>&1 | tee {log}"


rule write_page:
    input:
        records=lambda w: evidence(study_of(w)),
        pictures=images,
        linked=lambda w: spot_check(w.study),
        rulegraph=rules.draw_rulegraph.output,
    output:
        reported("results/{study}/index.html", "page", "Paper and slides", "results page"),
    log:
        "logs/write_page/{study}.log",
    conda:
        "../envs/publication.yaml"
    params:
        code=lambda w: telling_code("write_page", w),
        looks=content_of("workflow/report/page.html", "workflow/report/page", "workflow/report/vendor"),
        spec=spec_of("write_page"),
    shell:
        "python workflow/scripts/write_page.py --spec {params.spec:q} --results results/{wildcards.study}"
        " --rulegraph {input.rulegraph} --out {output} 2>&1 | tee {log}"


rule write_paper:
    input:
        records=told_of,
        words=words,
        template=own_template,
    output:
        pdf=reported("results/{study}/paper.pdf", "paper", "Paper and slides", "paper"),
        markdown="results/{study}/paper.md",  # with the pictures that it quotes in paper_pictures/
    log:
        "logs/write_paper/{study}.log",
    conda:
        "../envs/publication.yaml"
    params:
        code=lambda w: code_of("write_paper", told_modules(w), publication.speaking_modules(told(w))),
        looks=content_of("workflow/report/typst", "workflow/report/fonts", "workflow/report/references.bib"),
        spec=spec_of("write_paper"),
        results=told_folders,
        words=words_option,
    shell:
        "python workflow/scripts/write_paper.py --spec {params.spec:q} {params.results} {params.words}"
        " --out {output.pdf} --out-markdown {output.markdown} 2>&1 | tee {log}"


rule write_appendix:
    input:
        records=told_of,
    output:
        reported("results/{study}/appendix.pdf", "appendix", "Paper and slides", "appendix"),
    log:
        "logs/write_appendix/{study}.log",
    conda:
        "../envs/publication.yaml"
    params:
        code=lambda w: code_of("write_appendix", told_modules(w), publication.speaking_modules(told(w))),
        looks=content_of("workflow/report/typst", "workflow/report/fonts"),
        spec=spec_of("write_appendix"),
        results=told_folders,
    shell:
        "python workflow/scripts/write_appendix.py --spec {params.spec:q} {params.results} --out {output} 2>&1 | tee {log}"


rule write_slides:
    input:
        records=told_of,
    output:
        reported("results/{study}/slides.pdf", "slides", "Paper and slides", "slides"),
    log:
        "logs/write_slides/{study}.log",
    conda:
        "../envs/publication.yaml"
    params:
        code=lambda w: code_of("write_slides", told_modules(w), publication.speaking_modules(told(w))),
        looks=content_of("workflow/report/typst", "workflow/report/fonts"),
        spec=spec_of("write_slides"),
        results=told_folders,
    shell:
        "python workflow/scripts/write_slides.py --spec {params.spec:q} {params.results} --out {output} 2>&1 | tee {log}"


rule bundle_study:
    input:
        packed,
    output:
        "results/{study}/{study}.zip",
    log:
        "logs/bundle_study/{study}.log",
    conda:
        "../envs/publication.yaml"
    params:
        code=lambda w: code_of("bundle_study", told_readers(w)),
        spec=spec_of("bundle_study"),
    shell:
        "python workflow/scripts/bundle_study.py --spec {params.spec:q} --results results/{wildcards.study} --out {output}"
        " 2>&1 | tee {log}"
