"""How much a training step computes and moves, and how fast the device can do either."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


class Traffic(TorchDispatchMode):
    """Bytes that kernels read and write: every input and output of every operation, once each.

    What a cache keeps between two operations is counted twice; fusing operations lowers it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        allocates_only = func.name().startswith("aten::empty")
        if not func.is_view and not allocates_only:
            touched = tree_leaves((args, kwargs, out))
            self.bytes += sum(nbytes(x) for x in touched if isinstance(x, Tensor))
        return out


def nbytes(x: Tensor) -> int:
    """Bytes behind a tensor; an expanded one has fewer than elements."""
    spans = (size for size, stride in zip(x.shape, x.stride(), strict=True) if stride)
    count = 1
    for size in spans:
        count *= size
    return count * x.element_size()


def measure_roofline(
    step: Callable[[], object], device: torch.device, precision: str
) -> dict[str, float]:
    """FLOP and bytes of a step, and the device's rates.

    Args:
        step: One training step.
        device: Where it runs.
        precision: Of products and convolutions, ``float32`` or ``bfloat16``.
    """
    step()  # the optimiser allocates its moments
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    traffic = Traffic()
    with traffic:
        step()
    return {
        "flop": float(counter.get_total_flops()),
        "bytes": float(traffic.bytes),
        "flop_per_s": product_rate(device, getattr(torch, precision)),
        "bytes_per_s": copy_rate(device),
    }


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product."""
    n = 8192 if device.type == "cuda" else 2048
    a, b = torch.randn(n, n, device=device).to(dtype), torch.randn(n, n, device=device).to(dtype)
    return 2.0 * n**3 / fastest(lambda: a @ b, device)


def copy_rate(device: torch.device) -> float:
    """Bytes/s read and written by a copy that no cache holds."""
    a = torch.ones(2**28 if device.type == "cuda" else 2**26, device=device)
    b = torch.empty_like(a)
    return 2.0 * a.nbytes / fastest(lambda: b.copy_(a), device)


def fastest(action: Callable[[], object], device: torch.device, times: int = 10) -> float:
    """Seconds of the fastest of some runs."""
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - begun)
    return min(spent)
