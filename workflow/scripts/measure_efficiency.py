"""Measure the size, memory, latency, throughput and energy of one checkpoint, once; nothing else may run beside it."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from bitbudget import cli, files, records, registry
from bitbudget.errors import UserError
from bitbudget.items import available

log = logging.getLogger("bitbudget")

SPEC = (
    "study", "track", "model", "precision", "condition", "seed", "repeat", "family", "simulated", "prompt",
    "prompt_template", "max_side", "images.max_tokens", "images.enlarge", "shots", "bos", "generation.num_beams",
    "measure", "device",
)  # fmt: skip

Spec = dict[str, Any]

# What is absent for a simulated format, with unit and direction.
COSTS = {
    "size_on_disk": ("MB", False),
    "weights_in_memory": ("MB", False),
    "peak_memory": ("MB", False),
    "latency": ("s", False),
    "prefill_rate": ("tokens/s", True),
    "decode_rate": ("tokens/s", True),
    "energy_per_item": ("J", False),
}


def main() -> None:
    """Measure, or say for a simulated precision why there is nothing to measure, and write the record."""
    parser = cli.parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--audit", type=Path, required=True, help="audit.json")
    parser.add_argument("--subset", type=Path, required=True, help="subset.json")
    parser.add_argument("--items", type=Path, required=True, help="items.jsonl")
    parser.add_argument("--images", type=Path, help="images.json, for a track with images")
    available.add_shots_arguments(parser)
    cli.spec(parser, SPEC)
    parser.add_argument("--out", type=Path, required=True, help="repeat-{k}.json")
    args = parser.parse_args()

    from bitbudget.measuring import repeat

    spec, began_at = args.spec, repeat.now()
    audit = files.read_json(args.audit)
    hashes = repeat.hashes(args.audit, args.subset)
    if spec["simulated"]:
        formats = ", ".join(spec["simulated"])
        reason = f"{formats} is simulated: its values are rounded, but stored and multiplied as floats."
        costs = COSTS | {f"token_rate_{size}": ("tokens/s", True) for size in spec["measure"]["batch_sizes"]}
        costs |= {f"decode_rate_at_{length}": ("tokens/s", True) for length in spec["measure"].get("context", [])}
        metrics = {name: records.absent(reason, unit, higher_is_better=up) for name, (unit, up) in costs.items()}
        repeat.write(args.out, spec, hashes, metrics, {}, began_at)
        log.info("nothing to measure: %s", reason)
        return
    metrics, circumstances = _measured(args, spec, audit)
    repeat.write(args.out, spec, hashes, metrics, circumstances, began_at)
    log.info("median latency %.1f ms at batch 1", 1000 * metrics["latency"]["value"])


def _measured(args: argparse.Namespace, spec: Spec, audit: Spec) -> tuple[Spec, Spec]:
    """All metrics, and the circumstances under which they were measured."""
    from bitbudget.measuring import energy, nvml

    earlier = nvml.processes_by_gpu()  # before torch can make a context, which NVML would list
    looked_up = energy.look_up_processor()  # while torch is imported
    import torch

    from bitbudget.measuring import context, efficiency, machine, own_times
    from bitbudget.measuring.phases import PhaseTimer
    from bitbudget.models import checkpoint
    from bitbudget.models.audit import audited
    from bitbudget.models.families import parts
    from bitbudget.runtimes.transformers import generation, prompts
    from bitbudget.system.devices import choose_device
    from bitbudget.system.quiet import quiet_libraries

    quiet_libraries()
    device = choose_device(spec["device"])
    plan = spec["measure"]
    circumstances = machine.circumstances(device, plan["busy_gpu"], earlier, plan["min_seconds"])
    circumstances |= {"device": device, "threads": torch.get_num_threads(), "kernels": audited.kernels(audit)}
    family = registry.module_of("family", spec["family"])
    made = checkpoint.manifest(args.checkpoint)
    items = available.usable_items(args.items, args.images)[: plan["items"]]
    model = checkpoint.load(args.checkpoint, family, device)
    if "bos" in spec:  # a model that only reads
        processor, inputs_of, shortened = prompts.of_texts(args.checkpoint, spec, model, items, device)
        circumstances["shortened"] = shortened
    else:
        shots = available.usable_shots(args.shots, args.shot_images, spec["shots"])
        dtype = getattr(torch, made["dtype"])
        processor, inputs_of, _ = prompts.of_images(args.checkpoint, model, family, spec, shots, device, dtype)
    beams = spec["generation"]["num_beams"]
    steps = _steps(model, plan, beams, device)
    whole, first = (generation.decoding(model, processor, tokens, tokens, beams) for tokens in (plan["new_tokens"], 1))

    def prepare(numbers: list[int]) -> Any:
        return inputs_of([items[k] for k in numbers])

    @torch.inference_mode()
    def generate(given: Any, how: Any = whole) -> Any:
        generation.check_length(model, given, how)
        return model.generate(**given, generation_config=how, **(steps.given(given, how) if steps else {}))

    @torch.inference_mode()
    def cached(given: Any) -> Any:
        return model.generate(**given, generation_config=whole, return_dict_in_generate=True)

    timer = PhaseTimer(model, parts.vision_modules(family, model), device)
    subject = efficiency.Efficiency(
        timer, prepare, generate, lambda given: generate(given, first), len(items), plan, device, spec["repeat"]
    )
    if looked_up:
        looked_up.join()
    cold = subject.cold()
    metrics = {}
    if hasattr(model, "make_room"):
        longest = max(generation.read_tokens(prepare([k]))[0] for k in range(len(items)))
        model.make_room(longest + plan["new_tokens"], max(1, *plan["batch_sizes"]))
    if steps:
        from bitbudget.measuring import compiling

        lengths = [prepare([k])["attention_mask"].shape[1] for k in range(len(items))]
        batches = compiling.longest_first(lengths, plan["batch_sizes"])
        compiled = compiling.begin(steps, lambda numbers: generate(prepare(numbers)), batches)
        circumstances["compiled"] = compiled.circumstances()
        metrics["latency_compile"] = _compile_metric(compiled.seconds, compiled.remark)
    elif plan.get("compile"):
        remark = "llama.cpp runs its decoder, which torch cannot compile, so it was measured as it is."
        circumstances["compiled"] = {"decoder": False, "same_answers": None, "remark": remark}
        metrics["latency_compile"] = _compile_metric(None, remark)
    metrics |= subject.memory()
    circumstances["warm_up"] = subject.warm_up().record()
    source, no_source = energy.choose_source(device)
    metrics |= efficiency.measure(subject, cold, source, no_source)
    if hasattr(model, "own_times"):
        circumstances["own_times"] = own_times.compare(timer, model, lambda: prepare([0]), generate)
    given = prepare([0])
    prompt_tokens = int(given["attention_mask"].sum())
    metrics["cache_memory"] = context.cache_memory(lambda: cached(given), prompt_tokens, plan["new_tokens"])
    if lengths := plan.get("context", []):
        words = generation.words_of(processor, given)
        metrics |= context.decode_rates(timer, generate, words, lengths, plan["min_seconds"], device)
    circumstances |= machine.afterwards(device, earlier)
    for name, held in (
        ("size_on_disk", made["size_on_disk_bytes"]),
        ("weights_in_memory", audit["weights_bytes_in_memory"]),
    ):
        metrics[name] = records.metric(held / 1e6, "MB", higher_is_better=False, n=1, bytes=held)
    return metrics, circumstances


def _steps(model: Any, plan: Spec, beams: int, device: str) -> Any:
    """What runs the decoder compiled, once it is begun; None where nobody asks for it, or where torch runs none."""
    if not plan.get("compile") or not hasattr(model, "get_decoder"):
        return None
    from bitbudget.measuring import compiling

    compiling.require_compiler(device)
    if beams > 1:
        raise UserError("`measure.compile` takes greedy decoding alone: set `generation.num_beams` to 1, or leave it.")
    return compiling.Steps(model, device)


def _compile_metric(seconds: float | None, remark: str | None) -> Spec:
    from bitbudget.measuring import quantities

    if seconds is None:
        return records.absent(remark, "s", higher_is_better=False)
    return quantities.once([seconds], "s")


if __name__ == "__main__":
    cli.run(main)
