"""Objects that a caption names and the image does not show: CHAIR, per precision and against the baseline.

Rohrbach, Hendricks, Burns, Darrell & Saenko (2018), "Object Hallucination in Image Captioning", EMNLP, section 2.1:

    CHAIR-i = hallucinated mentions / all mentions of an object      CHAIR-s = captions with one of them / all captions

An object is hallucinated that neither the image's annotated objects nor any of its reference captions name. The words
for objects are our own (`coco_objects`), so the values are not to be compared with published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import gt
from typing import Any

import numpy as np

from bitbudget import paired, records, statistics
from bitbudget.inspection.objects import Vocabulary, named_by_people
from bitbudget.inspection.truth import Truth

UNITS = {"chair_i": "share of mentioned objects", "chair_s": "share of captions"}
LABELS = {"chair_i": "CHAIR-i", "chair_s": "CHAIR-s"}
_TOO_FEW = f"fewer than {statistics.FEWEST_UNITS} captions are too few to tell a difference from chance."


@dataclass(frozen=True)
class Row:
    """What one caption names: how many objects, and those of them that are not there (of which one may be several)."""

    mentions: int
    hallucinated: tuple[str, ...]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Hallucinated mentions, mentions, and whether any is hallucinated."""
        return len(self.hallucinated), self.mentions, int(bool(self.hallucinated))


def rows_of(
    vocabulary: Vocabulary, truth: Mapping[str, set[str]], items: Sequence[Mapping[str, Any]], texts: Mapping[str, str]
) -> list[Row]:
    """The row of each item, in their order. `truth` maps an item's id to what its image and its references show.

    A word that may be of several categories is hallucinated only where none of them is there.
    """
    found = []
    for item in items:
        meant = vocabulary.mentions(texts[item["id"]])
        there = truth[item["id"]]
        missing = (" or ".join(sorted(one)) for one in meant if not one & there)
        found.append(Row(len(meant), tuple(missing)))
    return found


def there_to_name(
    vocabulary: Vocabulary, truth: Truth, items: Sequence[Mapping[str, Any]], references: bool = True
) -> dict[str, set[str]]:
    """What each item's image shows: its annotated objects, and what its `references` name."""
    return {
        item["id"]: truth.shown[item["images"][0]["id"]]
        | (named_by_people(vocabulary, item["references"]) if references else set())
        for item in items
    }


def resampled(rows: Sequence[Row], ids: Sequence[str]) -> statistics.Resampled:
    """How both shares follow from the captions drawn; CHAIR-i is not a number where these name no object at all."""

    def of(sums: np.ndarray, captions: np.ndarray) -> statistics.Values:
        hallucinated, mentions, captions_with = sums.T
        share = np.full(len(sums), np.nan)
        np.divide(hallucinated, mentions, out=share, where=mentions > 0)
        return {"chair_i": share, "chair_s": captions_with / captions}

    made_of = {"chair_i": "mentions", "chair_s": "hallucinated"}
    return statistics.of_sums(np.array([row.counts for row in rows], dtype=float), ids, made_of, of)


@dataclass(frozen=True)
class Group:
    """The precisions of one model and condition, the baseline first; all are resampled alike."""

    rows: Sequence[Sequence[Row]]
    sets: Sequence[statistics.Resampled]
    drawn: Sequence[statistics.Values]  # empty where there are too few captions

    @classmethod
    def of(cls, rows: Sequence[Sequence[Row]], ids: Sequence[str], seed: int) -> Group:
        """The group of these rows, of items with these ids. All must be of the same items in the same order."""
        sets = [resampled(one, ids) for one in rows]
        enough = len(ids) >= statistics.FEWEST_UNITS
        return cls(rows, sets, statistics.draws(sets, seed) if enough else [])

    def metrics(self, number: int) -> dict[str, dict[str, Any]]:
        """Both shares of the precision of this number, each with its interval where there are enough captions."""
        whole, found = self.sets[number].whole(), {}
        counts = [sum(column) for column in zip(*(row.counts for row in self.rows[number]), strict=True)]
        totals = {"chair_i": (counts[0], counts[1]), "chair_s": (counts[2], len(self.rows[number]))}
        for name, unit in UNITS.items():
            hallucinated, of = totals[name]
            if not of:
                found[name] = records.absent(_none_named(), unit, higher_is_better=False)
                continue
            drawn = self.drawn[number][name] if self.drawn else np.array([])
            drawn = drawn[np.isfinite(drawn)]
            ci = statistics.interval(drawn) if len(drawn) else None
            found[name] = records.metric(
                whole[name], unit, higher_is_better=False, n=len(self.rows[number]), ci=ci, count=hallucinated, of=of
            )
        return found

    def differences(self, number: int) -> dict[str, dict[str, Any]]:
        """Both differences of the precision of this number from the baseline, number 0; less is better.

        Tested as `paired.difference` does: CHAIR-i by the bootstrap, CHAIR-s by McNemar's exact test of the captions
        that only one of the two has right.
        """
        here, base, found = self.metrics(number), self.metrics(0), {}
        for name, unit in UNITS.items():
            both = {"baseline": base[name], "compared": here[name]}
            reason = next((one["absent"] for one in both.values() if "absent" in one), None) or (
                None if self.drawn else _TOO_FEW
            )
            if reason:
                found[name] = records.absent(reason, unit, higher_is_better=False)
                continue
            found[name] = self._difference(name, number, {side: one["value"] for side, one in both.items()})
        return found

    def _difference(self, name: str, number: int, values: Mapping[str, float]) -> dict[str, Any]:
        pairs = list(zip(self.rows[0], self.rows[number], strict=True))
        drawn = self.drawn[number][name] - self.drawn[0][name]
        drawn = drawn[np.isfinite(drawn)]  # a resample may name no object at all
        flips = None
        if name == "chair_s":
            before, after = ([bool(row.hallucinated) for row in one] for one in zip(*pairs, strict=True))
            flips = sum(map(gt, after, before)), sum(map(gt, before, after))
            changed = sum(flips)
        else:
            changed = sum(before.counts[:2] != after.counts[:2] for before, after in pairs)
        tested = paired.difference(values["compared"] - values["baseline"], drawn, changed=changed, flips=flips)
        return records.metric(
            tested.value,
            UNITS[name],
            higher_is_better=False,
            n=len(pairs),
            ci=tested.ci,
            **values,
            units_changed=changed,
            test=tested.test,
            p_value=tested.p_value,
        )


def _none_named() -> str:
    return "no caption names an object of the vocabulary, so no share of them is wrong."


def correct(comparisons: Sequence[Mapping[str, Any]]) -> None:
    """Fill in each difference's p value after Holm, over all precisions of every model and condition, by metric."""
    for name in UNITS:
        family = [one["metrics"][name] for one in comparisons if "p_value" in one["metrics"].get(name, {})]
        for metric, p_value in zip(family, paired.holm([one["p_value"] for one in family]), strict=True):
            metric |= {"p_holm": p_value, "family": len(family)}
