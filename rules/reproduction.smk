# The answers and scores of a finished study once more, in a folder of their own: are they the same?


# It has no output, so that asking for it always reruns; and no environment, because it calls Snakemake.
rule reproduce:
    input:
        expand("results/{study}/comparison.json", study=STUDIES),
    log:
        "logs/reproduce.log",
    threads: ALL_CORES
    params:
        commands=rerunning,
    run:
        shell("({params.commands}) 2>&1 | tee {log}")
