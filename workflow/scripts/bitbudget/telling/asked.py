"""How models were asked beside the prompt: the form around it, what counts of an answer, and what an image takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitbudget.models.asking import forms

Record = Mapping[str, Any]


def sentences(study: Record, record: Record) -> list[str]:
    """What a study and the record of its predictions say of it; nothing for records of what is not asked."""
    return [*_form(record), *_answers(study.get("answer") or {}), *_images(record)]


def _form(record: Record) -> list[str]:
    form = record.get("form")
    if not form or form["template"] is None:
        return []
    shown = form["template"].replace("\n", "\\n")
    unasked = "" if forms.QUESTION in form["template"] else ", in which the prompt has no place"
    return [f"The model is asked in the form “{shown}” (by {form['by']}){unasked}."]


def _answers(rules: Record) -> list[str]:
    done = [f"what the regular expression {rules['regex']} finds"] if rules.get("regex") else []
    if rules.get("first_line"):
        done.append("the first line of it" if done else "the first line")
    if rules.get("strip_prefix"):
        prefixes = ", ".join(f"“{prefix}”" for prefix in rules["strip_prefix"])
        done.append(f"{'' if done else 'the text '}without {prefixes} at its beginning")
    return [f"Of each answer counts {', '.join(done)}."] if done else []


def _images(record: Record) -> list[str]:
    limits, told = record.get("images") or {}, []
    if limits.get("tiles"):
        told.append(
            "The model's processor may not enlarge images: each gets as many tiles as its longer side fits into."
        )
    if limits.get("max_tokens"):
        kept = f", and this is not kept: {limits['remark']}" if "remark" in limits else ""
        told.append(f"An image is to take at most {limits['max_tokens']} tokens of the prompt{kept}.")
    if record.get("image_tokens"):
        images = record["n"] * (1 + len(record["shots"]))
        told.append(f"An image takes {record['image_tokens'] / images:.0f} tokens of the prompt on average.")
    return told
