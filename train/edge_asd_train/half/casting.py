"""Casts between the layers of a network that compute in fp16 and all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edge_asd_train.half.graphs import initializer, replace_items


class Casting:
    """Rewrites a graph so that some of its nodes compute in fp16.

    Args:
        graph: Of ONNX, without subgraphs.
        floats: Names of its fp32 tensors, constants aside.
        halves: Positions of the nodes, and exponents of the powers of two by which what they read
            is divided.
    """

    def __init__(self, graph: Any, floats: set[str], halves: Mapping[int, int]) -> None:
        self._graph = graph
        self._floats = floats
        self._halves = halves
        self._values = {one.name: one for one in graph.initializer}
        self._made_half: set[str] = set()
        self._added: set[str] = set()
        self._nodes: list[Any] = []

    def rewrite(self) -> None:
        """Change the graph."""
        outputs = {one.name for one in self._graph.output}
        for position, node in enumerate(self._graph.node):
            exponent = self._halves.get(position)
            if exponent is None:
                _rename(node.input, self._exact)
                self._nodes.append(node)
            elif exponent:
                self._add_scaled(node, exponent)
            else:
                _rename(node.input, self._half)
                self._nodes.append(node)
                made = [name for name in node.output if name in self._floats]
                _rename(node.output, lambda name: f"{name}/fp16" if name in self._floats else name)
                self._made_half.update(made)
                for name in outputs.intersection(made):
                    self._exact(name)
        replace_items(self._graph.node, self._nodes)
        used = {name for node in self._graph.node for name in node.input}
        replace_items(self._graph.initializer, [v for n, v in self._values.items() if n in used])

    def _add_scaled(self, node: Any, exponent: int) -> None:
        """A product of what is divided by a power of two, multiplied by it again."""
        read, made = node.input[0], node.output[0]
        divided = f"{read}/{2**exponent}"
        down, up = self._power(-exponent), self._power(exponent)
        self._add("Mul", [self._exact(read), down], divided)
        node.input[0] = self._add("Cast", [divided], f"{divided}/fp16", to=TensorProto.FLOAT16)
        for i in range(1, len(node.input)):
            # The weights multiply what is divided; a bias is added to it.
            node.input[i] = self._constant(node.input[i], 2.0**-exponent if i > 1 else 1.0)
        node.output[0] = f"{made}/fp16"
        self._nodes.append(node)
        wide = self._add("Cast", [f"{made}/fp16"], f"{made}/divided", to=TensorProto.FLOAT)
        self._add("Mul", [wide, up], made)

    def _exact(self, name: str) -> str:
        """The tensor in fp32, or whatever else it is, cast where it is there in fp16 alone."""
        if name in self._made_half:
            self._add("Cast", [f"{name}/fp16"], name, to=TensorProto.FLOAT)
        return name

    def _half(self, name: str) -> str:
        """The tensor in fp16, unless it holds no fractions, cast where it is not there yet."""
        if name in self._values:
            return self._constant(name)
        if name not in self._floats:
            return name
        if name not in self._made_half:
            self._add("Cast", [name], f"{name}/fp16", to=TensorProto.FLOAT16)
        return f"{name}/fp16"

    def _constant(self, name: str, factor: float = 1.0) -> str:
        value = self._values[name]
        if value.data_type != TensorProto.FLOAT:
            return name
        half = f"{name}/fp16" if factor == 1.0 else f"{name}/fp16/{factor:g}"
        array = (numpy_helper.to_array(value) * np.float32(factor)).astype(np.float16)
        self._values[half] = initializer(half, array)
        return half

    def _power(self, exponent: int) -> str:
        name = f"2^{exponent}"
        self._values[name] = initializer(name, np.float32(2.0**exponent))
        return name

    def _add(self, operator: str, read: list[str], made: str, to: int | None = None) -> str:
        """Add a node, unless it is there."""
        if made not in self._added:
            self._added.add(made)
            node = helper.make_node(operator, read, [made])
            if to is not None:
                node.attribute.append(helper.make_attribute("to", to))
            self._nodes.append(node)
        return made


def _rename(names: Any, rename: Callable[[str], str]) -> None:
    for i, name in enumerate(names):
        if name:  # an input that is left out is there as an empty name
            names[i] = rename(name)
