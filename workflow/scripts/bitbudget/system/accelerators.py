"""How many operations a GPU computes with a joule at its very best: peak FLOPS over the power of the board.

Peak is that of 16-bit matrix products accumulated in 32 bits, as torch computes them, without structured sparsity: data
sheets often print twice that number, and for GeForce cards also that with 16-bit accumulation. Only GPUs whose data
sheet gives both numbers stand here. There is no processor among them: what one computes and draws depends on its clock
under load, which no data sheet fixes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """A GPU: a pattern of its whole name as torch gives it, peak in 10^12 FLOPS, board power in watts."""

    pattern: str
    name: str
    teraflops: float
    watts: float
    document: str

    @property
    def flops_per_joule(self) -> float:
        """FLOPS over watts."""
        return self.teraflops * 1e12 / self.watts

    @property
    def source(self) -> str:
        """Where its numbers are from, in words."""
        return f"{self.name}: {self.teraflops:g} TFLOPS (16 bit, dense) at {self.watts:g} W, {self.document}"


TABLE = (
    Accelerator(r"(Tesla )?T4", "T4", 65, 70, "NVIDIA's T4 data sheet"),
    Accelerator(r"(Tesla )?V100-SXM2-(16|32)GB", "V100 SXM2", 125, 300, "NVIDIA's V100 data sheet"),
    Accelerator(r"(Tesla )?V100-PCIE-(16|32)GB", "V100 PCIe", 112, 250, "NVIDIA's V100 data sheet"),
    Accelerator(r"A10", "A10", 125, 150, "NVIDIA's A10 data sheet"),
    Accelerator(r"A100-SXM4-(40|80)GB", "A100 SXM", 312, 400, "NVIDIA's A100 data sheet"),
    Accelerator(r"A100-PCIE-40GB", "A100 PCIe 40 GB", 312, 250, "NVIDIA's A100 data sheet"),
    Accelerator(r"A100 80GB PCIe", "A100 PCIe 80 GB", 312, 300, "NVIDIA's A100 data sheet"),
    Accelerator(r"L4", "L4", 121, 72, "NVIDIA's L4 data sheet"),
    Accelerator(r"L40S", "L40S", 362, 350, "NVIDIA's L40S data sheet"),
    Accelerator(r"H100 80GB HBM3", "H100 SXM", 989.5, 700, "NVIDIA's H100 data sheet"),
    Accelerator(r"H100 PCIe", "H100 PCIe", 756.5, 350, "NVIDIA's H100 data sheet"),
    Accelerator(r"H200", "H200 SXM", 989.5, 700, "NVIDIA's H200 data sheet"),
    Accelerator(r"GeForce RTX 3090", "RTX 3090", 71, 350, "NVIDIA's GA102 white paper"),
    Accelerator(r"GeForce RTX 4090", "RTX 4090", 165.2, 450, "NVIDIA's Ada white paper"),
)


def accelerator(name: str) -> Accelerator | None:
    """The GPU of this name; None for one that is not in the table, as a variant or a slice of a GPU (MIG).

    A slice bears a name of its own only where torch gives it ("NVIDIA A100-SXM4-40GB MIG 3g.20gb"). NVML lists the
    whole GPU by its own name, and a name that was read there says nothing of slices.
    """
    return next((one for one in TABLE if re.fullmatch(rf"(NVIDIA )?{one.pattern}", name)), None)
