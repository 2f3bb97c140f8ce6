"""Reads the reference tensors of ONNX's test cases (input_0.pb, output_0.pb) as NumPy arrays, so that no test needs the onnx package.
Source: onnx-ml.proto, TensorProto (field numbers)."""
import numpy as np

from protobuf_fields import fields, packed

# By TensorProto.DataType: those that the Open Inference Protocol names. Text is an array of bytes objects.
DTYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 8: np.object_, 9: np.bool_,
          10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64}


def _integers(values):
    """The elements of a repeated integer field, packed or not; negative ones have 64 bits on the wire."""
    out = []
    for value in values:
        if isinstance(value, int):
            out.append(value)
            continue
        out += packed(value)
    return [v - 2**64 if v >= 2**63 else v for v in out]


def read_tensor(path):
    """None for an element type that the protocol does not name."""
    by_number = {}
    for number, value in fields(path.read_bytes()):
        by_number.setdefault(number, []).append(value)
    shape = _integers(by_number.get(1, []))
    element_type = by_number[2][0]
    dtype = DTYPES.get(element_type)
    if dtype is None:
        return None
    if dtype is np.object_:
        array = np.empty(len(by_number.get(6, [])), np.object_)
        array[:] = by_number.get(6, [])
    elif 9 in by_number:
        array = np.frombuffer(by_number[9][0], np.dtype(dtype).newbyteorder("<"))
    elif dtype is np.float32:
        array = np.frombuffer(b"".join(by_number.get(4, [])), "<f4")
    elif dtype is np.float64:
        array = np.frombuffer(b"".join(by_number.get(10, [])), "<f8")
    elif dtype is np.float16:
        array = np.array(_integers(by_number.get(5, [])), np.uint16).view(np.float16)
    else:
        integers = _integers(by_number.get({np.int64: 7, np.uint32: 11, np.uint64: 11}.get(dtype, 5), []))
        array = np.array([i % 2**64 for i in integers] if dtype is np.uint64 else integers, dtype)
    return array.astype(dtype).reshape(shape)
