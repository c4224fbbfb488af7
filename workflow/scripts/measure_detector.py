"""Measure the size, memory, latency, throughput and energy of one detector, once; nothing else may run beside it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from bitbudget import cli, records

log = logging.getLogger("bitbudget")

SPEC = (
    "study",
    "model",
    "precision",
    "condition",
    "seed",
    "repeat",
    "measure",
    "detection.threads",
    "detection.score_threshold",
)

NO_WEIGHTS = "LiteRT does not tell how it unpacks weights; peak_memory is what the process took."


def main() -> None:
    """Measure the checkpoint on the first images of the study, and write the record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--audit", type=Path, required=True, help="audit.json")
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, required=True, help="images.json")
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="repeat-{k}.json")
    args = parser.parse_args()

    from bitbudget.measuring import energy, machine, quantities, repeat
    from bitbudget.measuring.detector import PHASES, DetectorSubject, measure
    from bitbudget.runtimes.litert import answers, classes
    from bitbudget.runtimes.litert.interpreter import Detector, manifest, threads_for

    spec = args.spec
    plan = spec["measure"]
    began_at = repeat.now()
    threads = threads_for(spec["detection"]["threads"])
    circumstances = machine.circumstances("cpu", window=plan["min_seconds"]) | {"device": "cpu", "threads": threads}
    made = manifest(args.checkpoint)
    pictures = list(answers.pictures(args.items, args.images).values())[: plan["items"]]
    began = time.perf_counter()
    detector = Detector(args.checkpoint, threads)
    load_time = time.perf_counter() - began
    circumstances["delegate"] = detector.delegates()
    evaluation, threshold = detector.spec["score_threshold"], spec["detection"]["score_threshold"]
    circumstances["score_threshold"] = {"measured": max(threshold, evaluation), "evaluation": evaluation}
    ids = classes.category_ids(detector.spec["classes"], answers.categories_of(args.subset))

    subject = DetectorSubject(detector, pictures, ids, plan, spec["repeat"], threshold)
    cold = subject.cold()
    metrics = subject.memory()
    circumstances["warm_up"] = subject.warm_up().record()
    source, no_source = energy.choose_source("cpu")
    metrics |= measure(subject, cold, source, no_source)
    circumstances |= machine.afterwards("cpu")
    metrics["load_time"] = quantities.once([load_time], "s")
    size = made["size_on_disk_bytes"]
    metrics["size_on_disk"] = records.metric(size / 1e6, "MB", higher_is_better=False, n=1, bytes=size)
    metrics["weights_in_memory"] = records.absent(NO_WEIGHTS, "MB", higher_is_better=False)
    repeat.write(args.out, spec, repeat.hashes(args.audit, args.subset), metrics, circumstances, began_at)
    shares = ", ".join(f"{phase} {1000 * metrics[f'latency_{phase}']['value']:.1f}" for phase in PHASES)
    log.info(
        "median latency %.1f ms an image (%s); %s", 1000 * metrics["latency"]["value"], shares, detector.runs_in_words()
    )
    at = circumstances["score_threshold"]
    took = 1000 * metrics["latency_postprocessing_evaluation"]["value"]
    said = "boxes above a score of %g; post-processing those above %g, as for the evaluation, takes %.1f ms"
    log.info(said, at["measured"], at["evaluation"], took)


if __name__ == "__main__":
    cli.run(main)
