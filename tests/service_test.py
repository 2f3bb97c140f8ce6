"""What a service manager hears of skerry: over a real socket, as systemd's; and what systemd says of the units. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest

from onnx_identity import write_identity
from skerry_process import SKERRY, Served, run, run_tests

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNITS = ROOT / "packaging/systemd"
WATCHDOG_US = 200_000


class Manager(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-service-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(str(self.dir / "notify"))
        self.socket.settimeout(30)

    def start(self, *args):
        served = Served(*args, environment=dict(os.environ, NOTIFY_SOCKET=str(self.dir / "notify"), WATCHDOG_USEC=str(WATCHDOG_US)))
        self.addCleanup(lambda: served.process.poll() is None and served.stop())
        return served

    def heard(self):
        return self.socket.recv(1000).decode()

    def commands(self):
        write_identity(self.dir / "echo.onnx", ["FP32"])
        return (("serve", "--http", "127.0.0.1:0", self.dir / "echo.onnx"),
                ("site", "--data", self.dir / "site", "--name", "north", "--http", "127.0.0.1:0"),
                ("hub", "--data", self.dir / "hub", "--listen", "127.0.0.1:0"))

    def test_it_hears_that_each_command_serves_is_well_and_ends(self):
        for command in self.commands():
            with self.subTest(command[0]):
                served = self.start(*command)
                self.assertIn("http", served.line)
                self.assertEqual([self.heard() for _ in range(3)], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"])
                served.process.send_signal(signal.SIGTERM)
                said = self.heard()
                while said == "WATCHDOG=1":
                    said = self.heard()
                self.assertEqual((said, served.process.wait(20)), ("STOPPING=1", 0))

    def test_a_process_that_hangs_is_not_well(self):
        served = self.start(*self.commands()[0])
        self.assertEqual([self.heard(), self.heard()], ["READY=1", "WATCHDOG=1"])
        served.process.send_signal(signal.SIGSTOP)
        self.socket.settimeout(5 * WATCHDOG_US / 1e6)
        with self.assertRaises(TimeoutError):
            for _ in range(3):  # one may have been under way
                self.heard()
        served.process.send_signal(signal.SIGCONT)
        self.socket.settimeout(30)
        self.assertEqual(self.heard(), "WATCHDOG=1")

    def test_a_start_that_fails_is_never_ready(self):
        environment = dict(os.environ, NOTIFY_SOCKET=str(self.dir / "notify"))
        done = subprocess.run([SKERRY, "site", "--data", self.dir / "none", "--http", "127.0.0.1:0"], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.socket.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            self.heard()

    def test_a_manager_that_does_not_listen_stops_nothing(self):
        environment = dict(os.environ, NOTIFY_SOCKET=str(self.dir / "nobody"))
        command = self.commands()[0]
        with Served(*command, environment=environment) as served:
            self.assertIn("serving on", served.line)


class PublicAddress(unittest.TestCase):
    """A hub behind another name than its machine's: a load balancer, a service of a cluster."""

    def test_tokens_and_certificate_name_it(self):
        with tempfile.TemporaryDirectory(prefix="skerry-public-") as name:
            data, token = pathlib.Path(name) / "hub", pathlib.Path(name) / "token"
            with Served("hub", "--data", data, "--listen", "127.0.0.1:0", "--public-url", "https://hub.example:9443") as hub:
                self.assertEqual(run("token", "north", "--hub", data, "--out", token).returncode, 0)
                self.assertEqual(json.loads(token.read_text())["hub_url"], "https://hub.example:9443")
                port = int(re.search(r":(\d+)/", hub.line).group(1))
                context = ssl.create_default_context(cafile=str(data / "ca/ca.pem"))
                for host in ("hub.example", "localhost"):
                    with socket.create_connection(("127.0.0.1", port), 20) as raw, context.wrap_socket(raw, server_hostname=host) as secured:
                        self.assertEqual(secured.version(), "TLSv1.3")
                with socket.create_connection(("127.0.0.1", port), 20) as raw, self.assertRaises(ssl.SSLCertVerificationError):
                    context.wrap_socket(raw, server_hostname="other.example")
            for wrong in ("http://hub.example:9443", "https://hub.example:9443/", "hub.example"):
                refused = run("hub", "--data", data, "--listen", "127.0.0.1:0", "--public-url", wrong)
                self.assertEqual(refused.returncode, 1)
                self.assertIn("--public-url", refused.stderr)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class Installer(unittest.TestCase):
    def test_the_archive_is_whole_and_knows_its_release(self):
        """What it does on a machine is tests/deb_test.py's."""
        [archive] = re.findall(r"\S+\.tar\.gz$", subprocess.run([UNITS.parent / "installer/make"], check=True, capture_output=True, text=True).stdout, re.M)
        with tempfile.TemporaryDirectory(prefix="skerry-installer-") as work:
            subprocess.run(["tar", "-xzf", ROOT / archive, "-C", work], check=True)
            [tree] = pathlib.Path(work).iterdir()
            subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tree, check=True)
            release = json.loads((tree / "skerry/release.json").read_text())
            self.assertIn(f"skerry {release['version']}", subprocess.run([tree / "skerry/skerry", "version"], check=True, capture_output=True, text=True).stdout)
            self.assertTrue((tree / "skerry/skerry-launcher").stat().st_mode & 0o100)
            self.assertRegex((tree / "glibc").read_text(), r"^2\.\d+$")


class Units(unittest.TestCase):
    def test_they_are_of_type_notify_and_little_is_left_open(self):
        for name in ("site", "hub"):
            unit = UNITS / f"skerry-{name}.service"
            for line in ("Type=notify", f"StateDirectory=skerry-{name}", f"User=skerry-{name}"):
                self.assertIn(f"\n{line}\n", unit.read_text())
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True, check=False)
            level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
            self.assertLess(float(level.group(1)), 2.0, done.stdout)

    def test_systemd_understands_every_line(self):
        with tempfile.TemporaryDirectory(prefix="skerry-units-") as name:
            for unit in UNITS.glob("*.service"):
                copy = pathlib.Path(name) / unit.name
                copy.write_text(unit.read_text().replace("/usr/bin/skerry", SKERRY))
                done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    run_tests(__name__)
