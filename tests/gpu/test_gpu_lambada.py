"""A language model on a CUDA GPU: GPTQ's weights on every kernel that this machine has (make test-gpu).

All kernels multiply with the same packed integers, so that quality must not depend on the kernel; speed may.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from checkouts import ROOT, copy_checkout, snakemake, write_study

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU on this machine")

MODEL = ROOT / "demo" / "models" / "demo-lm"
CELL = "results/kernels/demo-lm"
# ExLlamaV2 computes in float16 alone, and Marlin takes no zero points: so that all can run, the study has neither
# bfloat16 nor asymmetric grids.
BASELINE = "float16"
QUANTIZATION = {"group_size": 64, "symmetric": True, "damping": 0.05, "calibration": {"items": 64}}
KERNELS = [("gptq-4", kernel) for kernel in ("torch", "triton", "marlin", "machete", "exllamav2")]
KERNELS += [("gptq-8", kernel) for kernel in ("torch", "triton", "marlin")]
PLAIN = [BASELINE, "bnb-int8", "bnb-nf4", "rtn-4"]


def precision_of(name: str, kernel: str) -> str:
    return f"{name}-on-{kernel}"


def refusal(name: str, kernel: str) -> str | None:
    """Why this kernel cannot run the demo model here, in the format's own words, or None where it can."""
    from transformers import AutoConfig

    from bitbudget import registry
    from bitbudget.models import checkpoint, groups

    family, fmt = registry.module_of("family", "llama"), registry.format_of(name)
    options = {key: rule["default"] for key, rule in fmt.options.items()} | {"kernel": kernel}
    options |= {key: QUANTIZATION[key] for key in ("group_size", "symmetric", "damping")}
    reason = fmt.unusable(options, "cuda", getattr(torch, BASELINE))
    if reason:
        return reason
    assignment = groups.resolve({"language": {"format": name} | options}, family.GROUPS, {"format": BASELINE})
    with torch.device("meta"):
        model = family.model_class().from_config(AutoConfig.from_pretrained(MODEL))
    layers = [layer for layer in checkpoint.linear_layers(model, family, assignment) if layer.spec["format"] == name]
    shapes = {(layer.module.in_features, layer.module.out_features) for layer in layers}
    return next(filter(None, (fmt.refusal(*shape, options, "cuda") for shape in sorted(shapes))), None)


@pytest.fixture(scope="module")
def refusals() -> dict[tuple[str, str], str | None]:
    return {pair: refusal(*pair) for pair in KERNELS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, refusals: dict) -> Path:
    """The copy after a whole run on the GPU, with a precision for each kernel that can run."""
    checkout = copy_checkout(tmp_path_factory.mktemp("kernels"))
    able = [pair for pair, reason in refusals.items() if reason is None]
    path = checkout / "config" / "precisions.yaml"
    known = yaml.safe_load(path.read_text())
    known |= {precision_of(*pair): {"language": {"format": pair[0], "kernel": pair[1]}} for pair in able}
    path.write_text(yaml.safe_dump(known))
    study = yaml.safe_load((ROOT / "config/studies/demo-lambada.yaml").read_text())
    study |= {"study": "kernels", "device": "cuda", "baseline": BASELINE, "quantization": QUANTIZATION}
    study["precisions"] = [*PLAIN, *(precision_of(*pair) for pair in able)]
    study["dataset"]["subset"] = 200
    study["measure"] |= {"min_seconds": 6, "repeats": 2}  # the energy counter means nothing below 5 s
    write_study(checkout, study)
    run = snakemake(checkout, "--cores", "4", "--config", "study=kernels", timeout=2400)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-6000:]
    return checkout


def read(finished: Path, precision: str, name: str) -> dict:
    """A record of this precision: the audit of the checkpoint, or one of the only condition."""
    folder = finished / CELL / precision
    return json.loads((folder / name if name == "audit.json" else folder / "zero-shot" / name).read_text())


@pytest.fixture(params=KERNELS, ids=lambda pair: precision_of(*pair))
def ran(request: pytest.FixtureRequest, refusals: dict, finished: Path) -> tuple[str, str, str]:
    """Format, kernel and precision; skipped with the format's reason where the kernel cannot run here."""
    reason = refusals[request.param]
    if reason:
        pytest.skip(reason)
    return (*request.param, precision_of(*request.param))


def test_every_kernel_passes_its_audit_and_is_named(ran, finished):
    name, kernel, precision = ran
    audit = read(finished, precision, "audit.json")
    assert audit["passed"] and audit["device"] == "cuda"
    layers = [layer for layer in audit["layers"] if layer["found"] == name]
    assert layers
    word = {"torch": "torchlinear", "exllamav2": "exllamav2linear", "triton": "tritonv2linear"}.get(kernel, kernel)
    assert all(word in layer["kernel"].lower() for layer in layers), layers[0]["kernel"]


def test_no_kernel_changes_the_quality(ran, finished):
    """Of 200 passages; they differ in the order in which they add up, so single answers may."""
    name, _, precision = ran
    on_torch = read(finished, precision_of(name, "torch"), "scores.json")["metrics"]
    found = read(finished, precision, "scores.json")["metrics"]
    assert found["top_1"]["value"] == pytest.approx(on_torch["top_1"]["value"], abs=0.03)
    assert found["loss"]["value"] == pytest.approx(on_torch["loss"]["value"], abs=0.05)
    assert 0 < found["relative_logit_error"]["value"] < 1


def test_every_kernel_is_measured(ran, finished):
    _, _, precision = ran
    record = read(finished, precision, "measurements.json")
    found = record["metrics"]
    assert "latency_vision" not in found
    assert found["peak_memory"]["kind"] == "CUDA allocated"
    assert found["peak_memory"]["value"] >= 0.9 * found["weights_in_memory"]["value"]
    assert found["energy_per_item"]["how"] == "counter"
    for rate in ("prefill_rate", "decode_rate", "token_rate_1", "token_rate_8"):
        assert found[rate]["value"] > 0
    parts = [found[f"latency_{phase}"]["mean"] for phase in ("preprocessing", "prefill", "decode")]
    assert sum(parts) == pytest.approx(found["latency"]["mean"], rel=0.05)
    assert all(one["provenance"]["hardware"]["gpus"] for one in record["repeats"])


def test_eight_bits_keep_the_quality_and_the_table_names_the_kernels(finished, refusals):
    with (finished / "results/kernels/summary.csv").open(newline="") as file:
        table = {row["precision"]: row for row in csv.DictReader(file)}
    baseline = float(table[BASELINE]["top_1"])
    assert baseline > 0.5
    able = [precision_of(*pair) for pair, reason in refusals.items() if reason is None]
    for precision in ["bnb-int8", *(name for name in able if name.startswith("gptq-8"))]:
        assert float(table[precision]["top_1"]) > 0.95 * baseline
    assert all(table[precision]["kernels"] for precision in able)


def test_last_words_are_the_same_alone_and_in_a_batch_on_the_gpu(tmp_path: Path) -> None:
    """In float32; in 16 bits single ranks may differ."""
    from bitbudget import registry
    from bitbudget.datasets.demo.passages import passage
    from bitbudget.models import checkpoint
    from bitbudget.runtimes.transformers import generation, last_word

    family = registry.module_of("family", "llama")
    model = checkpoint.load_original(MODEL, family, "float32").to("cuda")
    tokenizer = generation.load_tokenizer(MODEL)
    begin, room = last_word.beginning(tokenizer, "auto"), last_word.positions(model)
    texts = [passage(seed).text.rsplit(" ", 1) for seed in range(16)]
    items = [{"id": str(k), "question": context, "references": [word]} for k, (context, word) in enumerate(texts)]
    passages = [last_word.encode(tokenizer, begin, item, room) for item in items]
    together = last_word.score(model, tokenizer, passages, "cuda", "float32")
    for one, (row, _) in zip(passages, together, strict=True):
        ((alone, _),) = last_word.score(model, tokenizer, [one], "cuda", "float32")
        assert (row.rank, row.greedy, row.text) == (alone.rank, alone.greedy, alone.text)
        assert row.logprob == pytest.approx(alone.logprob, abs=1e-3)
