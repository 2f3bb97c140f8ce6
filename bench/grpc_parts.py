"""gRPC for the benchmarks: a raw ModelInferRequest, ghz, and the empty handler that is the floor."""
import array
import json
import shutil
import subprocess
from pathlib import Path

from measure import cpu_seconds
from serving_parts import ROOT, numbers


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, body):
    """A length-delimited field."""
    body = body.encode() if isinstance(body, str) else body
    return varint(number << 3 | 2) + varint(len(body)) + body


def infer_request(model, spec, rows):
    """A ModelInferRequest of proto/open_inference.proto, its tensor raw."""
    shape, data = numbers(spec, rows)
    tensor = field(1, spec["name"]) + field(2, "FP32") + field(3, b"".join(map(varint, shape)))
    return field(1, model) + field(5, tensor) + field(7, array.array("f", data).tobytes())


def compile_empty(directory):
    libraries = subprocess.run(["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"], check=True, capture_output=True, text=True)
    subprocess.run(["protoc", f"--cpp_out={directory}", f"--grpc_out={directory}",
                    f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}", "-I", ROOT / "proto", "open_inference.proto"], check=True)
    program = directory / "empty_rpc"
    subprocess.run(["c++", "-std=c++20", "-O2", "-o", program, ROOT / "bench/empty_rpc.cpp", *directory.glob("*.cc"), "-I", directory,
                    *libraries.stdout.split()], check=True)
    return program


def ghz_program():
    """None where scripts/deps --bench did not build it."""
    prefix = subprocess.run([ROOT / "scripts/deps", "--print-bench"], check=True, capture_output=True, text=True).stdout.strip()
    program = Path(prefix) / "bin/ghz"
    return program if program.exists() else None


def ghz(program, address, body_file, connections, seconds, pid):
    """Closed loop, a call at a time on each connection; `pid` is whose CPU is counted, or None."""
    before = cpu_seconds(pid) if pid else 0
    out = subprocess.run([program, "--insecure", "--proto", ROOT / "proto/open_inference.proto", "--call",
                          "inference.GRPCInferenceService.ModelInfer", "--cpus", "1", "-c", str(connections), "--connections",
                          str(connections), "-z", f"{seconds}s", "--duration-stop", "wait", "-B", body_file, "--format", "json", address],
                         check=True, capture_output=True, text=True).stdout
    result = json.loads(out)
    cpu = cpu_seconds(pid) - before if pid else None
    failed = result["count"] - result["statusCodeDistribution"].get("OK", 0)
    if failed:
        raise SystemExit(f"{address}: {failed} of {result['count']} calls failed: {result['statusCodeDistribution']}")
    latency = {entry["percentage"]: entry["latency"] / 1e3 for entry in result["latencyDistribution"]}
    return {"per_s": result["rps"], "p50_us": latency[50], "p99_us": latency[99],
            "cpu_us": cpu / result["count"] * 1e6 if pid else None, "failed": failed}
