"""Measure the size, memory, latency, throughput and energy of one checkpoint; nothing else may run beside it."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from bitbudget import cli, files, inputs, records, registry

log = logging.getLogger("bitbudget")

Spec = dict[str, Any]
MakesInputs = Callable[[list[Spec]], Any]

# What is absent for a simulated format, with unit and direction.
COSTS = {
    "size_on_disk": ("MB", False),
    "weights_in_memory": ("MB", False),
    "peak_memory": ("MB", False),
    "latency": ("s", False),
    "prefill_rate": ("tokens/s", True),
    "decode_rate": ("tokens/s", True),
    "energy_per_item": ("J", False),
    "carbon_per_item": ("g CO2e", False),
}


def main() -> None:
    """Measure, or say for a simulated precision why there is nothing to measure, and write the record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--audit", type=Path, required=True, help="audit.json")
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, help="images.json, for a track with images")
    inputs.add_shots_arguments(parser)
    parser.add_argument("--spec", type=cli.json_argument, required=True, help="the rule's part of the study as JSON")
    parser.add_argument("--out", type=Path, required=True, help="measurements.json")
    args = parser.parse_args()

    spec = args.spec
    audit = files.read_json(args.audit)
    identity = {key: spec[key] for key in ("study", "model", "precision", "condition", "seed")}
    hashes = {
        "checkpoint_hash": audit["checkpoint_hash"],
        "subset_hash": files.read_json(args.subset)["subset_hash"],
    }
    if spec["simulated"]:
        formats = ", ".join(spec["simulated"])
        reason = f"{formats} is simulated: its values are rounded, but stored and multiplied as floats."
        costs = COSTS | {f"token_rate_{size}": ("tokens/s", True) for size in spec["measure"]["batch_sizes"]}
        metrics = {name: records.absent(reason, unit, higher_is_better=up) for name, (unit, up) in costs.items()}
        records.write(args.out, "measurements", identity, hashes | {"metrics": metrics, "circumstances": {}})
        log.info("nothing to measure: %s", reason)
        return
    metrics, circumstances = _measured(args, spec, audit)
    body = hashes | {"metrics": metrics, "circumstances": circumstances}
    records.write(args.out, "measurements", identity, body)
    log.info("median latency %.1f ms at batch 1", 1000 * metrics["latency"]["value"])


def _measured(args: argparse.Namespace, spec: Spec, audit: Spec) -> tuple[Spec, Spec]:
    """All metrics, and the circumstances under which they were measured."""
    import torch

    from bitbudget import checkpoint, generation
    from bitbudget.devices import choose_device
    from bitbudget.measuring import efficiency, energy, footprint, machine
    from bitbudget.measuring.phases import PhaseTimer
    from bitbudget.quiet import quiet_libraries

    quiet_libraries()
    device = choose_device(spec["device"])
    circumstances = machine.circumstances(device) | {"device": device, "threads": torch.get_num_threads()}
    family = registry.module_of("family", spec["family"])
    made = checkpoint.manifest(args.checkpoint)
    plan = spec["measure"]
    items = inputs.usable_items(args.items, args.images)[: plan["items"]]
    model = checkpoint.load(args.checkpoint, family, device)
    if "bos" in spec:  # a model that only reads
        processor, prompts, shortened = _text_prompts(args, spec, model, items, device)
        circumstances["shortened"] = shortened
    else:
        processor, prompts = _image_prompts(args, spec, family, device, getattr(torch, made["dtype"]))
    how = generation.decoding(model, processor, plan["new_tokens"], plan["new_tokens"], spec["num_beams"])

    def prepare(numbers: list[int]) -> Any:
        return prompts([items[k] for k in numbers])

    @torch.inference_mode()
    def generate(given: Any) -> None:
        generation.check_length(model, given, how)
        model.generate(**given, generation_config=how)

    timer = PhaseTimer(model, family.VISION_MODULES, device)
    subject = efficiency.Efficiency(timer, prepare, generate, len(items), plan, device)
    cold = subject.cold()
    metrics = subject.memory()
    subject.warm_up()
    source, no_source = energy.choose_source(device, spec["carbon"]["country"])
    metrics |= efficiency.measure(subject, cold, source, no_source)
    metrics["carbon_per_item"] = footprint.carbon(metrics["energy_per_item"], **spec["carbon"])
    for name, held in (
        ("size_on_disk", made["size_on_disk_bytes"]),
        ("weights_in_memory", audit["weights_bytes_in_memory"]),
    ):
        metrics[name] = records.metric(held / 1e6, "MB", higher_is_better=False, n=1, bytes=held)
    return metrics, circumstances


def _image_prompts(
    args: argparse.Namespace, spec: Spec, family: ModuleType, device: str, dtype: Any
) -> tuple[Any, MakesInputs]:
    """The processor, and what makes model inputs of items: their images and what is asked of them."""
    from bitbudget import generation

    processor = generation.load_processor(args.checkpoint)
    shots = inputs.usable_shots(args.shots, args.shot_images, spec["shots"])
    return processor, lambda items: generation.prepare_items(
        processor, family, items, spec["prompt"], device, dtype, shots
    )


def _text_prompts(
    args: argparse.Namespace, spec: Spec, model: Any, items: list[Spec], device: str
) -> tuple[Any, MakesInputs, int]:
    """The tokenizer, what makes model inputs of items, and how many items are too long for the model's positions.

    The contexts go in, to be gone on with; the long ones lose their first tokens.
    """
    from bitbudget import generation, last_word

    tokenizer = generation.load_tokenizer(args.checkpoint)
    begin = last_word.beginning(tokenizer, spec["bos"])
    room = last_word.positions(model)
    if room is not None:
        room -= spec["measure"]["new_tokens"]

    def prompts(chosen: list[Spec], room: int | None = room) -> list[list[int]]:
        return last_word.contexts(tokenizer, begin, chosen, room)

    shortened = sum(a != b for a, b in zip(prompts(items), prompts(items, None), strict=True))
    return tokenizer, lambda chosen: last_word.padded(tokenizer, prompts(chosen), device), shortened


if __name__ == "__main__":
    cli.run(main)
