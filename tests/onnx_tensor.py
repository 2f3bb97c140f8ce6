"""Reads the reference tensors of ONNX's test cases (input_0.pb, output_0.pb) as NumPy arrays, so that no test needs the onnx package.
Source: onnx-ml.proto, TensorProto (field numbers)."""
import numpy as np

# By TensorProto.DataType: those that the Open Inference Protocol names. Text is an array of bytes objects.
DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 8: np.object_, 9: np.bool_,
          10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64}


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _fields(data):
    """(field number, value): an int, or the bytes of a length-delimited or fixed-size field."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def _integers(values):
    """The elements of a repeated integer field, packed or not; negative ones have 64 bits on the wire."""
    out = []
    for value in values:
        if isinstance(value, int):
            out.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            out.append(number)
    return [v - 2**64 if v >= 2**63 else v for v in out]


def read_tensor(path):
    """None for an element type that the protocol does not name."""
    fields = {}
    for number, value in _fields(path.read_bytes()):
        fields.setdefault(number, []).append(value)
    shape = _integers(fields.get(1, []))
    element_type = fields[2][0]
    dtype = DTYPES.get(element_type)
    if dtype is None:
        return None
    if dtype is np.object_:
        array = np.empty(len(fields.get(6, [])), np.object_)
        array[:] = fields.get(6, [])
    elif 9 in fields:
        array = np.frombuffer(fields[9][0], np.dtype(dtype).newbyteorder("<"))
    elif dtype is np.float32:
        array = np.frombuffer(b"".join(fields.get(4, [])), "<f4")
    elif dtype is np.float64:
        array = np.frombuffer(b"".join(fields.get(10, [])), "<f8")
    elif dtype is np.float16:
        array = np.array(_integers(fields.get(5, [])), np.uint16).view(np.float16)
    else:
        integers = _integers(fields.get({np.int64: 7, np.uint32: 11, np.uint64: 11}.get(dtype, 5), []))
        array = np.array([i % 2**64 for i in integers] if dtype is np.uint64 else integers, dtype)
    return array.astype(dtype).reshape(shape)
