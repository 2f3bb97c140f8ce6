"""Measures a site end to end on real rows: scoring with capture off, async and sync and through a scorer beside it, the sizes of the processes, and the
bytes that a record costs on the link against the same records as JSON lines, plain and gzipped.

  python3 bench/site.py --data .../ai4i2020.csv [--seconds 4] [--rounds 3] [--rows 40000] [--json FILE]

Needs wrk (Debian) and build/release/skerry; the comparison of bytes needs the duckdb package of bench/requirements.txt,
without which it is skipped by name. Everything runs on loopback in a temporary directory. The rounds of the three capture
modes are interleaved, since machines are noisy: compare within one run only; ratios are medians of those of each round. The client shares the cores with the site; the hub, another machine's work,
stands still meanwhile.
"""
import argparse
import csv
import gzip
import json
import pathlib
import random
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

from measure import wrk

ROOT = pathlib.Path(__file__).resolve().parent.parent
SKERRY = ROOT / "build/release/skerry"
FEATURES = ["type", "air_temperature_k", "process_temperature_k", "rotational_speed_rpm", "torque_nm", "tool_wear_min"]
# Fresh noise at the sensors' own resolution, so that repeated rows flatter no compressor.
RESOLUTION = {"air_temperature_k": 0.1, "process_temperature_k": 0.1, "rotational_speed_rpm": 1, "torque_nm": 0.1, "tool_wear_min": 1}
POLICY = """skerry: policy/1
name: milling
version: 1
default: drop
fields:
  type: {action: keep, rule: process}
  air_temperature_k: {action: keep, rule: process}
  process_temperature_k: {action: keep, rule: process}
  rotational_speed_rpm: {action: keep, rule: process}
  torque_nm: {action: keep, rule: process}
  tool_wear_min: {action: keep, rule: process}
derived:
  prediction: {action: keep, rule: outputs}
  score: {action: round, to: 0.0001, rule: outputs}
  anomaly_score: {action: round, to: 0.0001, rule: outputs}
  reasons: {action: keep, rule: outputs}
  event_time: {action: keep, rule: times}
  status: {action: keep, rule: fleet}
classes:
  anomaly: {when: "anomaly"}
  sample: {rate: 1.0}
"""


def run(*args, may_fail=False):
    done = subprocess.run([SKERRY, *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        if may_fail:
            return None
        raise SystemExit(f"skerry {' '.join(map(str, args))}: {done.stderr.strip()}")
    return done.stdout


class Process:
    """A long-running command that has said where it listens."""

    def __init__(self, *args):
        self.process = subprocess.Popen([SKERRY, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        found = re.search(r"(https?)://[\d.]+:(\d+)", line)
        if not found:
            raise SystemExit(f"skerry {args[0]} did not start: {line}")
        self.scheme, self.port = found.group(1), int(found.group(2))
        self.url = found.group(0)
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def memory_mb(self):
        """Resident, and the part of it that no other process shares (Pss would need a quiet machine)."""
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return {key: int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1)) / 1024
                for key, name in (("resident", "Rss"), ("anonymous", "Anonymous"))}

    def stop(self):
        self.process.terminate()
        self.process.wait(40)


class CountingProxy:
    """A TCP relay that counts the bytes of each direction: what the link carries, TLS and HTTP included."""

    def __init__(self, port):
        self.target, self.up, self.down = port, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.relay, args=(client, server, "up"), daemon=True).start()
            threading.Thread(target=self.relay, args=(server, client, "down"), daemon=True).start()

    def relay(self, source, sink, way):
        try:
            while data := source.recv(65536):
                setattr(self, way, getattr(self, way) + len(data))
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def read_rows(path):
    def field(name):
        return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    with open(path, newline="", encoding="utf-8-sig") as file:
        return [{field(k): v for k, v in row.items()} for row in csv.DictReader(file)]


def fresh(row, rng):
    out = {}
    for name in FEATURES:
        step = RESOLUTION.get(name)
        if step is None:
            out[name] = row[name]
        else:
            value = float(row[name]) + rng.randint(-3, 3) * step
            out[name] = round(max(value, 0), 1) if step < 1 else max(int(value), 0)
    return out


def request_of(rows):
    inputs = []
    for name in FEATURES:
        text = name not in RESOLUTION
        inputs.append({"name": name, "datatype": "BYTES" if text else "FP32", "shape": [len(rows)], "data": [r[name] for r in rows]})
    return json.dumps({"inputs": inputs}, separators=(",", ":")).encode()


def set_up(work, data):
    hub = Process("hub", "--data", work / "hub", "--listen", "127.0.0.1:0")
    run("train", data, "--label", "Machine failure", "--ignore", "UDI,TWF,HDF,PWF,OSF,RNF,Product ID", "--name", "milling", "--version", "1",
        "--out", work / "milling")
    run("pack", work / "milling", "--name", "milling", "--version", "1", "--out", work / "milling.oci")
    run("sign", work / "milling.oci", "--key", work / "hub/keys/model.key")
    run("push", work / "milling.oci", "--hub", work / "hub")
    (work / "policy.yaml").write_text(POLICY)
    run("policy", "push", work / "policy.yaml", "--hub", work / "hub")
    return hub


def start_site(work, hub, name, capture, port=None, interval="200ms", options=()):
    config = work / f"{name}.yaml"
    config.write_text(f"capture: {capture}\nhub:\n  interval: {interval}\noutbox:\n  segment_rows: 20000\n  segment_age: 5s\n")
    run("token", name, "--hub", work / "hub", "--out", work / f"{name}.token")
    hub_url = f"https://127.0.0.1:{port or hub.port}"
    site = Process("site", "--data", work / name, "--token-file", work / f"{name}.token", "--config", config, "--http", "127.0.0.1:0", "--hub", hub_url, *options)
    deploy = ("deploy", "milling:1", "--policy", "milling:1", "--sites", name, "--hub", work / "hub")
    wait(lambda: run(*deploy, may_fail=True) is not None, f"{name} to join")
    wait(lambda: ready(site), f"{name} to be ready")
    return site


def ready(site):
    try:
        return urllib.request.urlopen(f"{site.url}/v2/models/milling/ready", timeout=5).status == 200
    except OSError:
        return False


def wait(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds} s for {what} in vain")
        time.sleep(0.05)


def commits(site):
    """How many group commits its outbox has made, and how many seconds they took; a scorer has none."""
    text = urllib.request.urlopen(f"{site.url}/metrics", timeout=20).read().decode()
    found = dict(re.findall(r"^skerry_outbox_commit_seconds_(sum|count) (\S+)$", text, re.M))
    return int(found.get("count", 0)), float(found.get("sum", 0))


def measure_capture(work, hub, rows, options, results):
    key = work / "scorer.key"
    key.write_text(run("api-key", "scorer", "--keys", work / "scorer.keys"))
    key.chmod(0o600)
    sites = {mode: start_site(work, hub, mode, mode, options=("--scorer-keys", work / "scorer.keys")) for mode in ("off", "async", "sync")}
    # The CPU of this row is the scorer's alone: that of the site's process comes on top.
    sites["scorer"] = Process("serve", "--http", "127.0.0.1:0", "--capture", sites["sync"].url, "--capture-key-file", key)
    wait(lambda: ready(sites["scorer"]), "the scorer to be ready")
    hub.process.send_signal(signal.SIGSTOP)  # another machine's work; the sites go on sealing
    rng = random.Random(7)
    for batch in (1, 32):
        body = work / "body.json"
        body.write_bytes(request_of([fresh(rng.choice(rows), rng) for _ in range(batch)]))
        for connections in (1, 16, 64):
            seen = {mode: [] for mode in sites}
            for _ in range(options.rounds):
                for mode, site in sites.items():
                    made, took = commits(site)
                    one = wrk(f"{site.url}/v2/models/milling/infer", body, connections, options.seconds, site.process.pid, work)
                    if one["failed"]:
                        raise SystemExit(f"{one['failed']} requests were not answered with 200")
                    made, took = (after - before for after, before in zip(commits(site), (made, took)))
                    one["commit_us"] = took / made * 1e6 if made else 0
                    one["of_off"] = one["per_s"] / seen["off"][-1]["per_s"] if seen["off"] else 1
                    # What the goal of `sync` is a part of: no more than capture off gives, and than a commit for each of so many rows at a time.
                    most = min(seen["off"][-1]["per_s"], connections * made / took) if made and seen["off"] else 0
                    one["of_most"] = one["per_s"] / most if most else 0
                    seen[mode].append(one)
            for mode, rounds in seen.items():
                middle = {key: statistics.median(r[key] for r in rounds) for key in ("per_s", "p50_us", "p99_us", "cpu_us", "of_off", "commit_us", "of_most")}
                results["scoring"].append({"batch": batch, "connections": connections, "capture": mode, **middle})
    hub.process.send_signal(signal.SIGCONT)
    for mode, site in sites.items():
        results["memory_mb"][f"site, capture {mode}, after the load"] = site.memory_mb()
        site.stop()


def measure_bytes(work, hub, rows, options, results):
    proxy = CountingProxy(hub.port)
    site = start_site(work, hub, "wire", "sync", proxy.port, "5s")
    results["memory_mb"]["site, idle"] = site.memory_mb()
    up, down, start = proxy.up, proxy.down, time.monotonic()
    time.sleep(11)
    idle = (proxy.up - up + proxy.down - down) / (time.monotonic() - start)
    up, down = proxy.up, proxy.down
    rng = random.Random(8)
    sent = 0
    while sent < options.rows:
        body = request_of([fresh(rng.choice(rows), rng) for _ in range(100)])
        urllib.request.urlopen(urllib.request.Request(f"{site.url}/v2/models/milling/infer", body), timeout=20).read()
        sent += 100
    lake = work / "hub/lake"
    try:
        import duckdb
    except ImportError:
        print("skipped: bytes of a record (the duckdb package of bench/requirements.txt is not installed)")
        site.stop()
        return
    def received():
        files = [str(f) for f in lake.rglob("*.parquet")]
        if not files:
            return 0
        return duckdb.sql(f"select count(distinct seq) from read_parquet({files!r}, union_by_name=true) where class = 'sample'").fetchone()[0]
    wait(lambda: received() >= sent, "the hub to have every row", 120)
    wire = proxy.up - up + proxy.down - down
    files = [str(f) for f in lake.rglob("*.parquet")]
    whole = work / "rows.json"
    duckdb.sql(f"copy (select * from read_parquet({files!r}, union_by_name=true)) to '{whole}' (format json)")
    plain = whole.stat().st_size
    packed = len(gzip.compress(whole.read_bytes(), 6))
    records = duckdb.sql(f"select count(*) from read_parquet({files!r}, union_by_name=true)").fetchone()[0]
    results["bytes"] = {"records": records, "idle_bytes_per_s": idle, "on_the_link": wire / records, "segments": sum(pathlib.Path(f).stat().st_size for f in files) / records,
                        "json_lines": plain / records, "json_lines_gzipped": packed / records, "ratio_json": plain / wire, "ratio_gzipped": packed / wire}
    site.stop()


def show(results):
    print(f"{'batch':>5} {'conns':>5} {'capture':>8} {'requests/s':>11} {'of off':>6} {'p50 ms':>7} {'p99 ms':>7} {'CPU us':>7} {'commit ms':>10}")
    for r in results["scoring"]:
        print(f"{r['batch']:>5} {r['connections']:>5} {r['capture']:>8} {r['per_s']:>11,.0f} {r['of_off']:>6.2f} "
              f"{r['p50_us'] / 1e3:>7.2f} {r['p99_us'] / 1e3:>7.2f} {r['cpu_us']:>7.1f} {r['commit_us'] / 1e3:>10.2f}" + (f" {r['of_most']:.2f} of the smaller of off and connections by commit" if r["capture"] == "sync" else ""))
    for name, size in results["memory_mb"].items():
        print(f"{name}: {size['resident']:.0f} MB resident, {size['anonymous']:.0f} MB of it anonymous")
    if b := results.get("bytes"):
        print(f"{b['records']:,} records: {b['on_the_link']:.1f} bytes each on the link, both ways, TLS and signatures included ({b['segments']:.1f} in segments); "
              f"as JSON lines {b['json_lines']:.0f} ({b['ratio_json']:.1f} x), gzipped {b['json_lines_gzipped']:.1f} ({b['ratio_gzipped']:.2f} x); "
              f"status and polling meanwhile included (an idle link carries {b['idle_bytes_per_s']:.0f} bytes/s)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40000)
    parser.add_argument("--json")
    options = parser.parse_args()
    results = {"scoring": [], "memory_mb": {}}
    with tempfile.TemporaryDirectory(prefix="skerry-bench-") as directory:
        work = pathlib.Path(directory)
        rows = read_rows(options.data)
        hub = set_up(work, options.data)
        serve = Process("serve", "--http", "127.0.0.1:0", f"milling={work / 'milling'}")
        results["memory_mb"]["serve, idle"] = serve.memory_mb()
        serve.stop()
        results["memory_mb"]["hub, idle"] = hub.memory_mb()
        measure_bytes(work, hub, rows, options, results)
        measure_capture(work, hub, rows, options, results)
        results["memory_mb"]["hub, after the load"] = hub.memory_mb()
        hub.stop()
    show(results)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
