"""Drives skerry serve with tritonclient, the protocol's public client. Prints "N passed, N failed, N skipped".

Runs with the Python of $SKERRY_TRITON_PYTHON, where scripts/deps --test puts tritonclient."""
import asyncio
import os
import pathlib
import queue
import ssl
import sys
import tempfile
import unittest

from certificates import make_certificates
from onnx_identity import ELEMENT_TYPES, write_identity
from skerry_process import Served, run, run_tests, train_package

PYTHON = os.environ.get("SKERRY_TRITON_PYTHON", "")
if PYTHON and os.path.realpath(sys.prefix) != os.path.realpath(pathlib.Path(PYTHON).parent.parent):
    os.execv(PYTHON, [PYTHON, *sys.argv])
try:
    import numpy as np
    import tritonclient.grpc as triton_grpc
    import tritonclient.grpc.aio as triton_grpc_aio
    import tritonclient.http as triton_http
    import tritonclient.http.aio as triton_http_aio
    from tritonclient.utils import InferenceServerException, np_to_triton_dtype
except ImportError:
    print("skipped: triton_client_test: tritonclient is not installed (scripts/deps --test)")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)

TENSORS = {
    "BOOL": np.array([[True, False], [False, True]]),
    "INT8": np.array([[-128, 127]], np.int8), "INT16": np.array([[-32768, 32767]], np.int16),
    "INT32": np.array([[-2**31, 2**31 - 1]], np.int32), "INT64": np.array([[-2**63, 2**63 - 1]], np.int64),
    "UINT8": np.array([[0, 255]], np.uint8), "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32), "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "FP16": np.array([[-1.5, 65504, 6e-8]], np.float16), "FP32": np.array([[0.1, -3.4e38]], np.float32),
    "FP64": np.array([[0.1, -1.7e308]], np.float64), "BYTES": np.array([[b"", b"caf\xc3\xa9", b"a\nb"]], object)}


def identity_inputs(module, datatypes, **how):
    inputs = []
    for datatype in datatypes:
        tensor = TENSORS[datatype]
        inputs.append(module.InferInput(f"x_{datatype}", tensor.shape, datatype))
        inputs[-1].set_data_from_numpy(tensor, **how)
    return inputs


def rows(module, a=70.0, b=2.0, kind="x", **how):
    """One row for the trained package."""
    inputs = []
    for name, value in (("a", a), ("b", b), ("kind", kind)):
        tensor = np.array([value], object if name == "kind" else np.float32)
        inputs.append(module.InferInput(name, [1], np_to_triton_dtype(tensor.dtype)))
        inputs[-1].set_data_from_numpy(tensor, **how)
    return inputs


class TritonClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-triton-")
        directory = pathlib.Path(cls.temporary.name)
        train_package(directory)
        write_identity(directory / "identity.onnx")
        cls.server = Served("serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", f"demo={directory / 'model'}",
                            directory / "identity.onnx", grpc=True)
        cls.http = triton_http.InferenceServerClient(cls.server.url.removeprefix("http://"))
        cls.grpc = triton_grpc.InferenceServerClient(cls.server.grpc)

    @classmethod
    def tearDownClass(cls):
        cls.http.close()
        cls.grpc.close()
        cls.server.stop()
        cls.temporary.cleanup()

    def clients(self):
        yield self.http
        yield self.grpc

    def assert_same(self, result, datatypes):
        for datatype in datatypes:
            back = result.as_numpy(f"y_{datatype}")
            self.assertIsNotNone(back, datatype)
            if datatype == "BYTES":
                back = np.array([[v if isinstance(v, bytes) else v.encode() for v in row] for row in back], object)
            np.testing.assert_array_equal(back, TENSORS[datatype], datatype)

    def test_health_and_readiness(self):
        for client in self.clients():
            self.assertTrue(client.is_server_live())
            self.assertTrue(client.is_server_ready())
            self.assertTrue(client.is_model_ready("demo"))
            self.assertFalse(client.is_model_ready("drilling"))

    def test_metadata(self):
        self.assertEqual(self.http.get_server_metadata()["name"], "skerry")
        self.assertEqual(self.grpc.get_server_metadata().name, "skerry")
        over_http = self.http.get_model_metadata("identity")
        over_grpc = self.grpc.get_model_metadata("identity", as_json=True)
        self.assertEqual({t["name"]: t["datatype"] for t in over_http["inputs"]}, {f"x_{d}": d for d in ELEMENT_TYPES})
        for tensors in ("inputs", "outputs"):
            self.assertEqual([(t["name"], t["datatype"], [int(n) for n in t["shape"]]) for t in over_http[tensors]],
                             [(t["name"], t["datatype"], [int(n) for n in t["shape"]]) for t in over_grpc[tensors]])
        self.assertEqual(self.grpc.get_model_config("identity", as_json=True)["config"]["input"][0]["data_type"], "TYPE_FP32")

    def test_the_index_names_the_models(self):
        index = self.grpc.get_model_repository_index()
        self.assertEqual({m.name for m in index.models}, {"demo", "identity"})

    def test_statistics_and_configuration(self):
        before = self.http.get_inference_statistics("demo")["model_stats"][0]
        self.http.infer("demo", rows(triton_http))
        self.grpc.infer("demo", rows(triton_grpc))
        after = self.http.get_inference_statistics("demo", "0")["model_stats"][0]
        self.assertEqual(after["inference_count"] - before["inference_count"], 2)
        self.assertGreater(after["inference_stats"]["compute_infer"]["ns"], 0)
        self.assertEqual(len(self.http.get_inference_statistics()["model_stats"]), 2)
        over_http = self.http.get_inference_statistics("demo", "0")["model_stats"][0]
        over_grpc = self.grpc.get_inference_statistics("demo", "0", as_json=True)["model_stats"][0]
        self.assertEqual(int(over_grpc["inference_count"]), over_http["inference_count"])
        self.assertEqual(int(over_grpc["last_inference"]), over_http["last_inference"])
        for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
            self.assertEqual({k: int(v) for k, v in over_grpc["inference_stats"][part].items()},
                             {k: v for k, v in over_http["inference_stats"][part].items() if v}, part)
        self.assertEqual(len(self.grpc.get_inference_statistics().model_stats), 2)
        with self.assertRaises(InferenceServerException) as raised:
            self.grpc.get_inference_statistics("drilling")
        self.assertEqual(raised.exception.status(), "StatusCode.NOT_FOUND")
        over_http = self.http.get_model_config("demo")
        over_grpc = self.grpc.get_model_config("demo", as_json=True)["config"]
        self.assertEqual([(t["name"], t["data_type"]) for t in over_http["input"]],
                         [(t["name"], t["data_type"]) for t in over_grpc["input"]])

    def test_models_come_and_go_on_request_alone(self):
        for client in self.clients():
            with self.assertRaisesRegex(InferenceServerException, "--repository-api"):
                client.unload_model("demo")
            self.assertTrue(client.is_model_ready("demo"))
        with tempfile.TemporaryDirectory(prefix="skerry-triton-") as name:
            repository = pathlib.Path(name)
            with Served("serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--model-repository", repository,
                        "--repository-api", grpc=True) as server:
                for client, module in ((triton_http.InferenceServerClient(server.url.removeprefix("http://")), triton_http),
                                       (triton_grpc.InferenceServerClient(server.grpc), triton_grpc)):
                    with self.subTest(module.__name__), client:
                        self.models_come_and_go(client, repository, as_json={"as_json": True} if module is triton_grpc else {})

    def models_come_and_go(self, client, repository, as_json):
        self.assertFalse(client.is_server_ready())
        for version in ("1", "2"):
            (repository / "echo" / version).mkdir(parents=True, exist_ok=True)
            write_identity(repository / "echo" / version / "model.onnx")
        client.load_model("echo")
        self.assertTrue(client.is_model_ready("echo", "1"))
        self.assertEqual(client.get_model_metadata("echo", **as_json)["versions"], ["1", "2"])
        (repository / "echo/2/model.onnx").write_bytes(b"damaged")
        with self.assertRaises(InferenceServerException):
            client.load_model("echo")
        index = client.get_model_repository_index(**as_json)
        index = {m["version"]: m for m in (index["models"] if as_json else index)}
        self.assertEqual(index["2"]["state"], "READY")
        self.assertIn("damaged", index["2"]["reason"])
        with self.assertRaisesRegex(InferenceServerException, "own directory"):
            client.load_model("echo", config='{"backend": "onnxruntime"}')
        client.unload_model("echo")
        self.assertFalse(client.is_model_ready("echo"))

    def test_grpc_gives_every_datatype_back(self):
        self.assert_same(self.grpc.infer("identity", identity_inputs(triton_grpc, ELEMENT_TYPES)), ELEMENT_TYPES)

    def test_http_gives_every_datatype_back_as_json(self):
        datatypes = [d for d in ELEMENT_TYPES if d != "FP16"]  # which JSON does not carry
        write_identity(pathlib.Path(self.temporary.name) / "json.onnx", datatypes)
        with Served("serve", "--http", "127.0.0.1:0", pathlib.Path(self.temporary.name) / "json.onnx") as server:
            with triton_http.InferenceServerClient(server.url.removeprefix("http://")) as client:
                outputs = [triton_http.InferRequestedOutput(f"y_{d}", binary_data=False) for d in datatypes]
                self.assert_same(client.infer("json", identity_inputs(triton_http, datatypes, binary_data=False),
                                              outputs=outputs), datatypes)

    def test_a_package_scores_alike_over_both(self):
        outputs = [triton_http.InferRequestedOutput("score", binary_data=False)]
        over_http = self.http.infer("demo", rows(triton_http, binary_data=False), outputs=outputs, request_id="r-1")
        over_grpc = self.grpc.infer("demo", rows(triton_grpc), request_id="r-1")
        self.assertEqual(over_http.get_response()["id"], "r-1")
        self.assertEqual(over_grpc.get_response().id, "r-1")
        self.assertGreater(over_http.as_numpy("score")[0], 0.5)
        self.assertEqual(over_http.as_numpy("score")[0], over_grpc.as_numpy("score")[0])
        self.assertEqual(over_grpc.as_numpy("prediction")[0], b"1")
        self.assertEqual(over_grpc.get_response().parameters["rows"].int64_param, 1)

    def test_requested_outputs_are_chosen_and_ordered(self):
        wanted = [triton_grpc.InferRequestedOutput(name) for name in ("score", "prediction")]
        answer = self.grpc.infer("demo", rows(triton_grpc), outputs=wanted).get_response()
        self.assertEqual([o.name for o in answer.outputs], ["score", "prediction"])

    def test_asyncio_clients(self):
        async def both():
            outputs = [triton_http.InferRequestedOutput("score", binary_data=False)]
            async with triton_http_aio.InferenceServerClient(self.server.url.removeprefix("http://")) as client:
                self.assertTrue(await client.is_server_ready())
                over_http = await asyncio.gather(*(client.infer("demo", rows(triton_http, a=a, binary_data=False), outputs=outputs)
                                                   for a in (20.0, 70.0)))
            async with triton_grpc_aio.InferenceServerClient(self.server.grpc) as client:
                self.assertTrue(await client.is_server_ready())
                over_grpc = await asyncio.gather(*(client.infer("demo", rows(triton_grpc, a=a)) for a in (20.0, 70.0)))
            return [[answer.as_numpy("score")[0] for answer in answers] for answers in (over_http, over_grpc)]

        over_http, over_grpc = asyncio.run(both())
        self.assertEqual(over_http, over_grpc)
        self.assertLess(over_http[0], over_http[1])

    def test_async_infer_with_a_callback(self):
        answers = queue.Queue()
        for _ in range(8):
            self.grpc.async_infer("demo", rows(triton_grpc), lambda result, error: answers.put((result, error)))
        for _ in range(8):
            result, error = answers.get(timeout=20)
            self.assertIsNone(error)
            self.assertGreater(result.as_numpy("score")[0], 0.5)
        waiting = [self.http.async_infer("demo", rows(triton_http, binary_data=False),
                                         outputs=[triton_http.InferRequestedOutput("score", binary_data=False)]) for _ in range(8)]
        for request in waiting:
            self.assertGreater(request.get_result().as_numpy("score")[0], 0.5)

    def test_a_stream_answers_in_order_and_outlives_a_refusal(self):
        answers = queue.Queue()
        client = triton_grpc.InferenceServerClient(self.server.grpc)
        client.start_stream(lambda result, error: answers.put((result, error)))
        for request_id, model in (("1", "demo"), ("2", "drilling"), ("3", "demo")):
            client.async_stream_infer(model, rows(triton_grpc), request_id=request_id)
        first, refused, last = (answers.get(timeout=20) for _ in range(3))
        client.stop_stream()
        client.close()
        self.assertEqual([first[0].get_response().id, last[0].get_response().id], ["1", "3"])
        self.assertIn("drilling", refused[1].message())

    def test_refusals_say_why(self):
        wrong = triton_grpc.InferInput("input", [1, 9], "FP32").set_data_from_numpy(np.zeros([1, 9], np.float32))
        for model, inputs, status, words in (("drilling", rows(triton_grpc), "NOT_FOUND", "drilling"),
                                             ("demo", [wrong], "INVALID_ARGUMENT", "input")):
            with self.assertRaises(InferenceServerException) as raised:
                self.grpc.infer(model, inputs)
            self.assertEqual(raised.exception.status(), f"StatusCode.{status}")
            self.assertIn(words, raised.exception.message())
        wrong = triton_http.InferInput("input", [1, 9], "FP32").set_data_from_numpy(np.zeros([1, 9], np.float32), binary_data=False)
        for model, inputs, status in (("drilling", rows(triton_http, binary_data=False), "404"), ("demo", [wrong], "400")):
            with self.assertRaises(InferenceServerException) as raised:
                self.http.infer(model, inputs, outputs=[triton_http.InferRequestedOutput("score", binary_data=False)])
            self.assertEqual(raised.exception.status(), status)

    def test_a_message_over_the_limit_is_refused_and_the_connection_goes_on(self):
        large = triton_grpc.InferInput("x_UINT8", [1, 65 << 20], "UINT8").set_data_from_numpy(np.zeros([1, 65 << 20], np.uint8))
        with self.assertRaises(InferenceServerException) as raised:
            self.grpc.infer("identity", [large])
        self.assertEqual(raised.exception.status(), "StatusCode.RESOURCE_EXHAUSTED")
        self.assertTrue(self.grpc.is_server_live())

    def test_a_deadline_that_passes_ends_the_call(self):
        # The batch would wait for a minute, so that the deadline comes first on any machine.
        model = pathlib.Path(self.temporary.name) / "model"
        with Served("serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--batch-size", 64, "--batch-delay-us", 60_000_000,
                    f"demo={model}", grpc=True) as server, triton_grpc.InferenceServerClient(server.grpc) as client:
            with self.assertRaises(InferenceServerException) as raised:
                client.infer("demo", rows(triton_grpc), client_timeout=0.2)
            self.assertEqual(raised.exception.status(), "StatusCode.DEADLINE_EXCEEDED")
            with triton_http.InferenceServerClient(server.url.removeprefix("http://")) as http:
                self.assertEqual(http.get_inference_statistics("demo")["model_stats"][0]["execution_count"], 0)

    def test_grpc_maps_neither_duckdb_nor_xgboost(self):
        maps = pathlib.Path(f"/proc/{self.server.process.pid}/maps").read_text()
        self.assertIn("libgrpc", maps)
        self.assertNotIn("duckdb", maps)
        self.assertNotIn("xgboost", maps)

    def test_tls_client_certificates_and_keys_over_both(self):
        directory = pathlib.Path(self.temporary.name)
        make_certificates(directory)
        key = run("api-key", "line-3", "--keys", directory / "keys").stdout.strip()
        bearer = {"authorization": f"Bearer {key}"}
        trust = {name: str(directory / file) for name, file in
                 (("root_certificates", "ca.pem"), ("private_key", "client.key"), ("certificate_chain", "client.pem"))}
        with Served("serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--tls-cert", directory / "server.pem",
                    "--tls-key", directory / "server.key", "--client-ca", directory / "ca.pem", "--api-keys", directory / "keys",
                    f"demo={directory / 'model'}", grpc=True) as server:
            context = ssl.create_default_context(cafile=directory / "ca.pem")
            context.load_cert_chain(directory / "client.pem", directory / "client.key")
            scores = []
            with triton_http.InferenceServerClient(server.url.removeprefix("https://"), ssl=True,
                                                   ssl_context_factory=lambda: context) as client:
                self.assertTrue(client.is_server_ready())
                with self.assertRaises(InferenceServerException) as raised:
                    client.infer("demo", rows(triton_http))
                self.assertEqual(raised.exception.status(), "401")
                # tritonclient adds to the headers that it is given.
                scores.append(client.infer("demo", rows(triton_http), headers=dict(bearer)).as_numpy("score")[0])
            with triton_grpc.InferenceServerClient(server.grpc, ssl=True, **trust) as client:
                self.assertTrue(client.is_server_ready())
                with self.assertRaises(InferenceServerException) as raised:
                    client.infer("demo", rows(triton_grpc))
                self.assertEqual(raised.exception.status(), "StatusCode.UNAUTHENTICATED")
                scores.append(client.infer("demo", rows(triton_grpc), headers=bearer).as_numpy("score")[0])
            self.assertEqual(scores[0], scores[1])
            del trust["private_key"], trust["certificate_chain"]
            with triton_grpc.InferenceServerClient(server.grpc, ssl=True, **trust) as client:
                with self.assertRaises(InferenceServerException) as raised:
                    client.get_server_metadata(headers=bearer, client_timeout=5)
                self.assertEqual(raised.exception.status(), "StatusCode.UNAVAILABLE")

    def test_a_site_serves_grpc_too(self):
        with Served("site", "--data", pathlib.Path(self.temporary.name) / "site", "--name", "north", "--http", "127.0.0.1:0",
                    "--grpc", "127.0.0.1:0", grpc=True) as site, triton_grpc.InferenceServerClient(site.grpc) as client:
            self.assertTrue(client.is_server_live())
            self.assertFalse(client.is_server_ready())  # no model yet


if __name__ == "__main__":
    run_tests(__name__)
