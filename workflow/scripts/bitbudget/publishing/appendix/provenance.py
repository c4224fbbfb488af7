"""What the records say of how they were made: machines, package versions, commits, dates and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitbudget.telling.evidence import Evidence

Record = Mapping[str, Any]

MEASURING = "measuring"
# What makes two jobs' machines one: threads are a choice of the job, not of the machine.
_MACHINE = ("cpu", "cores", "memory_mib", "system", "gpus")


@dataclass(frozen=True)
class Made:
    """How one record was made."""

    step: str
    study: str
    provenance: Record


def of_study(evidence: Evidence) -> list[Made]:
    """How each record that the report reads was made, those of measuring first."""
    found = [Made(step, evidence.name, record["provenance"]) for step, record in _records(evidence)]
    return sorted(found, key=lambda made: made.step != MEASURING)


def _records(evidence: Evidence) -> Iterator[tuple[str, Record]]:
    yield "choosing items", evidence.subset
    yield from (("quantizing", record) for record in evidence.checkpoints.values() if "provenance" in record)
    yield from (("auditing", record) for record in evidence.audits.values())
    for record in evidence.measurements.values():
        # the record itself is put together, perhaps elsewhere, from what its repeats measured
        repeats = [one for one in record.get("repeats", []) if "provenance" in one]
        yield from ((MEASURING, one) for one in repeats or [record])
    yield from (("answering", record) for record in evidence.predictions.values())
    yield from (("scoring", record) for record in (*evidence.scores.values(), evidence.blind))
    yield from (("comparing", record) for record in (evidence.comparison, evidence.verdicts))
    told = [record for record in (evidence.inspection, evidence.examples) if record and "provenance" in record]
    yield from (("inspecting", record) for record in told)


def machines(made: Sequence[Made]) -> list[tuple[Record, list[str]]]:
    """Each machine with the steps that were done on it, in the order in which they come."""
    found: dict[str, tuple[Record, list[str]]] = {}
    for one in made:
        hardware = one.provenance["hardware"]
        key = repr([hardware.get(name) for name in _MACHINE])
        steps = found.setdefault(key, (hardware, []))[1]
        if one.step not in steps:
            steps.append(one.step)
    return list(found.values())


def machine_in_words(hardware: Record) -> str:
    """ "AMD EPYC, 2 cores, 24105 MiB (23.5 GiB) RAM; no GPU; Linux…"; what a record does not say is called unknown."""
    cores = hardware.get("cores")
    memory = hardware.get("memory_mib")
    parts = [
        hardware.get("cpu") or "processor unknown",
        "number of cores unknown" if cores is None else f"{cores} core{'s' * (cores != 1)}",
        "RAM unknown" if memory is None else f"{memory} MiB ({memory / 1024:.1f} GiB) of RAM",
    ]
    return "; ".join([", ".join(parts), _gpus(hardware.get("gpus")), hardware.get("system") or "system unknown"])


def _gpus(gpus: Sequence[Record] | None) -> str:
    if gpus is None:
        return "whether it has a GPU is unknown"
    counted: dict[str, int] = {}
    for gpu in gpus:
        memory = f", {gpu['memory_mib']} MiB" if "memory_mib" in gpu else ""
        name = f"{gpu.get('name', 'GPU of unknown name')}{memory}, driver {gpu.get('driver') or 'unknown'}"
        counted[name] = counted.get(name, 0) + 1
    named = [f"{count} times {name}" if count > 1 else name for name, count in counted.items()]
    return f"GPU: {', '.join(named)}" if named else "GPU: none"


def threads(made: Sequence[Made], measurements: Iterable[Record]) -> str:
    """How many threads the answers were measured with, and how many OpenMP was given in all."""
    used = sorted({count for one in measurements if (count := one.get("circumstances", {}).get("threads"))})
    given = sorted({str(one.provenance["hardware"].get("threads") or "not set") for one in made})
    measured = f"{' and '.join(map(str, used))} while measuring" if used else "not recorded while measuring"
    return f"{measured}; OMP_NUM_THREADS {' and '.join(given)}"


def software(provenance: Record) -> dict[str, str]:
    """The versions of all that a record was made with."""
    return provenance["packages"] | {key: provenance[key] for key in ("snakemake",) if key in provenance}


def packages(made: Sequence[Made]) -> list[str]:
    """Each package, and Snakemake, with its version; where steps had different ones, each version with its steps."""
    versions: dict[str, dict[str, list[str]]] = {}
    for one in made:
        for name, version in software(one.provenance).items():
            steps = versions.setdefault(name, {}).setdefault(version, [])
            if one.step not in steps:
                steps.append(one.step)
    lines = []
    for name in sorted(versions, key=lambda name: (name != "python", name)):
        found = versions[name]
        told = [v if len(found) == 1 else f"{v} ({', '.join(steps)})" for v, steps in found.items()]
        lines.append(f"{name} {' / '.join(told)}")
    return lines


def commits(made: Sequence[Made]) -> list[str]:
    """The workflow's commits; where there are several, each with its studies (of several), and the steps of a study
    that has more than one."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in made:
        studies = found.setdefault(one.provenance.get("commit") or "unknown (outside a git checkout)", {})
        steps = studies.setdefault(one.study, [])
        if one.step not in steps:
            steps.append(one.step)
    many = len({one.study for one in made}) > 1
    if len(found) == 1:
        return list(found)
    return [
        f"{commit} ({'; '.join(_done(study, steps, found, many) for study, steps in studies.items())})"
        for commit, studies in found.items()
    ]


def _done(study: str, steps: Sequence[str], found: Mapping[str, Mapping[str, Any]], many: bool) -> str:
    """What a commit did of a study: all of it, or some steps."""
    if not many:
        return ", ".join(steps)
    alone = sum(study in studies for studies in found.values()) == 1
    return study if alone else f"{study}: {', '.join(steps)}"


def dates(made: Sequence[Made]) -> tuple[str, str]:
    """When the first and the last record was finished, to the minute, as the records' own clocks say."""
    finished = sorted(one.provenance["finished"] for one in made)
    return tuple(f"{when[:10]} {when[11:16]} {when[19:]}".strip() for when in (finished[0], finished[-1]))


def seconds(made: Sequence[Made]) -> dict[str, tuple[int, float]]:
    """For each step the number of its jobs and the seconds that they took together."""
    found: dict[str, tuple[int, float]] = {}
    for one in made:
        jobs, total = found.get(one.step, (0, 0.0))
        found[one.step] = (jobs + 1, total + one.provenance["seconds"])
    return found


def duration(total: float) -> str:
    """Seconds as people say them: "41 s", "12 min", "3 h 5 min"."""
    if total < 1:
        return "under 1 s"
    if total < 100:
        return f"{total:.0f} s"
    minutes = round(total / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
