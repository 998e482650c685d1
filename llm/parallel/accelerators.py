"""Accelerators by name: what their makers' data sheets say, for estimates on machines that are not at hand."""

from typing import NamedTuple

from modeseek.checks import hint, require


class Accelerator(NamedTuple):
    """One device.

    Attributes:
        flops: FLOP a second of dense products in bfloat16.
        bandwidth: bytes a second from its memory.
        memory: bytes.
        fused: whether attention is one kernel (cuDNN's, on NVIDIA's).
    """

    flops: float
    bandwidth: float
    memory: float
    fused: bool = True


GB = 1e9

ACCELERATORS = {
    "a40": Accelerator(149.7e12, 696 * GB, 48 * GB),
    "a100-40gb": Accelerator(312e12, 1555 * GB, 40 * GB),
    "a100": Accelerator(312e12, 2039 * GB, 80 * GB),
    "h100": Accelerator(989e12, 3350 * GB, 80 * GB),
    "h200": Accelerator(989e12, 4800 * GB, 141 * GB),
    "l4": Accelerator(121e12, 300 * GB, 24 * GB),
    "tpu-v4": Accelerator(275e12, 1228 * GB, 32 * GB, fused=False),
    "tpu-v5e": Accelerator(197e12, 819 * GB, 16 * GB, fused=False),
    "tpu-v5p": Accelerator(459e12, 2765 * GB, 95 * GB, fused=False),
    "tpu-v6e": Accelerator(918e12, 1640 * GB, 32 * GB, fused=False),
}
"""By the names that people use; of NVIDIA's the SXM boards. The paper's runs were on an A40."""


def accelerator(name: str) -> Accelerator:
    """The one of that name.

    Raises:
        ValueError: it is not known; the nearest name is told.
    """
    require(name in ACCELERATORS, f"the device {name!r} is not known; {hint(name, ACCELERATORS)}")
    return ACCELERATORS[name]
