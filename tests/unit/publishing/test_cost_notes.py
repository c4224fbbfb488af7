"""What the lines below the figures of cost say of how the costs were measured."""

from pathlib import Path

import pytest
import synthetic_study as synthetic

from bitbudget.publishing.figures import costs, style
from bitbudget.publishing.figures import study as shown

NAMES = list(synthetic.PRECISIONS)[:2]


def note(folder: Path, name: str, change) -> str:
    """All text of the figure of this cost without white space, of a study whose measurements were changed so.

    `change` is given a record of measurements.
    """
    from matplotlib.text import Text

    spec = synthetic.spec(["m"], NAMES, ["zero-shot"], "demo study: made-up numbers")
    scores, measurements, audits = synthetic.study(["m"], NAMES, ["zero-shot"])
    for one in measurements:
        change(one)
    study = shown.load(synthetic.told(folder, spec, scores, measurements, audits), measurements, spec)
    with style.applied():
        figure = costs.draw(study, name)
        return flat("".join(text.get_text() for text in figure.findobj(Text)))


def flat(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("scope", ["the GPU alone", "processor and memory, from the rated power and the load"])
def test_energy_says_whose_it_is(tmp_path, scope):
    text = note(tmp_path, "energy", lambda one: one["metrics"]["energy_per_item"].update(scope=scope))
    assert flat(f"Source: estimated, codecarbon ({scope}).") in text


def test_energy_of_an_older_record_names_its_source_alone(tmp_path):
    assert flat("Source: estimated, codecarbon.") in note(tmp_path, "energy", lambda one: None)


@pytest.mark.parametrize(("values", "said"), [([0.1, 0.2, 0.15], True), ([0.1], False)])
def test_intervals_of_latency_say_that_they_were_widened(tmp_path, values, said):
    text = note(tmp_path, "latency", lambda one: one["metrics"]["latency"].update(by_repeat=values))
    assert (flat(costs.WIDENED) in text) == said


@pytest.mark.parametrize(("name", "said"), [("latency", True), ("energy", True), ("size", False)])
def test_what_was_timed_on_a_loaded_machine_says_so(tmp_path, name, said):
    text = note(tmp_path, name, lambda one: one.update(disturbed=["the machine was loaded"]))
    assert ("themachinewasloaded" in text) == said
