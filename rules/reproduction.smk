# The answers and scores of a finished study once more, in a folder of their own: are they the same?


# It has no output, so that asking for it always reruns; no input, because making a study's results anew before they are
# compared would compare them with themselves; and no environment, because it hands over to Snakemake.
rule reproduce:
    log:
        "logs/reproduce.log",
    handover: True
    threads: ALL_CORES
    params:
        command=rerunning,
    shell:
        "{params.command} 2>&1 | tee {log}"
