"""A real standalone Spark cluster on loopback, and commands whose output is read as it comes. Used by tests and by bench/spark.py."""
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading

SPARK = os.environ.get("SKERRY_SPARK", "")
ENVIRONMENT = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": f"{SPARK}/bin/python", "PATH": f"{SPARK}/bin:{os.environ['PATH']}"}
ENVIRONMENT.pop("SPARK_HOME", None)


def why_not():
    """Why Spark cannot be run here, or ""."""
    if not pathlib.Path(SPARK, "bin/spark-submit").exists():
        return "Spark is not installed (make spark-test installs it)"
    return "" if shutil.which("java") else "there is no Java (apt-get install openjdk-17-jre-headless)"


class Followed:
    """A process whose output, both streams, is read as it comes."""

    def __init__(self, *command, environment=None):
        self.process = subprocess.Popen([str(word) for word in command], env={**ENVIRONMENT, **(environment or {})}, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.lines, self.said = queue.Queue(), []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with self.process.stdout as output:
            for line in output:
                self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def wait_for(self, pattern, seconds=300):
        while True:
            line = self.lines.get(timeout=seconds)
            assert line is not None, f"ended before saying {pattern}:\n" + "\n".join(self.said)
            self.said.append(line)
            match = re.search(pattern, line)
            if match:
                return match

    def wait(self, seconds=900):
        status = self.process.wait(seconds)
        while (line := self.lines.get(timeout=10)) is not None:
            self.said.append(line)
        return status

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(30)


class Cluster:
    """A master and two workers of one core each."""

    def __init__(self, worker_memory="1200m"):
        self.directory = tempfile.TemporaryDirectory(prefix="skerry-spark-")
        self.worker_memory = worker_memory
        self.master = Followed("spark-class", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        self.url = self.master.wait_for(r"Starting Spark master at (spark://\S+)").group(1)
        self.workers = [self.worker(), self.worker()]

    def worker(self):
        worker = Followed("spark-class", "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0",
                          "--cores", "1", "--memory", self.worker_memory, "--work-dir", self.directory.name, self.url)
        worker.wait_for("Successfully registered with master")
        return worker

    def replace(self, number):
        self.workers[number] = self.worker()

    def end(self, how=signal.SIGTERM):
        for process in [*self.workers, self.master]:
            process.end(how)
        self.directory.cleanup()
