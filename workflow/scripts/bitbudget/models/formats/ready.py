"""The format of a ready checkpoint: whatever it holds. It is loaded, not made (`bitbudget.models.ready`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bitbudget.models.formats.base import Format

if TYPE_CHECKING:
    from torch import nn


class AsIs(Format):
    """Each layer as somebody else made it; the audit says what that is."""

    name = "as-is"
    bits = 16
    options: ClassVar[dict[str, Any]] = {
        "checkpoint": {
            "description": "Where it comes from; the study's `{name, checkpoint}` says it.",
            "type": "string",
        }
    }
    description = "a ready checkpoint, as it was published"
    title = "Ready checkpoints"
    about = (
        "were made by somebody else and are taken as they are: which layers they hold in how many bits, by which "
        "method, and how far their weights are from the original's is read from their files, not asked for."
    )

    def about_options(self, options: dict[str, Any]) -> str:
        return f"The checkpoint is {options['checkpoint']}." if "checkpoint" in options else ""

    def impossible(self, options: dict[str, Any], float_format: str) -> str | None:
        return "it is of ready checkpoints, which a study's `precisions` name as {name: …, checkpoint: …}"

    def recognises(self, layer: nn.Module) -> bool:
        return False  # it is of whole checkpoints, and no layer's own


FORMATS = {AsIs.name: AsIs()}
