"""The model of packages/tensor-files/src/onnx-graph.test.ts as the Python package onnx 1.23 writes it.

usage: onnx_graph.py OUT.onnx
"""
import sys

from onnx import TensorProto, helper, save_model

TYPES = {"float": TensorProto.FLOAT, "bool": TensorProto.BOOL}


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, TYPES[kind], shape)


weight = TensorProto(name="w", dims=[2, 3], data_type=TensorProto.BFLOAT16, data_location=TensorProto.EXTERNAL)
for key, text in (("location", "model.safetensors"), ("offset", str(2**32 + 8)), ("length", "12")):
    weight.external_data.add(key=key, value=text)
shape = TensorProto(name="constant_8", dims=[2], data_type=TensorProto.INT64, raw_data=b"\x02" + bytes(7) + b"\xff" * 8)

mean = helper.make_node("ReduceMean", ["a"], ["ReduceMean_1"], name="node_ReduceMean_2", axes=[-1], keepdims=1)
cast = helper.make_node("Cast", ["s"], ["Cast_3"], name="node_Cast_4", to=TensorProto.FLOAT)
present = helper.make_graph([mean], "present", [], [value("ReduceMean_1", "float", ["batch", 1])])
absent = helper.make_graph([cast], "absent", [], [value("Cast_3", "float", ["batch", 1])])
nodes = [
    helper.make_node(
        "SkipSimplifiedLayerNormalization", ["x", "", "w"], ["a", "", "s"],
        name="node_SkipSimplifiedLayerNormalization_0", domain="com.microsoft", epsilon=1e-5,
    ),
    helper.make_node("If", ["flag"], ["y"], name="node_If_5", then_branch=present, else_branch=absent),
    helper.make_node("Einsum", ["y", "y"], ["Einsum_6"], name="node_Einsum_7", equation="ij,ij->i"),
    helper.make_node("Reshape", ["Einsum_6", "constant_8"], ["Reshape_9"], name="node_Reshape_10"),
    helper.make_node("Identity", ["Reshape_9"], ["z"], name="node_Identity_11"),
]
graph = helper.make_graph(
    nodes, "golden",
    [value("x", "float", ["batch", 3]), value("flag", "bool", [])],
    [value("z", "float", [2, "rest"])],
    initializer=[weight, shape],
)
opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
model = helper.make_model(graph, producer_name="espalier", opset_imports=opsets, ir_version=10)
helper.set_model_props(model, {"source": "test"})
save_model(model, sys.argv[1])
