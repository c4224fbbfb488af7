from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


report: "workflow/report/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/delivery.smk"
include: "rules/data.smk"
include: "rules/images.smk"
include: "rules/shots.smk"
include: "rules/calibration.smk"
include: "rules/models.smk"
include: "rules/ready.smk"
include: "rules/inference.smk"
include: "rules/detection.smk"
include: "rules/scoring.smk"
include: "rules/spot_check.smk"
include: "rules/inspection.smk"
include: "rules/report.smk"
include: "rules/publication.smk"
include: "rules/reproduction.smk"
include: "rules/demo.smk"


rule all:
    default_target: True
    input:
        final_output(),


# One stage of every study: `snakemake --cores 1 audits`, and so on.
rule subsets:
    input:
        expand("results/{study}/subset.json", study=STUDIES),


rule checkpoints:
    input:
        cells("checkpoint"),


rule audits:
    input:
        cells("audit.json"),


rule predictions:
    input:
        cells("{condition}/predictions.jsonl"),


rule scores:
    input:
        cells("{condition}/scores.json"),


rule spot_checks:
    input:
        [path for study in STUDIES for path in spot_check(study)],


rule measurements:
    input:
        cells("{condition}/measurements.json"),


rule verdicts:
    input:
        expand("results/{study}/verdicts.txt", study=STUDIES),


rule papers:
    input:
        expand("results/{study}/{name}.pdf", study=STUDIES, name=["paper", "appendix", "slides"]),


onstart:
    hold_the_folder()
    look_at_the_dates()
    say_what_the_machine_decided()


onsuccess:
    say_where_results_are()
