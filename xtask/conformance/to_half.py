"""Converts ONNX models of 32-bit floats to 16-bit ones.

    python to_half.py MODEL.onnx HALF.onnx

Every float tensor inside the model becomes f16: initializers, Constant nodes, tensors and types in attributes, and declared types,
in subgraphs too. Inputs and outputs stay f32, with a Cast beside each, so that data and metrics fit both models. Where the schema
of an operator has no f16 for an operand or a result, that one stays f32: a constant as it is, others between Casts. Finite
constants beyond the range of f16 become its largest numbers, and those that f16 would round to 0 its smallest, as other converters
do.
"""

import copy
import sys

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

LARGEST, SMALLEST = float(np.finfo(np.float16).max), float(np.finfo(np.float16).smallest_subnormal)
# The attributes of ONNX's operators that hold the number of a type.
TYPE_ATTRIBUTES = {"to", "dtype", "output_datatype", "output_dtype", "precision", "softmax_precision"}


def half(array):
    """The nearest f16 numbers; finite ones stay finite, and those that are not 0 do not become 0."""
    array = np.asarray(array, np.float32)
    clamped = np.where(np.isfinite(array), np.clip(array, -LARGEST, LARGEST), array)
    tiny = (np.abs(clamped) < SMALLEST) & (clamped != 0)
    return np.where(tiny, np.copysign(np.float32(SMALLEST), clamped), clamped).astype(np.float16)


def half_tensor(tensor):
    """Makes a tensor f16 if it is f32."""
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(half(numpy_helper.to_array(tensor)), tensor.name))


def half_type(of):
    """Makes a type f16 where it is f32."""
    kind = of.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        inner = getattr(of, kind)
        inner.elem_type = TensorProto.FLOAT16 if inner.elem_type == TensorProto.FLOAT else inner.elem_type
    elif kind is not None:
        inner = getattr(of, kind)
        half_type(inner.value_type if kind == "map_type" else inner.elem_type)


def formal(parameters, n_actual):
    """The schema's parameter for each of a node's operands or results; the last one may be variadic."""
    return [parameters[min(index, len(parameters) - 1)] for index in range(n_actual)]


def as_tensor(node):
    """Writes the value of a Constant as a tensor if it is a float or a list of floats."""
    attribute = node.attribute[0]
    if attribute.name in ("value_float", "value_floats"):
        value = attribute.f if attribute.name == "value_float" else list(attribute.floats)
        attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(np.asarray(value, np.float32))))


class Converter:
    def __init__(self, model):
        self.model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        self.opsets = {entry.domain: entry.version for entry in self.model.opset_import}
        # The names of the values that are f32 in the original; names are unique through all subgraphs.
        self.floats, self.names = set(), set()
        # The f32 tensors of constants, by name.
        self.constants = {}
        self.collect(self.model.graph)

    def collect(self, graph):
        typed = [*graph.input, *graph.output, *graph.value_info]
        self.floats |= {value.name for value in typed if value.type.tensor_type.elem_type == TensorProto.FLOAT}
        tensors = [(tensor.name, tensor) for tensor in graph.initializer]
        for node in graph.node:
            if node.op_type == "Constant":
                as_tensor(node)
                tensors += [(node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value"]
            self.names |= {*node.input, *node.output}
            for attribute in node.attribute:
                for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                    self.collect(inner)
        found = {name: copy.deepcopy(tensor) for name, tensor in tensors if tensor.data_type == TensorProto.FLOAT}
        self.floats |= found.keys()
        self.constants |= found

    def fresh(self, name):
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def stays(self, schema, parameter, name):
        """Whether an operand or a result is f32 since the operator has no f16 there."""
        allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
        allowed = allowed.get(parameter.type_str, [parameter.type_str])
        return name in self.floats and "tensor(float16)" not in allowed

    def node(self, node):
        """A node, with Casts around it where the operator has no f16."""
        if node.domain not in ("", "ai.onnx"):
            if self.floats & {*node.input, *node.output}:
                raise ValueError(f"{node.name}: {node.domain}.{node.op_type} is not an operator of ONNX")
            return [node]
        schema = onnx.defs.get_schema(node.op_type, self.opsets[""], "")
        for attribute in node.attribute:
            if attribute.type == AttributeProto.INT and attribute.name in TYPE_ATTRIBUTES and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            half_tensor(attribute.t)
            half_type(attribute.tp)
            for tensor in attribute.tensors:
                half_tensor(tensor)
            for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                self.graph(inner)
        before, after = [], []
        for index, (name, parameter) in enumerate(zip(node.input, formal(schema.inputs, len(node.input)))):
            if self.stays(schema, parameter, name):
                node.input[index] = self.fresh(f"{name}.f32")
                if name in self.constants:
                    before.append(helper.make_node("Constant", [], [node.input[index]], value=self.constants[name]))
                else:
                    before.append(helper.make_node("Cast", [name], [node.input[index]], to=TensorProto.FLOAT))
        for index, (name, parameter) in enumerate(zip(node.output, formal(schema.outputs, len(node.output)))):
            if self.stays(schema, parameter, name):
                node.output[index] = self.fresh(f"{name}.f32")
                after.append(helper.make_node("Cast", [node.output[index]], [name], to=TensorProto.FLOAT16))
        return [*before, node, *after]

    def graph(self, graph):
        for tensor in graph.initializer:
            half_tensor(tensor)
        for value in [*graph.input, *graph.output, *graph.value_info]:
            half_type(value.type)
        nodes = [new for node in graph.node for new in self.node(node)]
        del graph.node[:]
        graph.node.extend(nodes)

    def ends(self):
        """Makes the inputs and outputs of the model f32, with Casts."""
        graph, ends = self.model.graph, {}
        constants = {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name in self.floats and value.name not in constants]
        outputs = [value for value in graph.output if value.name in self.floats - {value.name for value in inputs}]
        for value in [*inputs, *outputs]:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            ends.setdefault(value.name, self.fresh(f"{value.name}.f16"))
        self.rename(graph, ends)
        first = [helper.make_node("Cast", [value.name], [ends[value.name]], to=TensorProto.FLOAT16) for value in inputs]
        last = [helper.make_node("Cast", [ends[value.name]], [value.name], to=TensorProto.FLOAT) for value in outputs]
        nodes = [*first, *graph.node, *last]
        del graph.node[:]
        graph.node.extend(nodes)

    def rename(self, graph, names):
        """Renames values, in subgraphs too."""
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            for attribute in node.attribute:
                for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                    self.rename(inner, names)
                    for output in inner.output:
                        output.name = names.get(output.name, output.name)


def converted(model):
    """The f16 copy of a model."""
    if model.functions:
        raise ValueError("models with functions are not converted")
    converter = Converter(model)
    converter.graph(converter.model.graph)
    converter.ends()
    onnx.checker.check_model(converter.model, full_check=True)
    return converter.model


if __name__ == "__main__":
    onnx.save(converted(onnx.load(sys.argv[1])), sys.argv[2])
