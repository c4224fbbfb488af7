# The answers and scores of a finished study once more, in a folder of their own: are they the same?


def rerunning(wildcards, threads):
    """The commands that rerun every study picked, one after the other."""
    by_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    option = " --snakemake-options='--software-deployment-method conda'" if by_conda else ""
    return " && ".join(
        f"{sys.executable} workflow/scripts/reproduce_study.py --study {name}"
        f" --spec {shlex.quote(json.dumps(plan.reproduction(study)))} --cores {threads}{option}"
        f" --scratch resources/.partial/reproduction/{name} --out results/{name}/reproduction.json"
        for name, study in STUDIES.items()
    )


# It has no output, so that asking for it always reruns; and no environment, because it calls Snakemake.
rule reproduce:
    input:
        expand("results/{study}/comparison.json", study=STUDIES),
    log:
        "logs/reproduce.log",
    threads: ALL_CORES
    params:
        commands=rerunning,
    shell:
        "({params.commands}) 2>&1 | tee {log}"
