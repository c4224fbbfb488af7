"""Count the floating-point operations of an answer of the baseline; its precisions do the same multiplications."""

from __future__ import annotations

import logging
from pathlib import Path

from bitbudget import cli, files, records, registry
from bitbudget.items import available

log = logging.getLogger("bitbudget")

SPEC = (
    "study", "track", "model", "precision", "condition", "seed", "family", "prompt", "prompt_template", "max_side",
    "images.max_tokens", "images.enlarge", "shots", "bos", "generation.num_beams", "measure.items",
    "measure.new_tokens", "device",
)  # fmt: skip

ITEMS = 8  # of those that are measured; answers differ by the lengths of their prompts alone


def main() -> None:
    """Answer the first measured items one by one, as measure_efficiency does, and write what was counted."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the baseline's checkpoint")
    parser.add_argument("--audit", type=Path, required=True, help="audit.json")
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, help="images.json, for a track with images")
    available.add_shots_arguments(parser)
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="flops.json")
    args = parser.parse_args()

    import torch
    from tqdm import tqdm

    from bitbudget.measuring import flops
    from bitbudget.models import checkpoint
    from bitbudget.models.families import parts
    from bitbudget.runtimes.transformers import generation, prompts
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    spec = args.spec
    device = choose_device(spec["device"])
    family = registry.module_of("family", spec["family"])
    made = checkpoint.manifest(args.checkpoint)
    plan = spec["measure"]
    items = available.usable_items(args.items, args.images)[: plan["items"]][:ITEMS]
    model = checkpoint.load(args.checkpoint, family, device)
    if "bos" in spec:  # a model that only reads
        processor, prepare, _ = prompts.of_texts(args.checkpoint, spec, model, items, device)
    else:
        shots = available.usable_shots(args.shots, args.shot_images, spec["shots"])
        dtype = getattr(torch, made["dtype"])
        processor, prepare, _ = prompts.of_images(args.checkpoint, model, family, spec, shots, device, dtype)
    tokens, beams = plan["new_tokens"], spec["generation"]["num_beams"]
    how = generation.decoding(model, processor, tokens, tokens, beams)
    answers, seeing = [], parts.vision_modules(family, model)
    for item in tqdm(items, desc="count", unit="item"):
        given = prepare([item])
        generation.check_length(model, given, how)
        answers.append(flops.count(model, seeing, lambda given=given: model.generate(**given, generation_config=how)))

    identity = {key: spec[key] for key in ("study", "model", "precision", "condition", "seed")}
    body = {
        "checkpoint_hash": files.read_json(args.audit)["checkpoint_hash"],
        "subset_hash": files.read_json(args.subset)["subset_hash"],
        "new_tokens": plan["new_tokens"],
        "convention": flops.CONVENTION,
        "operators": flops.by_operator(answers),
        "not_counted": {},
        "metrics": flops.metrics(answers, sees=bool(seeing)),
    }
    records.write(args.out, "flops", identity, body)
    found = {name: metric["value"] for name, metric in body["metrics"].items()}
    parts = ", ".join(f"{name.removeprefix('flops_')} {found[name] / 1e9:.3g}" for name in found if "_per_" not in name)
    log.info("%.4g GFLOPs an answer of %d tokens (%s)", found["flops_per_item"] / 1e9, plan["new_tokens"], parts)


if __name__ == "__main__":
    cli.run(main)
