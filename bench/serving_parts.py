"""What the benchmarks of a scoring server share: the process, requests, the open loop."""
import array
import json
import random
import re
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def rss_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def post(url, body, headers=None):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


class Server:
    """A process that answers on `base`; its start is timed to the first good answer."""

    def __init__(self, command, base=None):
        started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = base or self.process.stdout.readline()
        if not (found := re.search(r"http://\S+", said)):
            raise SystemExit(f"{command[0]} did not start; it said: {said.strip() or 'nothing'}")
        self.base = found[0]
        self.started = started

    def first_answer(self, path, body):
        while True:
            try:
                post(self.base + path, body)
                return time.monotonic() - self.started
            except OSError:
                if self.process.poll() is not None or time.monotonic() - self.started > 60:
                    raise SystemExit(f"no answer from {self.process.args}")
                time.sleep(0.001)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def metadata(base, model):
    with urllib.request.urlopen(f"{base}/v2/models/{model}", timeout=30) as answer:
        return json.load(answer)["inputs"][0]


def numbers(spec, rows):
    shape = [rows if i == 0 else max(1, n) for i, n in enumerate(spec["shape"])]
    count = 1
    for n in shape:
        count *= n
    draw = random.Random(1)
    return shape, [round(draw.uniform(0, 1), 3) for _ in range(count)]


def json_body(spec, rows):
    shape, data = numbers(spec, rows)
    return json.dumps({"inputs": [{"name": spec["name"], "shape": shape, "datatype": spec["datatype"],
                                   "data": data}]}, separators=(",", ":")).encode()


def named_body(spec, rows):
    """The same numbers in the JSON of kibae/onnxruntime-server: nested lists by input name."""
    shape, data = numbers(spec, rows)
    width = len(data) // rows
    return json.dumps({spec["name"]: [data[i * width:(i + 1) * width] for i in range(rows)]}, separators=(",", ":")).encode()


def binary_body(spec, rows):
    """The same numbers as binary tensor data, and the header that says where the JSON ends."""
    shape, data = numbers(spec, rows)
    raw = array.array("f", data).tobytes()
    head = json.dumps({"inputs": [{"name": spec["name"], "shape": shape, "datatype": "FP32",
                                   "parameters": {"binary_data_size": len(raw)}}],
                       "parameters": {"binary_data_output": True}}, separators=(",", ":")).encode()
    return head + raw, {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}


def model_limit(model, seconds, directory):
    """Runs a second of a model on all cores without a server."""
    program = directory / "model_limit"
    if not program.exists():
        prefix = Path(subprocess.run([ROOT / "scripts/deps", "--print-prefix"], check=True, capture_output=True, text=True).stdout.strip())
        subprocess.run(["c++", "-std=c++20", "-O2", "-o", program, ROOT / "bench/model_limit.cpp", f"-I{prefix}/include/onnxruntime",
                        f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib", "-lonnxruntime", "-pthread"], check=True)
    return float(subprocess.run([program, model, str(seconds)], check=True, capture_output=True, text=True).stdout)


def open_loop(base, path, body, rate, seconds, directory):
    program = directory / "open_loop"
    if not program.exists():
        subprocess.run(["c++", "-std=c++20", "-O2", "-o", program, ROOT / "bench/open_loop.cpp"], check=True)
    request = directory / "request"
    request.write_bytes(f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    out = subprocess.run([program, base.rsplit(":", 1)[1], str(rate), str(seconds), "64", request],
                         check=True, capture_output=True, text=True).stdout
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", out)}
