"""The trees in a package's model.onnx, read and added up without ONNX Runtime."""
import ctypes
import math
import struct

from protobuf_fields import fields, packed


def float32(number):
    return ctypes.c_float(number).value


class Trees:
    """The graph as onnx-ml.proto has it: ModelProto.graph = 7, GraphProto.node = 1, NodeProto.op_type = 4 and .attribute = 5."""

    def __init__(self, path):
        graph = dict(fields(path.read_bytes()))[7]
        nodes = [list(fields(value)) for number, value in fields(graph) if number == 1]
        self.operators = [dict(node)[4].decode() for node in nodes]
        attributes = {}
        for number, value in nodes[0]:
            if number != 5:
                continue
            floats, ints, texts, name = [], [], [], None
            for field, part in fields(value):
                if field == 1:
                    name = part.decode()
                elif field == 3:
                    ints.append(part)
                elif field == 7:
                    floats += struct.unpack(f"<{len(part) // 4}f", part)
                elif field == 8:
                    ints += [part] if isinstance(part, int) else packed(part)
                elif field == 9:
                    texts.append(part.decode())
            attributes[name] = floats or ints or texts
        self.modes = attributes["nodes_modes"]
        self.targets = attributes["n_targets"][0]
        names = ("treeids", "nodeids", "featureids", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true", "modes")
        self.nodes = {(tree, node): rest for tree, node, *rest in zip(*(attributes["nodes_" + name] for name in names))}
        self.weights = {(tree, node): (target, weight) for tree, node, target, weight in
                        zip(*(attributes["target_" + name] for name in ("treeids", "nodeids", "ids", "weights")))}
        self.trees = max(tree for tree, _ in self.nodes) + 1

    def margins(self, row):
        """In the order of the trees and in float32, as the trainer adds."""
        sums = [0.0] * self.targets
        for tree in range(self.trees):
            node = 0
            while self.nodes[tree, node][-1] != "LEAF":
                feature, value, yes, no, missing_yes, mode = self.nodes[tree, node]
                at = row[feature]
                true = missing_yes if math.isnan(at) else at == value if mode == "BRANCH_EQ" else at < value
                node = yes if true else no
            target, weight = self.weights[tree, node]
            sums[target] = float32(sums[target] + weight)
        return sums
