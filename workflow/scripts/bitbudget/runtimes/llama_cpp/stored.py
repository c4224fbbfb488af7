"""The tensors of a GGUF file, as the weights that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SEEING = "clip"  # the architecture of files that encode pictures
AT_ONCE = 2**22  # weights that are worked out at a time


@dataclass(frozen=True)
class Stored:
    """A tensor: its type, its shape with the rows first, its bytes, and what it stands for."""

    kind: str
    shape: tuple[int, ...]
    nbytes: int
    data: np.ndarray

    def parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs of rows of the matrix (rows, columns) that it is, and their weights in float32."""
        rows, columns = self._matrix()
        data = self.data.reshape(rows, -1)
        run = max(1, AT_ONCE // columns)
        for first in range(0, rows, run):
            part = slice(first, first + run)
            yield part, self._weights(data[part])

    def values(self) -> np.ndarray:
        """All weights in its shape, in float32."""
        return np.concatenate([part for _, part in self.parts()]).reshape(self.shape)

    def _matrix(self) -> tuple[int, int]:
        columns = self.shape[-1]
        return int(np.prod(self.shape)) // columns, columns

    def _weights(self, data: np.ndarray) -> np.ndarray:
        from gguf import GGMLQuantizationType, quants

        return quants.dequantize(data, GGMLQuantizationType[self.kind]).astype(np.float32, copy=False)


@dataclass(frozen=True)
class File:
    """A file's architecture, number of blocks, and tensors by name; `fields` are all its settings, as they are read."""

    architecture: str
    blocks: int
    tensors: dict[str, Stored]
    fields: Mapping[str, Any]

    def setting(self, name: str) -> Any:
        """A setting's value; None where the file has none of this name."""
        return self.fields[name].contents() if name in self.fields else None


def read(path: Path) -> File:
    """Open a file; its tensors stay on the disk until they are asked for."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    architecture = _setting(reader, "general.architecture")
    tensors = {
        one.name: Stored(one.tensor_type.name, tuple(map(int, reversed(one.shape))), int(one.n_bytes), one.data)
        for one in reader.tensors
    }
    part = ".vision" if architecture == SEEING else ""
    blocks = int(_setting(reader, f"{architecture}{part}.block_count"))
    return File(architecture, blocks, tensors, reader.fields)


def _setting(reader: Any, name: str) -> Any:
    return reader.fields[name].contents()
