"""What the tests on a real Kubernetes share (tests/k8s_cluster.py): docs/deploy.md typed block by block, a client that scores whatever happens, and the hub's
numbers at the end."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import threading
import time
import unittest
import urllib.error

import k8s_cluster
from k8s_cluster import HUB, NODE, wait_until
from plant import Plant
from skerry_process import SKERRY, post, write_table

ROOT = pathlib.Path(__file__).resolve().parent.parent
HUB_DATA = pathlib.Path("/var/lib/skerry-hub")
STARTED = time.monotonic()
REASON = None if os.environ.get("SKERRY_WHOLE") else "takes minutes: make k8s-test runs it"
REASON = REASON or k8s_cluster.missing()


def tell(text):
    print(f"{time.monotonic() - STARTED:7.1f} s  {text}", flush=True)


class Guide:
    """A section of docs/deploy.md."""

    def __init__(self, heading):
        text = (ROOT / "docs/deploy.md").read_text()
        self.text = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        self.blocks = re.findall(r"^```(\w+)\n(.*?)^```$", self.text, re.M | re.S)
        self.given = set()

    def block(self, beginning):
        """The one block that has a line which begins so."""
        found = [body for _, body in self.blocks if re.search("^" + re.escape(beginning), body, re.M)]
        assert len(found) == 1, (beginning, found)
        self.given.add(found[0])
        return found[0]

    def cell(self, what):
        """The commands of the table's row for that."""
        row = next(line for line in self.text.splitlines() if line.startswith(f"| {what} |"))
        return re.findall(r"`([^`]+)`", row)

    def left_out(self):
        """Blocks of commands that nobody asked for."""
        return [body for kind, body in self.blocks if kind == "sh" and body not in self.given]


class InCluster:
    """What Plant knows of a site that it did not start: its URL."""

    def __init__(self, url):
        self.url = url

    def stop(self):
        """The cluster ends it."""


class Client(threading.Thread):
    """Scores at an address, whatever happens to what is behind it, until `end`. What was answered as captured under `sync` is durable."""

    def __init__(self, directory, address, timeout_s=5):
        super().__init__(name=address)
        self.plant, self.timeout_s = Plant(directory, None), timeout_s
        self.plant.model = "milling"
        self.move_to(address)
        self.going, self.acknowledged, self.unkept, self.refused, self.last, self.longest = True, [], [], 0, time.monotonic(), 0.0

    def move_to(self, address):
        self.plant.running["site"] = InCluster(f"http://{address}")

    def run(self):
        while self.going:
            begun = time.monotonic()
            try:
                ids = self.plant.score(3, timeout_s=self.timeout_s)
                (self.acknowledged if self.plant.captured else self.unkept).extend(ids)
                now = time.monotonic()
                self.longest, self.last = max(self.longest, now - self.last), now
            except (OSError, urllib.error.HTTPError, http.client.HTTPException, json.JSONDecodeError, KeyError) as error:
                self.refused += 1
                if time.monotonic() - begun > 5:  # refused late: by whom?
                    tell(f"after {time.monotonic() - begun:.1f} s at {self.name}: {error!r}")
            time.sleep(0.02)

    def goes_on(self, seconds=300):
        """Until rows are kept again; the longest time without an answer since the last call."""
        begun = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) >= begun + 30, seconds, f"rows are scored at {self.name}")
        longest, self.longest = self.longest, 0.0
        return longest

    def end(self):
        self.going = False
        self.join(90)


@unittest.skipIf(REASON, REASON)
class ClusterCase(unittest.TestCase):
    """A cluster, a desk (a directory, where docs/deploy.md is typed) with a table to train on, and a hub's machine with a model published."""
    apart = False  # the hub is in a network of its own, without a way out

    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(os.environ["SKERRY_K8S"])
        k8s_cluster.settle_in(cls.dir)
        cls.cluster = k8s_cluster.Cluster(cls.dir, os.environ["SKERRY_K8S_GROUP"])
        cls.addClassCleanup(cls.cluster.stop)
        try:
            cls.cluster.start()
            tell("the cluster of one node is ready")
            cls.desk = cls.dir / "desk"
            cls.desk.mkdir()
            cls.make_desk()
            cls.start_hub()
        except AssertionError:
            print(cls.cluster.logs())
            raise
        machine = Guide("A machine or VM with a link, in ten minutes")
        cls.at_hub(machine.block("skerry train readings.csv"))
        cls.at_hub(machine.block("skerry pack milling "))

    @classmethod
    def make_desk(cls):
        for name in ("charts", "deploy"):
            (cls.desk / name).symlink_to(ROOT / name)
        write_table(cls.desk / "readings.csv")
        rows = [line.rsplit(",", 1)[0] for line in (cls.desk / "readings.csv").read_text().splitlines()[:11]]
        (cls.desk / "rows.csv").write_text("\n".join(rows) + "\n")
        tools = cls.dir / "tools"
        tools.mkdir()
        (tools / "skerry").symlink_to(SKERRY)
        cls.cluster.environment["PATH"] = f"{tools}:{cls.cluster.environment['PATH']}"

    @classmethod
    def start_hub(cls):
        """As its service does, with the settings of step 1."""
        command = f"exec {SKERRY} hub --data {HUB_DATA} --listen 0.0.0.0:8443 --public-url https://{HUB}:8443"
        if cls.apart:
            cls.cluster.launch("hub", "unshare", "--net", "sh", "-c", f"ip link set lo up && ip addr add {NODE}/32 dev lo && {command}")
        else:
            cls.cluster.launch("hub", "sh", "-c", command)
        wait_until(lambda: cls.at_hub(f"skerry status --hub {HUB_DATA}") or True, 60, "the hub answers")

    # Typing

    @classmethod
    def type(cls, commands, prefix=()):
        """Runs them at the desk, as a person would; what they print."""
        done = subprocess.run([*prefix, "bash", "-euo", "pipefail", "-c", commands], cwd=cls.desk, env=cls.cluster.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, (commands, done.stdout, done.stderr)
        return done.stdout

    @classmethod
    def at_hub(cls, commands):
        return cls.type(commands, ("nsenter", f"--net=/proc/{cls.cluster.processes['hub'].pid}/ns/net"))

    def run(self, result=None):
        faults = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > faults:
            print(self.cluster.logs())
            for what in (("get", "all,pvc,events", "-o", "wide"), ("describe", "pods"), ("logs", "--tail=40", "north-0")):
                with contextlib.suppress(AssertionError):
                    print(self.cluster.kubectl(*what))

    # Pods and services

    def pod(self, name):
        return self.cluster.get("pod", name)

    def until_running(self, name):
        wait_until(lambda: self.pod(name)["status"]["containerStatuses"][0]["started"], 300, f"{name} has started")

    def is_ready(self, name, other_than=None):
        """Its pod, when it is ready and is not the one of that uid."""
        pod = self.pod(name)
        ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in pod["status"].get("conditions", ()))
        return pod if ready and pod["metadata"]["uid"] != other_than else None

    def until_ready(self, name, other_than=None, seconds=300):
        return wait_until(lambda: self.is_ready(name, other_than), seconds, f"{name} is ready")

    def uid(self, name):
        return self.pod(name)["metadata"]["uid"]

    def restarts(self, name):
        return self.pod(name)["status"]["containerStatuses"][0]["restartCount"]

    def address(self, service, port=8000):
        return f"{self.cluster.get('service', service)['spec']['clusterIP']}:{port}"

    def skerry(self, pod, *args):
        """In the pod's container."""
        return self.cluster.kubectl("exec", pod, "--", "skerry", *args)

    def version_at(self, address):
        """Of the model that scores a row there."""
        return json.loads(post(f"http://{address}/v1/score", '{"a": 40.0, "b": 0.1, "kind": "x"}'))["version"]

    def start_client(self, service, timeout_s=5):
        client = Client(self.dir, self.address(service), timeout_s)
        client.start()
        self.addCleanup(client.end)
        client.goes_on()
        return client

    # The end

    def check_the_hub(self, acknowledged):
        """Each row that a client was told is kept is at the hub, once, and the hub's equation is exact."""
        plant = Plant(self.dir, None)
        plant.hub_data = HUB_DATA
        self.assertEqual(len(acknowledged), len(set(acknowledged)))
        found = []
        for start in range(0, len(acknowledged), 500):
            answer = plant.hub("POST", "/v1/sites/north/rows/lookup", {"rows": acknowledged[start:start + 500]})
            self.assertEqual(answer["missing"], [])
            found += [row["row"] for row in answer["found"]]
        self.assertEqual(sorted(found), sorted(acknowledged))
        numbers = plant.reconciliation()
        terms, lake = dict(numbers["terms"]), numbers["recount"]
        scored = terms.pop("scored")
        tell(f"of {len(acknowledged)} acknowledged rows all are in the hub's lake, once; it has {lake['rows']} rows, {lake['duplicates']} twice; "
             f"{scored} scored = {' + '.join(f'{count} {name}' for name, count in terms.items() if count)}")
        self.assertEqual((lake["duplicates"], numbers["difference"], numbers["unexplained_gaps"], numbers["conflicting_rows"]), (0, 0, 0, 0))
        self.assertEqual((terms["pending"], terms["quarantined"]), (0, 0))
        self.assertEqual(scored, sum(terms.values()))
        self.assertEqual(lake["rows"], terms["received"])
        return terms
