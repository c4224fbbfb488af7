# The demo models' recipes. Nothing depends on them: the trained weights are in the repository, and a clone never retrains.


rule train_demo_vlm:
    output:
        folder=directory("resources/trained/demo-vlm"),
    log:
        "logs/train_demo_vlm.log",
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    params:
        code=code_of("train_demo_vlm"),
        # training takes more than an hour and goes on from its last 200 steps if it is interrupted; that of another
        # recipe must not go on where this one stopped
        work=f"resources/.partial/trained/demo-vlm-{code_of('train_demo_vlm')}",
    shell:
        "(python workflow/scripts/train_demo_vlm.py --out {params.work}"
        " && mkdir -p $(dirname {output.folder}) && mv {params.work} {output.folder}) 2>&1 | tee {log}"


rule train_demo_lm:
    output:
        folder=directory("resources/trained/demo-lm"),
    log:
        "logs/train_demo_lm.log",
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    params:
        code=code_of("train_demo_lm"),
        work=f"resources/.partial/trained/demo-lm-{code_of('train_demo_lm')}",
    shell:
        "(python workflow/scripts/train_demo_lm.py --out {params.work}"
        " && mkdir -p $(dirname {output.folder}) && mv {params.work} {output.folder}) 2>&1 | tee {log}"


rule train_demo_detector:
    output:
        folder=directory("resources/trained/demo-detector"),
    log:
        "logs/train_demo_detector.log",
    conda:
        "../envs/inference.yaml"
    threads: ALL_CORES
    params:
        code=code_of("train_demo_detector"),
        work=f"resources/.partial/trained/demo-detector-{code_of('train_demo_detector')}",
    shell:
        "(python workflow/scripts/train_demo_detector.py --out {params.work}"
        " && mkdir -p $(dirname {output.folder}) && mv {params.work} {output.folder}) 2>&1 | tee {log}"


rule train_demo_keras:
    output:
        folder=directory("resources/trained/demo-keras"),
    log:
        "logs/train_demo_keras.log",
    conda:
        "../envs/tensorflow.yaml"
    threads: ALL_CORES
    params:
        code=code_of("train_demo_keras"),
    shell:
        '"$BITBUDGET_TENSORFLOW" workflow/scripts/train_demo_keras.py --out {output.folder} 2>&1 | tee {log}'
