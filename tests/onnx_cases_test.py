"""ONNX's own operator cases through a running skerry serve: all that ONNX Runtime passes give the reference tensors as JSON, as binary
data and over gRPC. Prints "N passed, N failed, N skipped".

Runs with the Python of $SKERRY_TRITON_PYTHON, where scripts/deps --test puts tritonclient; the cases are in $SKERRY_TEST_DATA."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from skerry_process import Served, run_tests

PYTHON = os.environ.get("SKERRY_TRITON_PYTHON", "")
if PYTHON and os.path.realpath(sys.prefix) != os.path.realpath(pathlib.Path(PYTHON).parent.parent):
    os.execv(PYTHON, [PYTHON, *sys.argv])
CASES = pathlib.Path(os.environ.get("SKERRY_TEST_DATA", "unset")) / "onnx_node_tests"
WHY_NOT = ""
try:
    import numpy as np
    import tritonclient.grpc as triton_grpc
    import tritonclient.http as triton_http
    from tritonclient.utils import InferenceServerException, np_to_triton_dtype

    from onnx_tensor import read_tensor
except ImportError:
    WHY_NOT = "tritonclient is not installed (scripts/deps --test)"
if not (CASES / "ORT_RESULTS.tsv").is_file():
    WHY_NOT = "SKERRY_TEST_DATA is not set, or has no onnx_node_tests"
if WHY_NOT:
    print(f"skipped: onnx_cases_test: {WHY_NOT}")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)


class Case:
    def __init__(self, name, model, directory):
        self.name, self.model = name, model
        self.inputs = self.read(directory, "input")
        self.outputs = self.read(directory, "output")

    @staticmethod
    def read(directory, kind):
        count = len(list(directory.glob(f"test_data_set_0/{kind}_*.pb")))
        return [read_tensor(directory / f"test_data_set_0/{kind}_{i}.pb") for i in range(count)]


def json_carries(tensor, nan):
    """FP16 and infinite values have no JSON; `nan`: whether NaN has (null, which tritonclient reads and does not write)."""
    if tensor.dtype.kind != "f":
        return True
    return tensor.dtype != np.float16 and not np.isinf(tensor).any() and (nan or not np.isnan(tensor).any())


def difference(came, reference):
    """What is wrong with the tensor, or ""."""
    if came is None:
        return "did not come"
    if reference.dtype == np.object_:
        came = np.array([v if isinstance(v, bytes) else v.encode() for v in came.reshape(-1)], np.object_).reshape(came.shape)
    if came.dtype != reference.dtype or came.shape != reference.shape:
        return f"is {came.dtype}{list(came.shape)}, not {reference.dtype}{list(reference.shape)}"
    if reference.dtype.kind == "f":
        same = np.allclose(came.astype(np.float64), reference.astype(np.float64), rtol=1e-3, atol=1e-5, equal_nan=True)
    else:
        same = np.array_equal(came, reference)
    return "" if same else "differs"


class OnnxCases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-onnx-")
        directory = pathlib.Path(cls.temporary.name)
        (directory / "unpacked").mkdir()
        subprocess.run(["tar", "-xzf", next(CASES.glob("*.tar.gz")), "-C", directory / "unpacked"], check=True)
        lines = [line.split("\t") for line in (CASES / "ORT_RESULTS.tsv").read_text().splitlines()]
        cls.cases = []
        for name in [line[0] for line in lines if line[1] == "match"]:
            # The cases' own names are longer than a model's may be.
            case = Case(name, f"case-{len(cls.cases)}", directory / "unpacked" / name)
            (directory / "models" / case.model).mkdir(parents=True)
            (directory / "models" / case.model / "1").symlink_to(directory / "unpacked" / name)
            cls.cases.append(case)
        cls.server = Served("serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--model-repository", directory / "models",
                            grpc=True)
        cls.http = triton_http.InferenceServerClient(cls.server.url.removeprefix("http://"))
        cls.grpc = triton_grpc.InferenceServerClient(cls.server.grpc)

    @classmethod
    def tearDownClass(cls):
        cls.http.close()
        cls.grpc.close()
        cls.server.stop()
        cls.temporary.cleanup()

    def run_all(self, module, infer):
        """`infer` gets the case, its inputs by name and the names of its outputs."""
        wrong = []
        for case in self.cases:
            try:
                metadata = self.grpc.get_model_metadata(case.model)
                inputs = dict(zip([t.name for t in metadata.inputs], case.inputs, strict=True))
                names = [t.name for t in metadata.outputs]
                self.assertEqual(len(names), len(case.outputs))
                result = infer(case, inputs, names)
                for name, reference in zip(names, case.outputs, strict=True):
                    if what := difference(result.as_numpy(name), reference):
                        wrong.append(f"{case.name}: {name} {what}")
            except (InferenceServerException, AssertionError, ValueError) as failure:
                wrong.append(f"{case.name}: {failure}")
        print(f"{module}: {len(self.cases)} cases, {len(wrong)} wrong")
        self.assertGreaterEqual(len(self.cases), 1000)
        self.assertEqual(wrong, [])

    def http_inputs(self, inputs, binary):
        made = []
        for name, tensor in inputs.items():
            made.append(triton_http.InferInput(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype)))
            made[-1].set_data_from_numpy(tensor, binary_data=binary(tensor))
        return made

    def test_json(self):
        def infer(case, inputs, names):
            outputs = [triton_http.InferRequestedOutput(name, binary_data=not json_carries(reference, nan=True))
                       for name, reference in zip(names, case.outputs, strict=True)]
            return self.http.infer(case.model, self.http_inputs(inputs, lambda t: not json_carries(t, nan=False)), outputs=outputs)

        self.run_all("JSON", infer)

    def test_binary(self):
        self.run_all("binary", lambda case, inputs, names: self.http.infer(
            case.model, self.http_inputs(inputs, lambda _: True),
            outputs=[triton_http.InferRequestedOutput(name, binary_data=True) for name in names]))

    def test_grpc(self):
        def infer(case, inputs, _):
            made = []
            for name, tensor in inputs.items():
                made.append(triton_grpc.InferInput(name, list(tensor.shape), np_to_triton_dtype(tensor.dtype)))
                made[-1].set_data_from_numpy(tensor)
            return self.grpc.infer(case.model, made)

        self.run_all("gRPC", infer)


if __name__ == "__main__":
    run_tests(__name__)
