"""Writes ONNX models by hand, so that no test needs the onnx package. Source: onnx-ml.proto (field numbers)."""

# By the datatype's name in the Open Inference Protocol.
ELEMENT_TYPES = {"FP32": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7, "BYTES": 8, "BOOL": 9,
                 "FP16": 10, "FP64": 11, "UINT32": 12, "UINT64": 13}


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _number(field, number):
    return _varint(field << 3) + _varint(number)


def _message(field, *parts):
    body = b"".join(p if isinstance(p, bytes) else p.encode() for p in parts)
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _value(field, name, element_type):
    shape = _message(2, _message(1, _message(2, "N")), _message(1, _message(2, "M")))
    return _message(field, _message(1, name), _message(2, _message(1, _number(1, element_type), shape)))


def write_identity(path, datatypes=tuple(ELEMENT_TYPES)):
    """For each datatype D an input x_D [N, M] that comes back as y_D."""
    nodes = [_message(1, _message(1, f"x_{d}"), _message(2, f"y_{d}"), _message(4, "Identity")) for d in datatypes]
    inputs = [_value(11, f"x_{d}", ELEMENT_TYPES[d]) for d in datatypes]
    outputs = [_value(12, f"y_{d}", ELEMENT_TYPES[d]) for d in datatypes]
    graph = _message(7, *nodes, _message(2, "identity"), *inputs, *outputs)
    path.write_bytes(_number(1, 8) + graph + _message(8, _number(2, 16)))
