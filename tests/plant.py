"""A hub and a site that runs a model under a policy, for the tests of both together: started, killed and started again; rows scored and looked up."""
import json
import pathlib
import random
import socket
import ssl
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from skerry_process import Served, run, train_package

POLICY = """skerry: policy/1
name: demo
version: 1
default: drop
fields:
  a: keep
  b: keep
derived:
  prediction: keep
  score: keep
  event_time: keep
  status: keep
classes:
  sample: {rate: 1}
"""


NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: the hub's clock may be another than ours
PATIENCE = 900  # seconds; a long backlog and a slow disk


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def good(*args):
    done = run(*args)
    assert done.returncode == 0, (args, done.stdout, done.stderr)
    return done.stdout


def build_clock_shim(directory):
    """tests/clock_shim.c as a library below it."""
    shim = directory / "clock_shim.so"
    source = pathlib.Path(__file__).resolve().parent / "clock_shim.c"
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    return shim


def publish(package, directory, hub_data):
    """Packs the package as demo:1 below `directory`, signs it with the hub's key and pushes it there."""
    good("pack", package, "--name", "demo", "--version", "1", "--out", directory / "oci")
    good("sign", directory / "oci", "--key", hub_data / "keys/model.key")
    good("push", directory / "oci", "--hub", hub_data)


class Plant:
    """Hub and site below `directory`; `package` is the trained model's directory. Everything is started by the caller and ended by `stop`."""

    def __init__(self, directory, package, policy=POLICY, settings=""):
        self.dir, self.package, self.policy, self.settings = directory, package, policy, settings
        self.hub_data, self.site_data = directory / "hub", directory / "site"
        self.port, self.running, self.rng, self.bundles = free_port(), {}, random.Random(1), 0
        self.model = "demo"  # as it is called in requests
        self.site_environment = self.hub_environment = None  # of their processes; None: this one's

    def start_hub(self, *options):
        self.running["hub"] = Served("hub", "--data", self.hub_data, "--listen", f"127.0.0.1:{self.port}", *options,
                                     environment=self.hub_environment)

    def start_site(self, name="site"):
        """The site, or a copy of it, whose data directory has that name."""
        config = self.dir / "site.yaml"
        config.write_text(self.settings if "capture:" in self.settings else "capture: sync\n" + self.settings)
        self.running[name] = Served("site", "--data", self.dir / name, "--token-file", self.dir / "token", "--config", config, "--http", "127.0.0.1:0",
                                    environment=self.site_environment)

    def deploy(self, media=False):
        """Both run, and the site scores under the policy. With `media` they meet by bundles alone."""
        self.start_hub()
        publish(self.package, self.dir, self.hub_data)
        (self.dir / "policy.yaml").write_text(self.policy)
        good("policy", "push", self.dir / "policy.yaml", "--hub", self.hub_data)
        good("token", "north", "--hub", self.hub_data, "--out", self.dir / "token", *(["--media"] if media else []))
        self.start_site()
        meet = self.carry if media else lambda: good("outbox", "sync", "--data", self.site_data)
        meet()
        good("deploy", "demo:1", "--policy", "demo:1", "--sites", "north", "--hub", self.hub_data)
        meet()

    def carry(self):
        """What the site has goes to the hub and what the hub has for it comes back, by two bundles; the hub's report."""
        self.bundles += 1
        out, back = self.dir / f"bundle-{self.bundles}-out", self.dir / f"bundle-{self.bundles}-back"
        good("bundle", "export", out, "--data", self.site_data)
        report = json.loads(good("bundle", "import", out, "--hub", self.hub_data, "--json"))
        good("bundle", "export", back, "--hub", self.hub_data, "--site", "north")
        good("bundle", "import", back, "--data", self.site_data)
        return report

    def kill(self, name):
        """SIGKILL, as a crash."""
        served = self.running.pop(name)
        served.process.kill()
        served.stop()

    def stop(self):
        while self.running:
            self.running.popitem()[1].stop()

    def call(self, data, method, path, body=None):
        endpoint = json.loads((data / "endpoint.json").read_text())
        token = pathlib.Path(endpoint["token_file"]).read_text().strip()
        content = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(endpoint["url"] + path, content, {"Authorization": f"Bearer {token}"}, method=method)
        trust = ssl.create_default_context(cafile=str(self.hub_data / "ca/ca.pem")) if endpoint["url"].startswith("https") else None
        if trust:
            trust.verify_flags |= NO_CHECK_TIME
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=trust) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            refused.msg = refused.read().decode()
            raise

    def site(self, method, path, body=None):
        return self.call(self.site_data, method, path, body)

    def hub(self, method, path, body=None):
        return self.call(self.hub_data, method, path, body)

    def score(self, rows, at="site", timeout_s=60):
        """Scores so many rows; their ids once the site has them durably. OSError, or HTTPError, when it does not answer."""
        values = {"a": [round(self.rng.gauss(40, 10), 2) for _ in range(rows)], "b": [round(self.rng.gauss(0, 1), 3) for _ in range(rows)], "kind": ["x"] * rows}
        kinds = {"a": "FP32", "b": "FP32", "kind": "BYTES"}
        body = {"inputs": [{"name": name, "datatype": kinds[name], "shape": [rows], "data": data} for name, data in values.items()]}
        with urllib.request.urlopen(self.running[at].url + f"/v2/models/{self.model}/infer", json.dumps(body).encode(), timeout=timeout_s) as answer:
            ids = json.loads(answer.read())["parameters"]
            self.captured = answer.headers.get("Skerry-Captured") is None
        return [f"{ids['instance']}-{ids['first_n'] + i}" for i in range(rows)]

    def fates(self, ids, at="site"):
        """What became of each; raises where one is not known."""
        answer = self.call(self.dir / at, "POST", "/v1/rows/lookup", {"rows": ids})
        assert not answer["missing"], f"{len(answer['missing'])} of {len(ids)} rows are lost, the first is {answer['missing'][0]}"
        return answer["fates"]

    def fates_of_all(self, ids, at="site"):
        return [fate for start in range(0, len(ids), 500) for fate in self.fates(ids[start:start + 500], at)]

    def reconciliation(self, recount=True):
        """What the hub counts, and finds again in its lake."""
        return self.hub("GET", "/v1/sites/north/reconciliation" + ("?recount=1" if recount else ""))

    def verify(self, at="site"):
        """The site's outbox is sound."""
        good("outbox", "verify", "--data", self.dir / at)

    def drain(self, at="site"):
        """Everything goes to the hub."""
        for path in ("/v1/outbox/seal", "/v1/sync", "/v1/sync"):
            self.call(self.dir / at, "POST", path)


class PlantCase(unittest.TestCase):
    """Trains a package once, and makes plants of it that end with their test."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-plant-")
        cls.addClassCleanup(temporary.cleanup)
        cls.root = pathlib.Path(temporary.name)
        train_package(cls.root)

    def make_plant(self, settings, policy=POLICY):
        """Nothing of it runs yet."""
        directory = tempfile.TemporaryDirectory(prefix="skerry-plant-")
        self.addCleanup(directory.cleanup)
        plant = Plant(pathlib.Path(directory.name), self.root / "model", policy, settings)
        self.addCleanup(plant.stop)
        return plant
