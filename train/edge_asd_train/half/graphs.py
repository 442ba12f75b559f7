"""Small things about ONNX graphs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


def initializer(name: str, array: Any) -> Any:
    """A constant tensor."""
    return numpy_helper.from_array(np.asarray(array), name)


def replace_items(field: Any, items: Iterable[Any]) -> None:
    """Give a repeated field other items, which may be its own."""
    kept = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(kept)


def types_of(model: Any) -> dict[str, Any]:
    """Type and shape of every tensor that is computed, read or returned."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = (*graph.value_info, *graph.input, *graph.output)
    return {value.name: value.type.tensor_type for value in known}
