# What a run delivers, and what the rules that publish share.


def final_output():
    """What the workflow delivers of every study picked."""
    return [path for study in STUDIES for path in (*delivered(study), f"results/{study}/{study}.zip")]


def delivered(study):
    """What a study's archive holds: the study as resolved, its tables, verdicts and figures, and what is published."""
    return [
        f"results/{study}/study.resolved.yaml",
        f"results/{study}/summary.csv",
        f"results/{study}/comparison.csv",
        f"results/{study}/verdicts.txt",
        f"results/{study}/carbon.csv",
        *ablation(study),
        *figures(f"results/{study}/figures", figures_of(STUDIES[study])),
        *spot_check(study),
        f"results/{study}/flagged.csv",
        *(f"results/{study}/{name}" for name in ("paper.pdf", "paper.md", "appendix.pdf", "slides.pdf", "index.html")),
    ]


def figures_of(study):
    """The names of a study's figures, but for the ablation's."""
    return [*plan.FIGURES, "quality_delta", *plan.track_figures(study)]


# What Snakemake's own report (`--report`) shows of a study's figures: caption, category, and the words beside it.
REPORTED = {
    "quality": ("quality", "Quality", "quality"),
    "quality_by_type": ("quality_by_type", "Quality", "quality by type of question"),
    "detections": ("detections", "Quality", "predicted and true boxes"),
    "quality_delta": ("quality_delta", "Verdict", "difference from the baseline"),
    "ablation": ("ablation", "Verdict", "loss by module group"),
    "throughput": ("throughput", "Costs", "throughput"),
    **{cost: ("cost", "Costs", cost) for cost in ("size", "latency", "memory", "energy")},
    **{
        f"quality_vs_{cost}": ("tradeoff", "Costs", f"quality against {cost}")
        for cost in ("size", "latency", "memory", "energy")
    },
}


def reported(path, caption, category, shows):
    """An output that Snakemake's report shows, under a category and with these words."""

    def labels(wildcards):
        name = f"{wildcards.study} (demo)" if STUDIES[wildcards.study]["demo"] else wildcards.study
        return {"study": name, "shows": shows, "format": path.rsplit(".")[-1]}

    return report(path, caption=f"../workflow/report/captions/{caption}.rst", category=category, labels=labels)


def reported_figures(folder, names=plan.FIGURES):
    """Figures as outputs; the svg of each is in Snakemake's report."""
    paths = {name: figures(folder, [name]) for name in names}
    return [one for name, (svg, png) in paths.items() for one in (reported(svg, *REPORTED[name]), png)]


STUDY_RECORDS = (
    "study.resolved.yaml",
    "subset.json",
    "models.json",
    "summary.csv",
    "comparison.json",
    "verdicts.json",
    "carbon.csv",
    "blind.json",
    "inspection.json",
    "examples.json",
)
CELL_RECORDS = ("scores", "measurements", "predictions")


def evidence(study):
    """Every record that is told of a study (bitbudget.telling.evidence)."""
    name = study["study"]
    folder = f"results/{name}"
    tables = ["ablation.csv"] if plan.ablates(study) else []
    return [
        *(f"{folder}/{record}" for record in (*STUDY_RECORDS, *tables)),
        *(f"{folder}/{m}/{p}/audit.json" for m in study["models"] for p in study["precisions"]),
        *(f"{folder}/{m}/{p}/{c}/{record}.json" for m, p, c in plan.cells(study) for record in CELL_RECORDS),
    ]


def told(wildcards):
    """The studies that a report tells of; one that this run does not make is as it was when it was run."""
    names = publication.told_together(study_of(wildcards))
    return [
        STUDIES[name] if name in STUDIES else in_one_sentence(publication.finished, name, names[0]) for name in names
    ]


def told_of(wildcards):
    """The evidence on all of them; of one that this run does not make, it must be there."""
    own, *others = told(wildcards)
    found = evidence(own)
    for study in others:
        name, paths = study["study"], evidence(study)
        found += paths if name in STUDIES else in_one_sentence(publication.all_there, paths, name, own["study"])
    return found


def told_modules(wildcards):
    """The registered modules whose words a report shows."""
    return publication.shown_modules(told(wildcards))


def told_readers(wildcards):
    """The readers of the data that these studies are about."""
    return sorted({DATASETS[study["dataset"]["kind"]] for study in told(wildcards)})


def told_folders(wildcards):
    """The folders of these studies, as a script's options."""
    return " ".join(f"--results results/{name}" for name in publication.told_together(study_of(wildcards)))


def words(wildcards):
    """The files of the author's own words."""
    return publication.words(study_of(wildcards))


def words_option(wildcards, input):
    """Their folder as a script's option."""
    return f"--words {shlex.quote(study_of(wildcards)['report']['words'])}" if input.words else ""


def own_template(wildcards):
    """The user's own template of the paper."""
    return publication.template(study_of(wildcards))


def packed(wildcards):
    """What an archive is made of: its study, what is told and drawn of others, and what people wrote."""
    study, others = study_of(wildcards), told(wildcards)[1:]
    drawn = [path for other in others for path in figures(f"results/{other['study']}/figures", figures_of(other))]
    written = [*rating_files(wildcards.study), *publication.words(study)]
    return [*delivered(wildcards.study), *told_of(wildcards), *drawn, *written]
