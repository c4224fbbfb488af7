"""Made-up but plausible records of a study, for the tests of the summary and of the figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import synthetic_comparison

from bitbudget import records
from bitbudget.judging import summary
from bitbudget.telling import record
from bitbudget.tracks import detection, lambada

HASH = "a" * 64
PROVENANCE = {"hardware": {"cpu": "Abacus 9", "gpus": []}}
SIMULATED = "{} is simulated by rounding: it claims no size and no speed."
ALL_SIMULATED = "simulated by rounding: it claims no size and no speed."
NO_SPICE = "SPICE needs two jars that are not there; fetch them."
NO_COUNTER = "this machine has no energy counter that may be read; run as root or on a GPU."
# Per precision: bits a weight, CIDEr, speed against the baseline.
PRECISIONS: dict[str, tuple[float, float, float]] = {
    "float16": (16, 0.931, 1.0),
    "int8-language": (9.1, 0.928, 1.9),
    "int8-vision": (14.2, 0.930, 1.2),
    "int8-language-vision": (8.1, 0.925, 2.1),
    "nf4-language": (5.2, 0.902, 1.4),
    "torchao-int8": (8.2, 0.927, 0.9),
    "torchao-int4": (4.6, 0.893, 0.8),
    "rtn-2": (2, 0.231, math.nan),
    "rtn-3": (3, 0.842, math.nan),
    "bfloat16": (16, 0.929, 1.02),
    "nf4-all": (4.5, 0.871, 1.5),
    "gptq-4": (4.4, 0.905, 0.7),
}
# More of them with long names, the last one of a precision that is broken.
LONG_NAMES: dict[str, tuple[float, float, float]] = {
    "int8-language-attention-and-mlp": (9.4, 0.926, 1.8),
    "nf4-language-embeddings-projector": (5.0, 0.899, 1.3),
    "gptq-2-language-attention-and-mlp": (2.6, 0.051, 0.8),
}
# Those of a study of language models: bits a weight, top-1 accuracy, speed against the baseline.
LANGUAGE: dict[str, tuple[float, float, float]] = {
    "bfloat16": (16, 0.352, 1.0),
    "bnb-int8": (8.1, 0.351, 4.3),
    "torchao-int8": (8.2, 0.35, 1.1),
    "gptq-8": (8.3, 0.352, 2.2),
    "gptq-4": (4.3, 0.331, 2.4),
    "gptq-3": (3.3, 0.262, 2.9),
    "gptq-2": (2.3, 0.004, 2.5),
    "rtn-8": (8, 0.352, math.nan),
    "rtn-4": (4, 0.312, math.nan),
    "rtn-3": (3, 0.097, math.nan),
    "rtn-2": (2, 0.0, math.nan),
    "bnb-nf4": (4.5, 0.336, 1.8),
}
# Those of a study of detectors: bits a weight, AP, time against the baseline.
DETECTORS: dict[str, tuple[float, float, float]] = {
    "litert-float32": (32, 0.402, 1.0),
    "litert-float16": (16, 0.402, 1.01),
    "litert-int8": (8.1, 0.399, 1.04),
    "litert-int8-dynamic": (8.1, 0.391, 0.62),
    "litert-int8-full": (8.1, 0.312, 0.44),
    "litert-int4": (4.3, 0.347, 1.09),
    "litert-as-is": (32, 0.4, 1.02),
}
NO_WEIGHTS = "LiteRT does not tell how it unpacks weights; peak_memory is what the process took."
NO_SMALL = "no object is small (of an area below 32 x 32 pixels); a larger subset may have some."
KERNELS = {
    "litert": "FULLY_CONNECTED in XNNPACK",
    "gptq": "gptqmodel.TorchLinear",
    "bnb": "bitsandbytes.nn.Linear8bitLt",
    "rtn": "bitbudget.models.formats.Rounded",
}


# Per answer type and question type: number of questions, and what is added to the share of right answers.
TYPES: dict[str, dict[str, tuple[int, float]]] = {
    "answer_type": {"yes/no": (180, 0.08), "other": (150, -0.05), "number": (66, -0.12), "unanswerable": (4, 0.0)},
    "question_type": {
        name: (90 - 6 * i, 0.06 - 0.02 * i)
        for i, name in enumerate(
            [
                "how many", "is the", "what", "what color is the", "what is the", "are the", "is this a", "is there a",
                "none of the above", "what kind of", "does the", "what is on the", "why is the", "which",
            ]
        )
    },
}  # fmt: skip


def spec(
    models: list[str], precisions: list[str], conditions: list[str], note: str = "", track: str = "captioning"
) -> dict[str, Any]:
    return {
        "track": track,
        "primary": {"captioning": "CIDEr", "vqa": "vqa_accuracy", "lambada": "top_1", "detection": "AP"}[track],
        "spot_check": 0,
        "models": models,
        "precisions": precisions,
        "conditions": conditions,
        "baseline": precisions[0],
        "note": note,
    }


def told(
    folder: Path,
    spec: Mapping[str, Any],
    scores: Sequence[dict[str, Any]],
    measurements: Sequence[dict[str, Any]],
    audits: Sequence[dict[str, Any]],
    blind: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The record of verdicts of these records; summary.csv is left in the folder."""
    path = folder / "summary.csv"
    summary.summarize(spec, scores, measurements, audits).to_csv(path, index=False)
    asked = {"study": "synthetic", "accept": {"quality": 0.95, "prefer": "size"}, "demo": True, **spec}
    comparison = synthetic_comparison.of_scores(spec, scores)
    rows = record.read_summary(path)
    return record.body(asked, comparison, rows, measurements, scores, blind or {"metrics": {}})


def identity(model: str, precision: str, condition: str) -> dict[str, Any]:
    return {"model": model, "precision": precision, "condition": condition, "seed": 53, "checkpoint_hash": HASH} | {
        "study": "synthetic",
        "subset_hash": HASH,
    }


def scores(model: str, precision: str, condition: str) -> dict[str, Any]:
    cider = (PRECISIONS | LONG_NAMES)[precision][1] + (0.03 if condition == "4-shot" else 0)
    factors = {
        "BLEU-1": 0.8,
        "BLEU-2": 0.62,
        "BLEU-3": 0.47,
        "BLEU-4": 0.36,
        "ROUGE-L": 0.58,
        "METEOR": 0.3,
        "CIDEr": 1,
    }
    metrics = {
        name: records.metric(
            cider * f, "score", higher_is_better=True, n=200, ci=(cider * f * 0.965, cider * f * 1.035)
        )
        for name, f in factors.items()
    }
    del metrics["METEOR"]["ci"]  # it is not a mean over items
    metrics["SPICE"] = records.absent(NO_SPICE, "score", higher_is_better=True)
    return {"record": "scores", **identity(model, precision, condition), "primary": "CIDEr", "metrics": metrics}


def vqa_scores(model: str, precision: str, condition: str) -> dict[str, Any]:
    accuracy = 0.75 * (PRECISIONS | LONG_NAMES)[precision][1] + (0.03 if condition == "4-shot" else 0)

    def part(value: float, n: int) -> dict[str, Any]:
        value = min(max(value, 0.0), 1.0)
        half = 1.96 * (value * (1 - value) / n) ** 0.5
        ci = (max(value - half, 0.0), min(value + half, 1.0)) if n >= 10 else None
        return records.metric(value, "score", higher_is_better=True, n=n, ci=ci)

    # Quantization hurts reading and counting more than it hurts a yes or no.
    breakdown = {
        kind: {name: part(accuracy + more * (1 + (1 - accuracy)), n) for name, (n, more) in types.items()}
        for kind, types in TYPES.items()
    }
    metrics = {"vqa_accuracy": part(accuracy, 400), "exact_match": part(accuracy - 0.04, 400)}
    body = {"primary": "vqa_accuracy", "metrics": metrics, "breakdown": breakdown}
    return {"record": "scores", **identity(model, precision, condition), **body}


def vqa_blind() -> dict[str, Any]:
    def part(value: float, n: int) -> dict[str, Any]:
        return records.metric(value, "score", higher_is_better=True, n=n)

    parts = {
        kind: {name: part(max(0.35 + 2 * more, 0.1), n) for name, (n, more) in types.items()}
        for kind, types in TYPES.items()
    }
    body = {"text": "'yes' to every question", "metrics": {"vqa_accuracy": part(0.38, 400)}, "breakdown": parts}
    return {"record": "blind", "study": "synthetic", "primary": "vqa_accuracy", **body}


def lambada_scores(model: str, precision: str, condition: str, baseline: str = "bfloat16") -> dict[str, Any]:
    right = LANGUAGE[precision][1] * (1.0 if model == "m" else 1.3)
    loss = 2.1 + 8 * (0.46 - right) ** 1.2
    n = 1000

    def made(name: str, value: float, half: float, n: int = n) -> dict[str, Any]:
        about = lambada.METRICS[name]
        ci = (max(value - half, 0.0), value + half)
        return records.metric(value, about["unit"], higher_is_better=about["higher_is_better"], n=n, ci=ci)

    shares = {"top_1": right, "top_5": min(1.6 * right, 1), "top_10": min(1.8 * right, 1)}
    shares["last_word_accuracy"] = 0.93 * right
    metrics = {name: made(name, value, 1.96 * (value * (1 - value) / n) ** 0.5) for name, value in shares.items()}
    metrics["perplexity"] = made("perplexity", math.exp(loss), 0.0)
    metrics["perplexity"]["ci"] = [math.exp(loss - 0.12), math.exp(loss + 0.12)]
    metrics["loss"] = made("loss", loss, 0.12)
    error = made("relative_logit_error", 0.005 + 0.9 * (0.46 - right), 0.01, 32)
    if precision == baseline:
        error = records.absent("this is the baseline.", error["unit"], higher_is_better=False)
    metrics["relative_logit_error"] = error
    return {"record": "scores", **identity(model, precision, condition), "primary": "top_1", "metrics": metrics}


def lambada_blind() -> dict[str, Any]:
    values = {"top_1": 0.011, "top_5": 0.04, "top_10": 0.071, "last_word_accuracy": 0.011}
    values |= {"perplexity": 410.0, "loss": math.log(410)}
    metrics = {
        name: records.metric(value, "x", higher_is_better=lambada.METRICS[name]["higher_is_better"], n=1000)
        for name, value in values.items()
    }
    return {"record": "blind", "study": "synthetic", "primary": "top_1", "text": "'him' (11)", "metrics": metrics}


def detection_scores(model: str, precision: str, condition: str) -> dict[str, Any]:
    ap = DETECTORS[precision][1] * 1.1 ** "mno".index(model)
    factors = (1, 1.42, 1.07, 0, 1.12, 1.38, 0.82, 1.21, 1.28, 0, 1.31, 1.52)
    metrics = {}
    for (name, about), factor in zip(detection.METRICS.items(), factors, strict=True):
        value, half = ap * factor, 0.03 * factor
        ci = (value - half, value + half) if name in ("AP", "AP50", "AP75", "AR_100") else None
        metrics[name] = records.metric(value, about["unit"], higher_is_better=True, n=200, ci=ci)
        if not factor:
            metrics[name] = records.absent(NO_SMALL, about["unit"], higher_is_better=True)
    return {"record": "scores", **identity(model, precision, condition), "primary": "AP", "metrics": metrics}


def detection_blind() -> dict[str, Any]:
    metrics = {
        name: records.metric(0.011, "score", higher_is_better=True, n=200)
        for name in detection.METRICS
        if not name.endswith("small")
    }
    return {
        "record": "blind",
        "study": "synthetic",
        "primary": "AP",
        "text": "the best box",
        "metrics": metrics,
    }


def detection_measurements(model: str, precision: str, condition: str, *, size: float = 1.0) -> dict[str, Any]:
    bits, _, pace = DETECTORS[precision]

    def cost(value: float, unit: str, **more: Any) -> dict[str, Any]:
        return records.metric(value, unit, higher_is_better=False, n=60, **more)

    phases = {"preprocessing": 0.0061, "invoke": 0.0823 * pace * size, "postprocessing": 0.0017}
    total = 1.01 * sum(phases.values())
    throughput = records.metric(0.98 / total, "items/s", higher_is_better=True, n=3, ci=(0.95 / total, 1.01 / total))
    metrics = {f"latency_{name}": cost(value, "s", ci=(0.9 * value, 1.1 * value)) for name, value in phases.items()} | {
        "latency": cost(total, "s", ci=(0.97 * total, 1.06 * total), mean=1.02 * total, p95=1.1 * total),
        "latency_cold": cost(3 * total, "s"),
        "load_time": cost(0.031 * size, "s"),
        "throughput_1": throughput,
        "peak_memory": cost(120 + 2.1 * (32 + bits) * size, "MB", kind="resident set"),
        "size_on_disk": cost(1.3 * bits * size, "MB"),
        "weights_in_memory": records.absent(NO_WEIGHTS, "MB", higher_is_better=False),
        "energy_per_item": cost(
            0.91 * pace * size, "J", how="estimated", source="codecarbon", net=0.6 * pace * size, idle_watts=41.5,
            batch_size=1,
        ),
        "carbon_per_item": cost(0.00004 * pace, "g CO2e"),
    }  # fmt: skip
    taken = 180 if precision.endswith("full") else 231
    delegate = {"name": "XNNPACK", "operators": 233, "delegated": taken}
    body = {"metrics": metrics, "circumstances": {"device": "cpu", "threads": 2, "delegate": delegate}}
    return {"record": "measurements", **identity(model, precision, condition), **body, "provenance": PROVENANCE}


def token_rates(measured: dict[str, Any], new_tokens: int = 16) -> None:
    """Give a record of measurements the rates of tokens that every track has, in place."""
    metrics = measured["metrics"]
    if "value" not in metrics["latency"]:
        return
    pace = 1 / metrics["latency"]["value"]
    for name, value in (("prefill_rate", 900 * pace), ("decode_rate", 1.2 * new_tokens * pace)):
        ci = (0.97 * value, 1.04 * value)
        metrics[name] = records.metric(value, "tokens/s", higher_is_better=True, n=15, ci=ci)
    for size in (1, 8):
        rate, ci = metrics[f"throughput_{size}"]["value"] * new_tokens, None
        ci = (0.95 * rate, 1.05 * rate)
        metrics[f"token_rate_{size}"] = records.metric(rate, "tokens/s", higher_is_better=True, n=3, ci=ci)


def measurements(
    model: str,
    precision: str,
    condition: str,
    *,
    absent: bool = False,
    energy: bool = True,
    size: float = 1.0,
    memory: str = "resident set",
    vision: bool = True,
) -> dict[str, Any]:
    bits, _, slow = (PRECISIONS | LONG_NAMES if vision else LANGUAGE)[precision]
    slow *= 1.6 if condition == "4-shot" else 1.0

    def cost(value: float, unit: str, **more: Any) -> dict[str, Any]:
        return records.metric(value * size, unit, higher_is_better=False, n=32, **more)

    if absent or math.isnan(slow):
        gone = {
            name: records.absent(SIMULATED.format(precision), unit, higher_is_better=False)
            for name, unit in (
                ("size_on_disk", "MB"), ("weights_in_memory", "MB"), ("peak_memory", "MB"), ("latency", "s"),
                ("energy_per_item", "J"), ("carbon_per_item", "g CO2e"),
            )
        }  # fmt: skip
        body = {"metrics": gone, "circumstances": {}, "provenance": PROVENANCE}
        return {"record": "measurements", **identity(model, precision, condition), **body}
    phases = {"preprocessing": 0.012, "vision": 0.05 * slow, "prefill": 0.04 * slow, "decode": 0.25 * slow}
    if not vision:
        del phases["vision"]
    total = sum(phases.values()) * 1.02 * size
    raw = [total * f for f in (0.97, 0.98, 0.99, 1.0, 1.02, 1.04, 1.08)]
    metrics = {f"latency_{name}": cost(value, "s") for name, value in phases.items()} | {
        "latency": records.metric(
            total,
            "s",
            higher_is_better=False,
            n=7,
            raw=raw,
            p95=raw[-1],
            mean=sum(raw) / 7,
            ci=(raw[0], raw[-1]),
            mean_ci=[raw[2], raw[4]],
        ),
        "size_on_disk": cost(16.2 * bits, "MB"),
        "weights_in_memory": cost(16.0 * bits, "MB"),
        "peak_memory": cost(210 + 16.0 * bits, "MB", kind=memory),
        "latency_cold": cost(0.9, "s"),
        "decode_per_token": cost(0.25 * slow / 32, "s"),
        "throughput_1": records.metric(1 / total, "items/s", higher_is_better=True, n=32),
        "throughput_8": records.metric(4 / total, "items/s", higher_is_better=True, n=32),
        "energy_per_item": cost(
            9.0 * slow,
            "J",
            how="estimated",
            source="codecarbon",
            ci=(8.5 * slow * size, 9.6 * slow * size),
            net=6.0 * slow * size,
            idle_watts=41.5,
            batch_size=8,
        )
        if energy
        else records.absent(NO_COUNTER, "J", higher_is_better=False),
        "carbon_per_item": cost(0.0004 * slow, "g"),
    }
    body = {"metrics": metrics, "circumstances": {"device": "cpu", "threads": 2}, "provenance": PROVENANCE}
    return {"record": "measurements", **identity(model, precision, condition), **body}


def audit(model: str, precision: str) -> dict[str, Any]:
    bits = (LANGUAGE | PRECISIONS | LONG_NAMES | DETECTORS)[precision][0]
    groups = {
        "vision": {"format": "x", "bytes": int(1000 * bits / 8), "parameters": 1000, "relative_error": None},
        "language": {"format": "x", "bytes": int(3000 * bits / 8), "parameters": 3000, "relative_error": 0.01},
    }
    kernel = KERNELS.get(precision.split("-")[0])
    layers = [
        {
            "path": f"layers.{i}",
            "kernel": kernel or "torch.nn.functional.linear",
            "promised_error": 0.1 if kernel else None,
        }
        for i in range(2)
    ]
    layers.append({"path": "head", "kernel": "torch.nn.functional.linear", "promised_error": None})
    about = {name: value for name, value in identity(model, precision, "").items() if name != "condition"}
    return {
        "record": "audit",
        **about,
        "groups": groups,
        "layers": layers,
        "simulated": [precision] * precision.startswith("rtn"),
        "passed": True,
    }


def study(
    models: list[str], precisions: list[str], conditions: list[str], track: str = "captioning", **options: Any
) -> tuple[list, list, list]:
    """Scores, measurements and audits of every combination; each further model is three times the size."""
    keys = [(m, p, c) for m in models for p in precisions for c in conditions]
    scored = {"captioning": scores, "vqa": vqa_scores, "lambada": lambada_scores, "detection": detection_scores}[track]
    if track == "lambada":
        options = {"vision": False} | options
    timed = detection_measurements if track == "detection" else measurements
    measured = [timed(*key, size=3.0 ** models.index(key[0]), **options) for key in keys]
    if track == "lambada":
        for one in measured:
            token_rates(one)
    return [scored(*key) for key in keys], measured, [audit(m, p) for m in models for p in precisions]
