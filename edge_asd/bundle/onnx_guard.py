"""Refuse an ONNX network that reaches outside its own bytes, before a runtime sees it.

An ONNX file may name other files for its weights (external data) and operators from libraries of
its own. A bundle must hold neither. The few message fields that matter are read straight from the
protobuf wire format, so that the device does not need the ``onnx`` package.

Field numbers are those of onnx.proto3: ModelProto(graph 7, opset_import 8, training_info 20,
functions 25), GraphProto(node 1, initializer 5, sparse_initializer 15), NodeProto(attribute 5,
domain 7), AttributeProto(t 5, g 6, tensors 10, graphs 11, sparse_tensor 22, sparse_tensors 23),
SparseTensorProto(values 1, indices 2), TensorProto(external_data 13, data_location 14).
"""

from __future__ import annotations

from collections.abc import Iterator

from edge_asd.errors import BundleError

STANDARD_DOMAINS = frozenset({b"", b"ai.onnx", b"ai.onnx.ml"})
_MAX_DEPTH = 16
_MAX_FIELD = 2**29 - 1  # of protobuf; readers cut larger ones down to it, and so see another field

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def check_onnx(data: bytes, member: str) -> None:
    """Raise unless ``data`` is a self-contained network of standard operators.

    Args:
        data: The file's bytes.
        member: Its name, for the message.

    Raises:
        BundleError: It is no ONNX file, names external data or uses custom operators.
    """
    try:
        _check_model(memoryview(data), member)
    except (IndexError, ValueError) as error:
        raise BundleError(f"{member}: not an ONNX network ({error}); export it again") from error


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Every (field number, value) of one message; numbers as int, the rest as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if not 0 < number <= _MAX_FIELD:
            raise ValueError(f"field {number}")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(data):
            raise ValueError("it ends early")
        yield number, data[at : at + length]
        at += length


def _messages(data: memoryview, *numbers: int) -> Iterator[memoryview]:
    for number, value in _fields(data):
        if number in numbers and isinstance(value, memoryview):
            yield value


def _check_model(model: memoryview, member: str) -> None:
    graphs = list(_messages(model, 7))
    if len(graphs) != 1:
        raise ValueError("no graph in it")
    for opset in _messages(model, 8):
        for domain in _messages(opset, 1):
            _check_domain(bytes(domain), member)
    if any(True for _ in _messages(model, 25)):
        raise BundleError(f"{member}: defines functions of its own; export plain operators only")
    if any(True for _ in _messages(model, 20)):
        raise BundleError(f"{member}: holds training graphs; export it for inference")
    _check_graph(graphs[0], member, depth=0)


def _check_graph(graph: memoryview, member: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("graphs nested too deep")
    for tensor in _messages(graph, 5):
        _check_tensor(tensor, member)
    for sparse in _messages(graph, 15):
        _check_sparse(sparse, member)
    for node in _messages(graph, 1):
        for domain in _messages(node, 7):
            _check_domain(bytes(domain), member)
        for attribute in _messages(node, 5):
            for tensor in _messages(attribute, 5, 10):
                _check_tensor(tensor, member)
            for sparse in _messages(attribute, 22, 23):
                _check_sparse(sparse, member)
            for inner in _messages(attribute, 6, 11):
                _check_graph(inner, member, depth + 1)


def _check_domain(domain: bytes, member: str) -> None:
    if domain not in STANDARD_DOMAINS:
        name = domain.decode("utf-8", "replace")
        raise BundleError(f"{member}: uses operators of {name!r}; only standard ONNX may be used")


def _check_sparse(sparse: memoryview, member: str) -> None:
    for tensor in _messages(sparse, 1, 2):
        _check_tensor(tensor, member)


def _check_tensor(tensor: memoryview, member: str) -> None:
    for number, value in _fields(tensor):
        if number == 13 or (number == 14 and value):
            raise BundleError(f"{member}: keeps weights in another file; export it self-contained")
