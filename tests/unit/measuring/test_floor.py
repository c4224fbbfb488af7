"""The least time of a phase and the share of it that is reached, against numbers worked out by hand."""

from __future__ import annotations

import copy

import pytest
import torch

from bitbudget import records
from bitbudget.measuring import floor, machine_probe

HARDWARE = {"cpu": "Abacus 9", "gpus": []}
CIRCUMSTANCES = {"device": "cpu", "threads": 1, "load_before": 0.2, "cores": 2}


def metric(value, unit="s", **more):
    return records.metric(value, unit, higher_is_better=False, n=3, **more)


def layer(path, group, found, size, count=1000):
    return {"path": path, "group": group, "found": found, "storage": "x", "parameters": count, "bytes": size}


def other(path, group, size, dimensions=1, storage="bfloat16"):
    return {"path": path, "group": group, "storage": storage, "parameters": 10, "bytes": size, "dimensions": dimensions}


@pytest.fixture
def known():
    """A model of 30 MB of language, 10 MB of head, 8 MB of tower, on a machine of 20 GB/s."""
    measured = {
        "metrics": {
            "latency": metric(1.0),
            "decode_per_token": metric(0.004, ci=(0.0032, 0.005)),
            "latency_prefill": metric(0.08),
            "latency_vision": metric(0.5),
        },
        "circumstances": CIRCUMSTANCES,
        "repeats": [{"circumstances": CIRCUMSTANCES, "provenance": {"hardware": HARDWARE}}],
    }
    audit = {
        "layers": [
            layer("model.layers.0.q_proj", "language.attention", "bnb-nf4", 10_000_000),
            layer("model.layers.0.up_proj", "language.mlp", "bnb-nf4", 19_000_000),
            layer("lm_head", "head", "bfloat16", 10_000_000),
            layer("tower.0", "vision", "bnb-int8", 7_000_000),
            layer("connector", "projector", "bfloat16", 1_000_000),
        ],
        "other_parameters": [
            other("model.layers.0.norm", "language", 1_000_000),
            other("model.embed_tokens", "embeddings", 9_000_000, 2),
        ],
    }
    rates = {"float32": 100.0, "bfloat16": 50.0, "float16": None, "int8": 200.0}
    machine = {
        "study": "s",
        "metrics": {
            "read_bandwidth": records.metric(20.0, "GB/s", higher_is_better=True, n=9),
            **{
                f"matrix_rate_{name}": records.absent("no kernel.", "GFLOP/s", higher_is_better=True)
                if rate is None
                else records.metric(rate, "GFLOP/s", higher_is_better=True, n=9)
                for name, rate in rates.items()
            },
        },
        "circumstances": CIRCUMSTANCES,
        "provenance": {"hardware": HARDWARE},
    }
    flops = {"metrics": {"flops_prefill": metric(2e9, "FLOPs"), "flops_vision": metric(2e10, "FLOPs")}}
    return measured, audit, machine, flops


def test_a_decoded_token_reads_the_weights_that_it_passes(known):
    found = floor.metrics(*known)
    # 30 + 10 MB at 20 GB/s are 2 ms, half of the 4 ms that were measured; one row of the embeddings is nothing
    assert found["floor_decode"]["value"] == pytest.approx(0.002)
    assert found["floor_decode"]["bytes"] == 40_000_000
    share = found["share_of_floor_decode"]
    assert share["value"] == pytest.approx(0.5) and share["ci"] == pytest.approx([0.4, 0.625])


def test_prefill_and_vision_take_their_operations_in_the_type_of_the_format(known):
    found = floor.metrics(*known)
    # NF4 is multiplied in the model's bfloat16: 2 GFLOP at 50 GFLOP/s, which is longer than reading 40 MB
    assert found["floor_prefill"]["value"] == pytest.approx(0.04)
    assert found["share_of_floor_prefill"]["value"] == pytest.approx(0.5)
    assert (found["floor_prefill"]["bound"], found["floor_prefill"]["computes_in"]) == ("arithmetic", ["bfloat16"])
    # the tower is in int8 and the projector in bfloat16: the faster of both bounds what they take together
    assert found["floor_vision"]["value"] == pytest.approx(0.1)
    assert found["share_of_floor_vision"]["value"] == pytest.approx(0.2)


def test_a_short_prompt_is_bound_by_the_reading_of_the_weights(known):
    known[3]["metrics"]["flops_prefill"] = metric(1e7, "FLOPs")
    found = floor.metrics(*known)["floor_prefill"]
    assert (found["value"], found["bound"]) == (pytest.approx(0.002), "memory")


def test_a_tied_head_multiplies_with_the_embeddings(known):
    measured, audit, machine, flops = known
    audit["layers"][2] |= {"parameters": 0, "bytes": 0}
    audit["other_parameters"].append(other("model.embed_positions", "embeddings", 5_000_000, 2))
    assert floor.metrics(measured, audit, machine, flops)["floor_decode"]["bytes"] == 39_000_000
    del audit["layers"][2]  # as where the audit names no head at all
    assert floor.metrics(measured, audit, machine, flops)["floor_decode"]["bytes"] == 39_000_000


def test_a_matrix_of_another_type_in_a_gguf_file_is_of_the_files_format(known):
    for row, found in zip(known[1]["layers"][:3], ("gguf-q4_k_m", "gguf Q6_K", "gguf Q6_K"), strict=True):
        row |= {"found": found, "asked": "gguf-q4_k_m"}
    found = floor.metrics(*known)
    assert (found["floor_prefill"]["formats"], found["floor_prefill"]["rate"]) == (["gguf-q4_k_m"], 200.0)


def test_the_cache_is_read_as_well(known):
    known[0]["metrics"]["cache_memory"] = metric(4.0, "MB", bytes=4_000_000, positions=100, new_tokens=50)
    found = floor.metrics(*known)["floor_decode"]
    assert (found["cache_bytes"], found["bytes"]) == (3_000_000, 43_000_000)


def test_an_encoder_is_not_read_for_a_decoded_token(known):
    measured, audit, machine, flops = known
    audit["layers"][0]["path"], audit["layers"][1]["path"] = "t5.encoder.0.q", "t5.decoder.0.q"
    assert floor.metrics(measured, audit, machine, flops)["floor_decode"]["bytes"] == 30_000_000
    assert floor.weights_of("prefill", audit).bytes == 40_000_000


def test_what_is_not_known_is_absent_with_its_reason(known):
    measured, audit, machine, flops = known
    experts = copy.deepcopy(audit)
    experts["layers"][0]["path"] = "model.layers.0.mlp.experts.3.up_proj"
    found = floor.metrics(measured, experts, machine, flops)
    assert "only some of the experts" in found["floor_decode"]["absent"] == found["share_of_floor_decode"]["absent"]
    audit["layers"][3]["found"], audit["layers"][4]["found"] = "float16", "float16"
    assert floor.metrics(measured, audit, machine, flops)["floor_vision"]["absent"] == "no kernel."
    assert "were not counted" in floor.metrics(measured, audit, machine, {"metrics": {}})["floor_prefill"]["absent"]
    simulated = {"metrics": {"latency": records.absent("simulated.", "s", higher_is_better=False)}}
    found = floor.metrics(simulated, audit, machine, flops)
    assert {one["absent"] for one in found.values()} == {"simulated."} and "floor_vision" not in found


def test_a_probe_of_another_machine_is_no_floor(known):
    measured, audit, machine, flops = known
    machine["circumstances"] = CIRCUMSTANCES | {"threads": 2}
    said = floor.metrics(measured, audit, machine, flops)["floor_decode"]["absent"]
    assert "Abacus 9, cpu, 2 threads where this was measured on Abacus 9, cpu, 1 thread: delete" in said


def test_a_probe_of_a_loaded_machine_is_no_floor(known):
    known[2]["circumstances"] = CIRCUMSTANCES | {"load_before": 3.0}
    found = floor.metrics(*known)
    assert found.keys() == {f"{name}_{phase}" for name in ("floor", "share_of_floor") for phase in floor.MEASURED}
    assert all("was loaded when it was probed (3.0 jobs on 2 cores)" in one["absent"] for one in found.values())


def test_the_probe_gives_plausible_figures(monkeypatch):
    monkeypatch.setattr(machine_probe, "SECONDS", {"read": 0.05, "multiply": 0.01})
    monkeypatch.setattr(machine_probe, "BUFFER", {"cpu": 2**22})
    monkeypatch.setattr(machine_probe, "COMPUTE_TYPES", ("float32", "int8"))
    monkeypatch.setattr(machine_probe, "last_cache", lambda device: None)
    found = machine_probe.probe("cpu")
    assert 0.1 < found["read_bandwidth"]["value"] < 10_000 and found["read_bandwidth"]["bytes"] == 2**22
    assert 0.1 < found["matrix_rate_float32"]["value"] < 1e6 and found["matrix_rate_int8"]["unit"] == "GFLOP/s"


def test_a_type_that_torch_cannot_multiply_is_absent(monkeypatch):
    def refuse(*_):
        raise NotImplementedError("not implemented for 'Half'")

    monkeypatch.setattr(torch.nn.functional, "linear", refuse)
    found = machine_probe._rate("float16", "cpu")
    assert found["absent"] == "torch cannot multiply float16 here (not implemented for 'Half')."
