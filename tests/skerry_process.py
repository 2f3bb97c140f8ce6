"""What the tests of the whole system share: the release binary, a small table, a command that goes on running, the last line."""
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin for each other take minutes on a busy machine
SKERRY = os.environ.get("SKERRY") or str(pathlib.Path(__file__).resolve().parent.parent / "build/release/skerry")


def run(*args, cwd=None):
    return subprocess.run([SKERRY, *map(str, args)], capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


def write_table(path, rows=600, seed=1):
    rng = random.Random(seed)
    lines = ["a,b,kind,failure"]
    for _ in range(rows):
        a, b = rng.gauss(40, 10), rng.gauss(0, 1)
        lines.append(f"{a:.2f},{b:.3f},{rng.choice('xyz')},{int(a + 3 * b > 52)}")
    path.write_text("\n".join(lines) + "\n")


def train_package(directory):
    """directory/train.csv and directory/model, the package named demo that was trained on it."""
    write_table(directory / "train.csv")
    trained = run("train", directory / "train.csv", "--label", "failure", "--name", "demo", "--out", directory / "model")
    assert trained.returncode == 0, trained.stderr
    return trained


class Served:
    """A long-running command that has said where it listens: `url`, and with grpc=True also `grpc` (ADDRESS:PORT)."""

    def __init__(self, *args, grpc=False, environment=None, program=SKERRY):
        self.log = tempfile.TemporaryFile()  # a pipe that nobody reads would stop the process once it is full
        self.process = subprocess.Popen([program, *map(str, args)], stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment)
        self.line = self.process.stdout.readline()
        match = re.search(r"https?://\S+", self.line)
        self.url = match.group(0) if match else ""
        self.grpc = self.process.stdout.readline().split()[-1] if grpc else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.process.stdout.close()
        self.log.close()


def post(url, body, content_type="application/json"):
    """The answer's body, whatever its status."""
    request = urllib.request.Request(url, body.encode(), {"Content-Type": content_type})
    try:
        return urllib.request.urlopen(request, timeout=60).read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


# Decorates a test of minutes, which `make test` leaves to the target named.
only_whole = unittest.skipUnless(os.environ.get("SKERRY_WHOLE"), "takes minutes: make spark-test runs it")


def run_tests(module):
    """Runs the module's tests, or those named on the command line (Class.test), and ends with the line that scripts/test counts."""
    named, loader = sys.argv[1:], unittest.defaultTestLoader
    tests = loader.loadTestsFromNames(named, sys.modules[module]) if named else loader.loadTestsFromModule(sys.modules[module])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    for test, why in result.skipped:
        print(f"skipped: {test.id().removeprefix('__main__.')}: {why}")
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed, {len(result.skipped)} skipped")
    sys.exit(bool(bad))
