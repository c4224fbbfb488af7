# Ready checkpoints: somebody else's, fetched once for all studies, and told for what they hold.


rule fetch_checkpoint:
    input:
        local=lambda w: plan.files_of(CHECKPOINTS[w.checkpoint]),
    output:
        folder=directory("resources/checkpoints/{checkpoint}"),
    log:
        "logs/fetch_checkpoint/{checkpoint}.log",
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/inference.yaml"
    params:
        code=code_of("fetch_checkpoint"),
        spec=lambda w: json.dumps(spec.of("fetch_checkpoint", {}, {"source": CHECKPOINTS[w.checkpoint]})),
        partial="resources/.partial/checkpoints/{checkpoint}",
    shell:
        "HF_HUB_OFFLINE=0 python workflow/scripts/fetch_checkpoint.py --spec {params.spec:q}"
        " --partial {params.partial} --out {output.folder} 2>&1 | tee {log}"


rule adopt_checkpoint:
    input:
        model="resources/models/{model}",
        fetched=fetched_checkpoint,
    output:
        checkpoint=directory("results/{study}/{model}/{precision}/checkpoint"),
    log:
        "logs/adopt_checkpoint/{study}.{model}.{precision}.log",
    wildcard_constraints:
        study=TRANSFORMERS,
        precision=READY,
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/inference.yaml"
    params:
        code=model_code("adopt_checkpoint"),
        spec=spec_of("adopt_checkpoint"),
    shell:
        "python workflow/scripts/adopt_checkpoint.py --fetched {input.fetched} --model-dir {input.model}"
        " --spec {params.spec:q} --out {output.checkpoint} 2>&1 | tee {log}"


rule audit_ready:
    input:
        model="resources/models/{model}",
        checkpoint=rules.adopt_checkpoint.output.checkpoint,
        fetched=fetched_checkpoint,
    output:
        "results/{study}/{model}/{precision}/audit.json",
    log:
        "logs/audit_ready/{study}.{model}.{precision}.log",
    wildcard_constraints:
        study=TRANSFORMERS,
        precision=READY,
    priority: CHECKPOINTS_FIRST
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    resources:
        gpu=1,
    params:
        code=model_code("audit_ready"),
        spec=spec_of("audit_ready"),
    shell:
        "python workflow/scripts/audit_ready.py --checkpoint {input.checkpoint} --model-dir {input.model}"
        " --spec {params.spec:q} --out {output} 2>&1 | tee {log}"
