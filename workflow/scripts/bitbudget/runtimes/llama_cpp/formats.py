"""GGUF: a language model, or the decoder of one that sees, in one file that llama.cpp runs.

Embeddings, decoder layers and head are held together, each tensor in the type that the kind of file gives it: of a
Q4_K_M file some matrices have 6 bits, and norms stay float32. The audit says the type of each. A vision tower and its
projector can be a second file (mmproj).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bitbudget.errors import UserError
from bitbudget.models import groups
from bitbudget.models.formats.base import Calibration, FormatSpec, GroupFile, GroupFormat

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from torch import nn

    from bitbudget.models.audit.audited import LayerAudit
    from bitbudget.models.streaming import Streamed
    from bitbudget.system.machine import Machine

FILE, FLOATS, SEEING_FILE = "language.gguf", ".language-floats.gguf", "vision.gguf"
SEEING = groups.VISION, groups.PROJECTOR
SEE = ("f16", "bf16", "q8_0")  # the kinds of files of a vision tower: those that llama.cpp's converter writes
RUNNING, WRITING, QUANTIZING = ("xllamacpp",), ("gguf", "conversion"), ("cyllama",)
K_QUANTS = (
    "Blocks of 256 weights share a scale, and within them runs of 16 or 32 a scale and, at 2, 4 and 5 bits, an offset "
    "of 4 or 6 bits each; scales are chosen by the error that they leave. Matrices that matter more get more bits."
)
OLDER = "Runs of 32 weights share one scale in float16."
IQ = "Weights are looked up in a table of values that are not evenly spaced, under scales in blocks of 256 or 32."
FLOAT = "Matrices are rounded to 16 bits, and norms stay float32."


class Gguf(GroupFormat):
    runtime = "llama.cpp"
    promises = True  # whether its weights are held to what their types promise
    holds = groups.READING

    def __init__(self, name: str, file_type: str, bits: float, how: str, types: tuple[str, ...]):
        self.name, self.bits, self.file_type, self.types = f"gguf-{name}", bits, file_type, types
        self.float_type = name if name in ("f16", "bf16") else None
        self.computes_in = "float32" if self.float_type else "int8"  # inputs are rounded to blocks of 8 bits
        self.title = f"GGUF {name.upper()}"
        self.description = f"GGUF by llama.cpp: a file of the kind {name.upper()}"
        self.needs = RUNNING + WRITING + (() if self.float_type else QUANTIZING)
        self.about = (
            "is a file of embeddings, decoder and head that llama.cpp runs, quantized and computed by kernels that "
            f"multiply packed weights as they are [@llamacpp]. {how} Where the length of a matrix's rows is no "
            "multiple of 256, llama.cpp uses a type with blocks of 32 instead. The rest of a model that sees, and all "
            "token numbers, are the original's, run by transformers."
        )
        self.holds = groups.READING + (SEEING if name in SEE else ())
        if name in SEE:
            self.about += (
                " A vision tower and its projector can be a second file, by which llama.cpp encodes the tiles that "
                "transformers makes."
            )

    def together(self, group: str) -> tuple[str, ...]:
        return SEEING if group in SEEING else groups.READING

    def unfit(self, options: dict[str, Any], float_format: str, machine: Machine, device: str) -> str | None:
        from bitbudget.runtimes.llama_cpp import library

        reason = super().unfit(options, float_format, machine, device)
        if reason is None and device == "cuda" and library.computes_on_gpus() is False:
            return (
                f"this build of {library.PACKAGE} computes on the CPU alone (install its wheel for CUDA, or set "
                "`device: cpu`)"
            )
        return reason

    def make(
        self,
        one: GroupFile,
        original: Streamed,
        family: ModuleType,
        source: Path,
        folder: Path,
        device: str,
        calibration: Calibration | None,
    ) -> GroupFile:
        import torch

        from bitbudget.models import gguf_file
        from bitbudget.runtimes.llama_cpp import converting, decoder, quantizing, reached

        if one.groups[0] in SEEING:
            return self._make_seeing(one, original, family, source, folder, device)
        if converting.sees(family, original):
            reached.check(original, family, source)
        out, floats = folder / FILE, folder / FLOATS
        try:
            if self.float_type:
                told = converting.convert(source, original, family, out, self.float_type)
            else:
                told = converting.convert(source, original, family, floats)
                quantizing.quantize(floats, out, self.file_type, torch.get_num_threads())
        finally:
            floats.unlink(missing_ok=True)
        if not decoder.opens(out):
            out.unlink()
            raise UserError(
                f"llama.cpp cannot open the file that its converter made of {source}, so the two do not know this "
                "model alike: leave the precisions that name a gguf format out of the study."
            )
        held = gguf_file.held(out)
        return dataclasses.replace(one, files=(FILE,), told=told | {"types": held.types, "bits": held.bits})

    def _make_seeing(
        self, one: GroupFile, original: Streamed, family: ModuleType, source: Path, folder: Path, device: str
    ) -> GroupFile:
        """The file of a vision tower and projector, held to what the original makes of a picture."""
        from bitbudget.models import gguf_file
        from bitbudget.runtimes.llama_cpp import converting_vision, tower

        out = folder / SEEING_FILE
        tower.places(original.model, family)
        told = converting_vision.convert(source, original, family, out, self.file_type)
        try:
            error, allowed = tower.error(out, told, original, family, source, device), tower.allowed(self.types)
            if not error <= allowed:
                fault = tower.too_far(error, allowed)
                raise UserError(f"the file that {self.name} makes of {source} {fault}: {tower.REMEDY}.")
        except UserError:
            out.unlink()
            raise
        held = gguf_file.held(out)
        return dataclasses.replace(
            one, files=(SEEING_FILE,), told=told | {"types": held.types, "bits": held.bits, "output_error": error}
        )

    def put(self, one: GroupFile, model: nn.Module, family: ModuleType, folder: Path, device: str) -> nn.Module:
        from bitbudget.models.families import parts
        from bitbudget.runtimes.llama_cpp.model import LlamaCpp
        from bitbudget.runtimes.llama_cpp.seeing import SeeingModel

        path = folder / one.files[0]
        if one.groups[0] in SEEING:
            from bitbudget.runtimes.llama_cpp import tower

            return tower.put(path, one.told, model, family, device)
        if set(parts.groups(family, model)) - set(groups.READING):
            return SeeingModel(path, model, parts.vision_modules(family, model), device)
        return LlamaCpp(path, model.config, model.generation_config, device)

    def audited(
        self,
        one: GroupFile,
        original: Streamed,
        family: ModuleType,
        folder: Path,
        device: str,
        model: Callable[[], nn.Module],
    ) -> tuple[list[LayerAudit], list[dict[str, Any]]]:
        from bitbudget.runtimes.llama_cpp import audit

        if one.groups[0] in SEEING:
            return audit.audit_seeing(folder / one.files[0], one.told, self, original, family, device)
        return audit.audit(folder / one.files[0], self, original, family, device)


class ReadyGguf(Gguf):
    """A GGUF file that somebody else made, with whatever types it has; it is fetched, and not made."""

    promises = False

    def __init__(self) -> None:
        super().__init__("as-is", "", 16, "", ())
        self.title = "Ready GGUF files"
        self.description = "a ready GGUF file, as it was published"
        self.needs = (*RUNNING, "gguf")
        self.about = (
            "were made by somebody else and are taken as they are, for embeddings, decoder and head, and run by "
            "llama.cpp [@llamacpp]: in which types they hold which matrices, and how far these are from the "
            "original's, is read from the files, not asked for. The rest of a model that sees, and all token numbers, "
            "are the original's, run by transformers."
        )

    def about_options(self, options: dict[str, Any]) -> str:
        return f"The file is {options['checkpoint']}." if "checkpoint" in options else ""

    def impossible(self, options: dict[str, Any], float_format: str) -> str | None:
        return "it is of ready GGUF files, which a study's `precisions` name as {name: …, checkpoint: ….gguf}"

    def adopt(
        self,
        fetched: Path,
        source: Path,
        out: Path,
        dtype: str,
        device: str,
        family: ModuleType,
        assignment: dict[str, FormatSpec],
    ) -> dict[str, Any]:
        from bitbudget.runtimes.llama_cpp import ready

        return ready.adopt(fetched, source, out, dtype, device, family, assignment)

    def remarks(self, made: dict[str, Any], audit: dict[str, Any]) -> list[str]:
        from bitbudget.runtimes.llama_cpp import ready

        return ready.remarks(made, audit)


FORMATS = {
    fmt.name: fmt
    for fmt in (
        ReadyGguf(),
        Gguf("f16", "MOSTLY_F16", 16, FLOAT, ("F16",)),
        Gguf("bf16", "MOSTLY_BF16", 16, FLOAT, ("BF16",)),
        Gguf("q8_0", "MOSTLY_Q8_0", 8, OLDER, ("Q8_0",)),
        Gguf("q6_k", "MOSTLY_Q6_K", 6, K_QUANTS, ("Q6_K",)),
        Gguf("q5_k_m", "MOSTLY_Q5_K_M", 5, K_QUANTS, ("Q5_K", "Q6_K")),
        Gguf("q4_k_m", "MOSTLY_Q4_K_M", 4, K_QUANTS, ("Q4_K", "Q5_K", "Q6_K")),
        Gguf("q4_0", "MOSTLY_Q4_0", 4, OLDER, ("Q4_0", "Q4_1", "Q6_K")),
        Gguf("iq4_nl", "MOSTLY_IQ4_NL", 4, IQ, ("IQ4_NL", "Q5_K", "Q6_K")),
        Gguf("iq4_xs", "MOSTLY_IQ4_XS", 4, IQ, ("IQ4_XS", "Q5_K", "Q6_K")),
        Gguf("q3_k_m", "MOSTLY_Q3_K_M", 3, K_QUANTS, ("Q3_K", "Q4_K", "Q5_K", "Q6_K")),
        Gguf("iq3_s", "MOSTLY_IQ3_S", 3, IQ, ("IQ3_S", "Q4_K", "Q5_K", "Q6_K")),
        Gguf("q2_k", "MOSTLY_Q2_K", 2, K_QUANTS, ("Q2_K", "Q3_K", "Q4_K", "Q6_K")),
    )
}
