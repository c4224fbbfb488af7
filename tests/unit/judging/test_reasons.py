"""Why a precision is faster or slower: what is judged of phases, formats and floors, and how that is said."""

from __future__ import annotations

import pytest

from bitbudget.judging import costs, reasons
from bitbudget.judging.costs import Relation
from bitbudget.telling import reasons as told

PHASES = ("preprocessing", "vision", "prefill", "decode")
TIMES = "\N{MULTIPLICATION SIGN}"
SLOWER, FASTER, SAME = Relation(costs.MORE, 1.5), Relation(costs.LESS, 0.5), Relation(costs.SAME_COST, 1.01)


def measured(times, formats, reach=0.46, rate=100.0, size=500.0, types=("float32",), vision="float32"):
    """The metrics of a measurement: seconds by phase, the formats of the language model, and what its floors say."""
    found = {f"latency_{phase}": {"value": seconds} for phase, seconds in zip(PHASES, times, strict=True)}
    about = {"formats": formats, "computes_in": list(types), "bytes": size, "value": 1.0, "bandwidth": 17.0}
    found["floor_decode"] = {"bound": "memory", **about}
    found["floor_prefill"] = {"bound": "arithmetic", "rate": rate, **about}
    found["floor_vision"] = {"bound": "arithmetic", "rate": 100.0, "formats": [vision], "computes_in": ["float32"]}
    found["share_of_floor_decode"] = {"value": reach}
    found["share_of_floor_prefill"] = {"value": 0.8}
    return found


BASE = measured((0.1, 0.2, 0.1, 0.6), ["float32"])


def said(relation, own, base=BASE):
    reason = reasons.explain(relation, own, base, PHASES)
    return reason.kind, told.sentence(reason, "float32")


def test_kernels_that_unpack_their_weights():
    own = measured((0.1, 0.2, 0.1, 1.2), ["bnb-nf4"], reach=0.07, size=80.0)
    kind, text = said(SLOWER, own)
    assert kind == reasons.UNPACKS
    assert text == (
        f"slower (1.50{TIMES}): decode, 60 % of float32's latency, takes 2.00{TIMES} the time, because its kernels "
        f"unpack weights to float32 at every product, so that reading 0.16{TIMES} the bytes does not pay; it reaches "
        "7 % of what the memory's bandwidth allows, float32 46 %"
    )


def test_integer_products_whose_inputs_are_rounded_as_they_come():
    own = measured((0.1, 0.2, 0.1, 1.2), ["bnb-int8"], reach=0.08, rate=240.0, size=140.0, types=["int8"])
    kind, text = said(SLOWER, own)
    assert kind == reasons.ROUNDS_INPUTS and "it multiplies in int8, to which its kernels round the inputs" in text


def test_a_type_that_the_machine_does_not_compute_in_natively():
    own = measured((0.1, 0.2, 0.6, 0.5), ["bfloat16"], rate=20.0, size=250.0, types=["bfloat16"])
    kind, text = said(SLOWER, own)
    assert kind == reasons.NOT_NATIVE
    assert f"no fast arithmetic in bfloat16, which it multiplies at 0.20{TIMES} the rate of float32" in text
    assert "prefill, 10 % of float32's latency, takes 6.00" in text


def test_fewer_bytes_and_a_faster_type():
    own = measured((0.1, 0.2, 0.1, 0.3), ["torchao-int8"], size=130.0)
    kind, text = said(FASTER, own)
    assert kind == reasons.READS_LESS and f"because a token reads 0.26{TIMES} the bytes; it reaches" in text
    own = measured((0.1, 0.2, 0.02, 0.6), ["bnb-int8"], rate=240.0, types=["int8"])
    kind, text = said(FASTER, own)
    assert kind == reasons.MULTIPLIES_FASTER
    assert f"this machine multiplies int8 at 2.40{TIMES} the rate of float32" in text


def test_another_runtime():
    own = measured((0.1, 0.2, 0.1, 0.1), ["gguf-q4_k_m"], size=90.0, rate=240.0, types=["int8"], reach=0.47)
    kind, text = said(FASTER, own)
    assert kind == reasons.OTHER_RUNTIME
    assert f"because llama.cpp runs it and a token reads 0.18{TIMES} the bytes; it reaches 47 % of" in text


def test_a_step_that_is_not_spent_on_reading():
    base = measured((0.1, 0.2, 0.1, 0.6), ["float32"], reach=0.02)
    own = measured((0.1, 0.2, 0.1, 1.2), ["bnb-nf4"], reach=0.001, size=80.0)
    assert said(SLOWER, own, base)[0] == reasons.UNPACKS  # a processor does not wait for kernels to be started
    reason = reasons.explain(SLOWER, own, base, PHASES, on_gpu=True)
    text = told.sentence(reason, "float32")
    assert reason.kind == reasons.STARTING
    assert "spends its time on starting kernels and not on reading weights, and unpacking weights adds to them" in text


def test_the_cache_counts_for_both_or_for_neither():
    base = measured((0.1, 0.2, 0.1, 0.6), ["float32"], size=500.0)
    base["floor_decode"] |= {"cache_bytes": 100.0}
    own = measured((0.1, 0.2, 0.1, 0.1), ["gguf-q4_k_m"], size=90.0)
    assert reasons.explain(FASTER, own, base, PHASES).bytes == 90 / 400
    own["floor_decode"] |= {"cache_bytes": 50.0}
    assert reasons.explain(FASTER, own, base, PHASES).bytes == 90 / 500


def test_a_long_phase_that_keeps_its_format_is_named():
    base = measured((0.1, 0.7, 0.1, 0.1), ["float32"])
    own = measured((0.1, 0.7, 0.1, 0.05), ["torchao-int8"], size=130.0)
    _, text = said(FASTER, own, base)
    assert text.endswith("; vision encoding, 70 % of float32's latency, keeps its format")
    # where the tower is quantized too, and not the language model, it is the other way round
    own = measured((0.1, 0.4, 0.1, 0.1), ["float32"], vision="ort-int8")
    reason = reasons.explain(FASTER, own, base, PHASES)
    assert (reason.phase, reason.untouched) == ("vision", ())


def test_nothing_is_made_up_where_nothing_explains():
    kind, text = said(SAME, measured((0.1, 0.2, 0.1, 0.6), ["bnb-nf4"], size=80.0))
    assert kind == reasons.UNKNOWN and text.startswith(
        f"about the same (1.01{TIMES}): decode, 60 % of float32's latency, takes about"
    )
    assert "because" not in text
    assert reasons.explain(Relation(costs.INCOMPARABLE), BASE, BASE, PHASES) is None and told.sentence(None, "x") == ""
    _, text = said(SLOWER, BASE)
    assert text.endswith("keeps its format")  # the same formats as the baseline's, and yet slower
    bare = {"latency_decode": {"value": 1.0}}
    reason = reasons.explain(SLOWER, {"latency_decode": {"value": 2.0}}, bare, PHASES)
    assert (
        told.sentence(reason, "f") == f"slower (1.50{TIMES}): decode, 100 % of f's latency, takes 2.00{TIMES} the time"
    )


def test_a_detector_is_judged_by_the_formats_that_were_asked_for():
    phases = ("preprocessing", "invoke", "postprocessing")
    times = [{f"latency_{name}": {"value": 0.1} for name in phases} for _ in range(2)]
    times[0]["latency_invoke"] = {"value": 0.3}
    formats = {"backbone": "litert-int8", "head": "litert-int8"}, {"backbone": "litert-float32"}
    reason = reasons.explain(SLOWER, *times, phases, *formats)
    assert (reason.kind, reason.phase) == (reasons.UNPACKS, "invoke")
    assert "its kernels unpack weights to float32 at every product" in told.sentence(reason, "f")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (
            0.47,
            "decode reaches 47 % of what the memory's bandwidth (17.0 GB/s) allows and prefill reaches 80 % of what "
            "arithmetic in float32 (100 GFLOP/s) allows",
        ),
        (
            1.2,
            "decode is faster than the memory's bandwidth (17.0 GB/s) allows, as where weights stay in a cache and pre",
        ),
    ],
)
def test_what_is_reached_of_the_floor(share, text):
    assert told.reaches(measured((0, 0, 0, 0), ["float32"], reach=share)).startswith(text)
    assert told.reaches({"share_of_floor_decode": {"absent": "…"}}) == ""
