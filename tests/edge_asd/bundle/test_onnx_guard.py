"""A network may not reach outside its own bytes, however that is written down."""

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support.tiny import tiny_network

from edge_asd.bundle.onnx_guard import check_onnx
from edge_asd.errors import BundleError

NETWORK = tiny_network()


def altered(change):
    model = onnx.load_model_from_string(NETWORK)
    change(model)
    return model.SerializeToString()


def external(tensor):
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


def a_tensor():
    return numpy_helper.from_array(np.zeros(3, np.float32), "weights")


def in_initializer(model):
    external(model.graph.initializer[0])


def only_named_external(model):
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def in_sparse_initializer(model):
    sparse = model.graph.sparse_initializer.add()
    external(sparse.indices)


def in_constant(model):
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=external(a_tensor())))


def in_tensor_list(model):
    attribute = model.graph.node[0].attribute.add(name="x", type=onnx.AttributeProto.TENSORS)
    attribute.tensors.append(external(a_tensor()))


def in_sparse_constant(model):
    attribute = model.graph.node[0].attribute.add(
        name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR
    )
    external(attribute.sparse_tensor.values)


def in_sparse_tensor_list(model):
    attribute = model.graph.node[0].attribute.add(name="x", type=onnx.AttributeProto.SPARSE_TENSORS)
    external(attribute.sparse_tensors.add().values)


def in_branch(model):
    branch = helper.make_graph([], "branch", [], [], [external(a_tensor())])
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=branch))


def in_branch_of_branch(model):
    inner = helper.make_graph([], "inner", [], [], [external(a_tensor())])
    outer = helper.make_graph([helper.make_node("If", ["c"], ["d"], g=inner)], "outer", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["e"], then_branch=outer))


@pytest.mark.parametrize(
    "change",
    [
        in_initializer,
        only_named_external,
        in_sparse_initializer,
        in_constant,
        in_tensor_list,
        in_sparse_constant,
        in_sparse_tensor_list,
        in_branch,
        in_branch_of_branch,
    ],
)
def test_weights_in_another_file_are_refused(change):
    with pytest.raises(BundleError, match=r"networks/a\.onnx: keeps weights in another file"):
        check_onnx(altered(change), "networks/a.onnx")


def custom_opset(model):
    model.opset_import.add(domain="com.example", version=1)


def custom_node(model):
    model.graph.node[0].domain = "com.microsoft"


def custom_node_in_branch(model):
    node = helper.make_node("Magic", [], [], domain="evil")
    branch = helper.make_graph([node], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=branch))


@pytest.mark.parametrize("change", [custom_opset, custom_node, custom_node_in_branch])
def test_custom_operators_are_refused(change):
    with pytest.raises(BundleError, match="only standard ONNX"):
        check_onnx(altered(change), "networks/a.onnx")


def test_local_functions_are_refused():
    def change(model):
        model.functions.add(name="f", domain="")

    with pytest.raises(BundleError, match="functions of its own"):
        check_onnx(altered(change), "networks/a.onnx")


def test_training_graphs_are_refused():
    def change(model):
        model.training_info.add().initialization.name = "x"

    with pytest.raises(BundleError, match="training graphs"):
        check_onnx(altered(change), "networks/a.onnx")


def test_a_field_number_beyond_the_format_cannot_hide_external_data():
    # ONNX Runtime's reader cuts such a tag to 32 bits and sees field 13, external_data
    model = onnx.load_model_from_string(NETWORK)
    entry = external(model.graph.initializer[0]).external_data[0].SerializeToString()
    plain = bytes([0x6A, len(entry)]) + entry
    smuggled = bytes([0xEA, 0x80, 0x80, 0x80, 0x10, len(entry)]) + entry
    tensor = model.graph.initializer[0].SerializeToString()
    assert plain in tensor
    tensor = tensor.replace(plain, smuggled).replace(b"\x70\x01", b"\xf0\x80\x80\x80\x10\x01")
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    assert len(graph) < 128
    with pytest.raises(BundleError, match="not an ONNX network"):
        check_onnx(b"\x3a" + bytes([len(graph)]) + graph, "networks/a.onnx")


def test_a_graph_given_in_two_parts_is_refused():
    with pytest.raises(BundleError, match="not an ONNX network"):
        check_onnx(NETWORK + NETWORK, "networks/a.onnx")


def test_graphs_nested_without_end_are_refused():
    graph = helper.make_graph([], "g", [], [])
    for _ in range(30):
        graph = helper.make_graph([helper.make_node("If", ["c"], ["d"], g=graph)], "g", [], [])
    model = helper.make_model(graph).SerializeToString()
    with pytest.raises(BundleError, match="nested too deep"):
        check_onnx(model, "networks/a.onnx")


def test_a_plain_network_passes():
    check_onnx(NETWORK, "networks/a.onnx")


def test_a_constant_with_its_own_weights_passes():
    def change(model):
        model.graph.node.append(helper.make_node("Constant", [], ["c"], value=a_tensor()))

    check_onnx(altered(change), "networks/a.onnx")


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x00" * 40, b"\x3a\xff", b"\xff" * 30])
def test_garbage_is_refused(data):
    with pytest.raises(BundleError, match=r"networks/a\.onnx: not an ONNX network"):
        check_onnx(data, "networks/a.onnx")


@pytest.mark.parametrize("size", [1, 10, len(NETWORK) // 2, len(NETWORK) - 1])
def test_a_truncated_network_is_refused(size):
    with pytest.raises(BundleError):
        check_onnx(NETWORK[:size], "networks/a.onnx")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_but_a_bundle_error(data):
    with contextlib.suppress(BundleError):
        check_onnx(data, "networks/a.onnx")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 600), st.integers(0, 255))
def test_one_altered_byte_never_raises_anything_but_a_bundle_error(at, value):
    data = bytearray(NETWORK)
    # structure stands at both ends, weights in between
    data[at - 300] = value
    with contextlib.suppress(BundleError):
        check_onnx(bytes(data), "networks/a.onnx")
