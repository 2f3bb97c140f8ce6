"""Upgrades of skerry itself: a site under skerry-launcher is told by its hub, over the link or by a stick, to run another release; releases that do not work are given back, those that may not
run are refused, the launcher is killed at every step, and no acknowledged row is lost. Prints "N passed, N failed, N skipped"."""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from plant import Plant, PlantCase, free_port, good
from skerry_process import SKERRY, Served, run, run_tests

BUILD = pathlib.Path(SKERRY).parent
LAUNCHER = BUILD / "skerry-launcher"
NAME = "skerry-linux-amd64"
TRIAL_S = 2


class Upgraded(Plant):
    """A plant whose site runs under the launcher, on one port, while rows come."""

    def __init__(self, directory, package, installed=None, start_s=60, watchdog_s=8):
        super().__init__(directory, package)
        self.site_port, self.installed, self.start_s, self.watchdog_s = free_port(), installed, start_s, watchdog_s
        self.ids, self.loading, self.failed = [], None, 0
        self.releases = self.site_data / "releases"

    def start_site(self, name="site"):
        options = ["--trial-seconds", TRIAL_S, "--start-seconds", self.start_s, "--watchdog-seconds", self.watchdog_s]
        if self.installed:
            options += ["--installed", self.installed]
        self.running[name] = Served(*options, "site", "--data", self.dir / name, "--token-file", self.dir / "token", "--http", f"127.0.0.1:{self.site_port}",
                                    program=LAUNCHER, environment=self.site_environment)

    def load(self):
        """Rows, one request after the other, until `stop_load`; the ids of those that were acknowledged are kept."""
        done = threading.Event()

        def work():
            while not done.is_set():
                try:
                    self.ids += self.score(5)
                except (OSError, ValueError, KeyError):  # KeyError: it is killed just now
                    self.failed += 1
                time.sleep(0.02)

        thread = threading.Thread(target=work)
        thread.start()
        self.loading = (done, thread)

    def stop_load(self):
        if self.loading:
            self.loading[0].set()
            self.loading[1].join()
            self.loading = None

    def stop(self):
        self.stop_load()
        super().stop()

    def sync(self):
        """A round with the hub; the site may end in it, to start anew."""
        try:
            self.site("POST", "/v1/sync")
        except (OSError, ValueError):
            pass

    def release(self):
        """What the site says of what it runs; None while it does not answer."""
        try:
            return self.site("GET", "/v1/site")["release"]
        except (OSError, ValueError):
            return None

    def await_release(self, version, standing="slot"):
        wait_for(lambda: (now := self.release()) and (now["version"], now["standing"]) == (version, standing), f"{version} {standing}")

    def await_alarm(self, *words):
        def is_told():
            try:
                told = [alarm for alarm in self.site("GET", "/v1/site")["alarms"] if alarm.startswith("release ")]
            except (OSError, ValueError):
                return False
            return told if told and all(word in told[0] for word in words) else False
        return wait_for(is_told, words)

    def pack(self, directory, version, sign=True):
        """The release packed, signed and in the hub's registry; its digest."""
        out = self.dir / f"release-{version}"
        said = good("release", "pack", directory, "--version", version, "--out", out)
        if sign:
            good("sign", out, "--key", self.hub_data / "keys/model.key")
        good("push", out, "--hub", self.hub_data)
        return said.split()[2]

    def ask_for(self, version, *options):
        good("release", "deploy", f"{NAME}:{version}", "--sites", "north", "--hub", self.hub_data, *options)

    def give(self, directory, version, *options, sign=True):
        self.pack(directory, version, sign)
        self.ask_for(version, *options)
        self.sync()

    def kill_launcher(self):
        """SIGKILL, and what it had started goes with it."""
        self.kill("site")

    def nothing_is_lost(self):
        self.stop_load()
        assert self.ids
        self.fates_of_all(self.ids)
        self.drain()
        self.sync()
        told = self.reconciliation()
        assert told["balanced"], told


def wait_for(what, words, patience=60):
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.001)
    raise AssertionError(f"not after {patience} s: {words}")


class UpgradeCase(PlantCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.facts = json.loads(good("version", "--json"))

    def start(self, media=False, **options):
        plant = Upgraded(directory_of(self), self.root / "model", **options)
        self.addCleanup(plant.stop)
        plant.deploy(media)
        return plant

    def broken(self, how, facts=None):
        """A directory with a release that is broken in that way."""
        made = self.root / f"broken-{how}"
        if not made.exists():
            made.mkdir()
            facts = json.dumps(facts or self.facts).replace('"', '\\"')
            source = pathlib.Path(__file__).resolve().parent / "broken_release.c"
            subprocess.run(["cc", "-O1", "-Wall", "-Werror", f'-DFACTS="{facts}"', f'-DHOW="{how}"', "-o", made / "skerry", source], check=True)
        return made


def directory_of(case):
    temporary = tempfile.TemporaryDirectory(prefix="skerry-upgrade-")
    case.addCleanup(temporary.cleanup)
    return pathlib.Path(temporary.name)


class OverTheLink(UpgradeCase):
    def test_another_release_is_tried_stays_and_no_row_is_lost(self):
        plant = self.start()
        self.assertEqual((plant.release()["version"], plant.release()["standing"]), (self.facts["version"], "installed"))
        plant.load()
        digest = plant.pack(BUILD, "0.2.0")
        plant.ask_for("0.2.0")
        plant.sync()
        plant.await_release("0.2.0", "trial")
        plant.await_release("0.2.0")
        self.assertEqual(plant.release()["digest"], digest)
        self.assertGreater(len(plant.ids), 0)
        before = len(plant.ids)
        wait_for(lambda: len(plant.ids) > before, "rows after the upgrade")
        plant.sync()
        told = plant.hub("GET", "/v1/sites/north")["status"]["release"]
        self.assertEqual(told, {"version": "0.2.0", "standing": "slot", "digest": digest})
        self.assertIn("0.2.0", good("release", "show", "--hub", plant.hub_data))
        self.assertIn("release 0.2.0", good("release", "show", "--data", plant.site_data))
        # What was started is what was sent: by its path, and by what it says of itself.
        pid = json.loads((plant.site_data / "endpoint.json").read_text())["pid"]
        self.assertEqual(os.readlink(f"/proc/{pid}/exe"), str(plant.releases / "a/skerry"))
        self.assertIn("release 0.2.0", subprocess.run([plant.releases / "a/skerry", "version"], capture_output=True, text=True, check=True).stdout)
        # It outlives the launcher and a model's deployment, and is not tried again.
        good("deploy", "demo:1", "--policy", "demo:1", "--sites", "north", "--hub", plant.hub_data)
        self.assertEqual(plant.hub("GET", "/v1/sites/north")["desired"]["release"]["version"], "0.2.0")
        plant.kill_launcher()
        plant.start_site()
        plant.await_release("0.2.0")
        plant.nothing_is_lost()

    def test_releases_that_do_not_work_are_given_back_with_the_reason(self):
        plant = self.start(start_s=4, watchdog_s=3)
        plant.load()
        for number, (how, *words) in enumerate((("exits", "exited with status 3", "(3)"), ("never-ready", "was not ready after 4 s"), ("hangs", "did not say for 3 s"),
                                                ("crashes-later", "signal 6", "(3)"), ("does-not-score", "did not pass its check", "no such operator"))):
            version = f"0.3.{number}"
            with self.subTest(how):
                plant.give(self.broken(how), version)
                [alarm] = plant.await_alarm(f"{NAME}:{version}", "given back", *words)
                self.assertEqual((plant.release()["version"], plant.release()["standing"]), (self.facts["version"], "installed"))
                plant.sync()
                self.assertIn(alarm, plant.hub("GET", "/v1/sites/north")["status"]["alarms"])
                shown = " ".join(good("status", "--hub", plant.hub_data).split())
                self.assertIn(" ".join(words[0].split()), shown)
                # Not tried again, until it is asked for again.
                state = (plant.releases / "state").read_text()
                plant.sync()
                self.assertEqual((plant.releases / "state").read_text(), state)
        plant.ask_for("0.3.0")
        plant.sync()
        wait_for(lambda: (plant.releases / "state").read_text() != state, "another try")
        plant.await_alarm(f"{NAME}:0.3.0", "given back")
        good("release", "deploy", "none", "--sites", "north", "--hub", plant.hub_data)
        plant.sync()
        self.assertEqual([alarm for alarm in plant.site("GET", "/v1/site")["alarms"] if alarm.startswith("release ")], [])
        plant.nothing_is_lost()

    def test_killed_at_every_step_of_the_switch(self):
        plant = self.start()
        plant.load()
        plant.pack(BUILD, "0.2.0")
        plant.ask_for("0.2.0")
        state = plant.releases / "state"
        steps = {"unpacking": lambda: any(plant.releases.glob(".incoming*/release/skerry")),
                 "asked for": (plant.releases / "request").exists,
                 "on trial": lambda: "\ntrial " in state.read_text(),
                 "ready on trial": lambda: (plant.release() or {}).get("standing") == "trial"}
        for name, is_reached in steps.items():
            threading.Thread(target=plant.sync, daemon=True).start()
            wait_for(is_reached, name)
            plant.kill_launcher()
            plant.start_site()
        plant.await_release("0.2.0")
        self.assertEqual(list(plant.releases.glob(".incoming*")), [])
        plant.nothing_is_lost()

    def test_what_may_not_run_is_refused_with_the_reason_before_it_is_fetched(self):
        plant = self.start()
        plant.load()
        other = self.root / "arm64"
        shutil.copytree(self.broken("exits"), other)
        program = bytearray((other / "skerry").read_bytes())
        program[18:20] = (183).to_bytes(2, "little")  # e_machine: AArch64
        (other / "skerry").write_bytes(program)
        refused = run("release", "pack", other, "--out", plant.dir / "none")
        self.assertEqual(refused.returncode, 1)
        (other / "release.json").write_text(json.dumps(dict(self.facts, architecture="arm64")))
        newer = self.root / "newer-data"
        shutil.copytree(self.broken("exits"), newer)
        (newer / "release.json").write_text(json.dumps(dict(self.facts, data={"writes": 2, "reads_from": 1, "reads_to": 2})))
        lying = self.root / "lying"
        shutil.copytree(self.broken("exits"), lying)
        (lying / "release.json").write_text(json.dumps(dict(self.facts, build="9.9.9")))
        cases = (("unsigned", self.broken("exits"), "0.4.0", {"sign": False}, "signature check"), ("older", self.broken("exits"), "0.0.9", {}, "older than"),
                 ("data", newer, "0.4.2", {}, "no way back"), ("lying", lying, "0.4.3", {}, "its config says"))
        for name, directory, version, options, words in cases:
            with self.subTest(name):
                plant.give(directory, version, **options)
                plant.await_alarm(f"{NAME}:{version}", words)
                self.assertFalse((plant.releases / "a").exists())
        with self.subTest("another processor"):
            good("release", "pack", other, "--name", NAME, "--version", "0.4.4", "--out", plant.dir / "arm")
            good("sign", plant.dir / "arm", "--key", plant.hub_data / "keys/model.key")
            good("push", plant.dir / "arm", "--hub", plant.hub_data)
            plant.ask_for("0.4.4")
            plant.sync()
            plant.await_alarm("platform check", "linux/arm64")
        with self.subTest("an unsigned one is taken once it is signed"):
            good("sign", plant.dir / "release-0.4.0", "--key", plant.hub_data / "keys/model.key")
            good("push", plant.dir / "release-0.4.0", "--hub", plant.hub_data)
            plant.ask_for("0.4.0")
            plant.sync()
            plant.await_alarm(f"{NAME}:0.4.0", "given back")
        with self.subTest("no launcher"):
            plant.running.pop("site").stop()
            Plant.start_site(plant)
            plant.await_alarm("not started by skerry-launcher")
            self.assertEqual(plant.release()["standing"], "unmanaged")
        missing = run("release", "deploy", f"{NAME}:7", "--sites", "north", "--hub", plant.hub_data)
        self.assertEqual(missing.returncode, 1)


class Artifact(UpgradeCase):
    def test_the_same_files_give_the_same_digest_whenever_and_wherever(self):
        directory = directory_of(self)
        first, second = directory / "first", directory / "second"
        for made, name in ((first, "b"), (second, "a")):
            (made / "lib/system").mkdir(parents=True)
            shutil.copy2(self.broken("exits") / "skerry", made / "skerry")
            for library in (name, "c", "a", "b"):
                (made / "lib/system" / f"lib{library}.so.1").write_text(f"library {library}")
        (first / "lib/system/libc.so").symlink_to("libc.so.1")  # a name for linkers
        os.utime(second / "skerry", (0, 0))
        said = [good("release", "pack", made, "--version", "1", "--out", directory / f"{made.name}.oci").split()[2] for made in (first, second)]
        self.assertEqual(said[0], said[1])
        good("sign", directory / "first.oci", "--key", self.key(directory))
        shown = good("verify", directory / "first.oci", "--key", directory / "model.pub")
        self.assertIn(f"{NAME}:1 {said[0]}", shown)
        (second / "lib/system/libc.so.1").write_text("another library")
        self.assertNotEqual(good("release", "pack", second, "--version", "1", "--out", directory / "third.oci").split()[2], said[0])

    def key(self, directory):
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", directory / "raw"], check=True)
        subprocess.run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", directory / "raw", "-out", directory / "model.key"], check=True)
        subprocess.run(["openssl", "pkey", "-in", directory / "raw", "-pubout", "-out", directory / "model.pub"], check=True)
        (directory / "model.key").chmod(0o600)
        return directory / "model.key"

    def test_what_does_not_belong_into_a_release_is_named(self):
        directory = directory_of(self)
        shutil.copytree(self.broken("exits"), directory / "made")
        for name, words in (("lib/.hidden", ".hidden"), ("lib/link", "link")):
            stray = directory / "made" / name
            stray.parent.mkdir(exist_ok=True)
            stray.symlink_to("/etc/passwd") if name.endswith("link") else stray.write_text("x")
            refused = run("release", "pack", directory / "made", "--out", directory / "none")
            self.assertEqual(refused.returncode, 1)
            self.assertIn(words, refused.stderr)
            stray.unlink()
        (directory / "made/skerry").write_text("#!/bin/sh\n" + "# a script\n" * 100)
        (directory / "made/release.json").write_text(json.dumps(self.facts))
        self.assertIn("no ELF file", run("release", "pack", directory / "made", "--out", directory / "none").stderr)


class BySticks(UpgradeCase):
    def test_a_stick_brings_it_and_going_back_is_said_on_purpose(self):
        installed = directory_of(self)
        shutil.copy2(SKERRY, installed / "skerry")
        (installed / "lib").symlink_to(BUILD / "lib")
        plant = self.start(media=True, installed=installed / "skerry")
        plant.load()
        for version in ("0.2.0", "0.3.0"):
            plant.pack(BUILD, version)
            plant.ask_for(version)
            plant.carry()
            plant.await_release(version)
        self.assertTrue((plant.releases / "a").exists() and (plant.releases / "b").exists())
        plant.ask_for("0.2.0")
        plant.carry()
        plant.await_alarm("older than 0.3.0")
        plant.carry()
        told = plant.hub("GET", "/v1/sites/north")["status"]
        self.assertEqual(told["release"]["version"], "0.3.0")
        self.assertTrue(any("older than 0.3.0" in alarm for alarm in told["alarms"]), told["alarms"])
        plant.ask_for("0.2.0", "--older")
        plant.carry()
        plant.await_release("0.2.0")
        # Once the hub knows that the site runs it, a stick does not carry it any more.
        plant.carry()
        good("bundle", "export", plant.dir / "after", "--hub", plant.hub_data, "--site", "north")
        self.assertLess(sum(path.stat().st_size for path in (plant.dir / "after").rglob("*") if path.is_file()), 2_000_000)
        good("release", "deploy", "none", "--sites", "north", "--hub", plant.hub_data)
        plant.carry()
        # What the operator installs by hand runs, whatever stands in the slots.
        plant.running.pop("site").stop()
        os.utime(installed / "skerry")
        plant.start_site()
        plant.await_release(self.facts["version"], "installed")
        plant.stop_load()
        plant.fates_of_all(plant.ids)
        plant.carry()
        plant.carry()
        self.assertTrue(plant.reconciliation()["balanced"])


class LauncherAlone(UpgradeCase):
    def test_killed_at_random_it_ends_in_one_slot_or_the_other(self):
        """What it starts says that it is well and does nothing else, so that a round takes a second or two."""
        well, seed = self.broken("well"), random.randrange(1 << 32)
        rng = random.Random(seed)
        for number in range(5):
            with self.subTest(seed=seed, number=number):
                data = directory_of(self)
                releases = data / "releases"
                releases.mkdir()
                shutil.copytree(well, releases / "a")
                (releases / "request").write_text("skerry-launcher/1\nrequest r1 a 0.2.0 sha256:ff 7\n")
                command = [LAUNCHER, "--trial-seconds", "1", "--attempts", "2", "--installed", well / "skerry", "site", "--data", data]
                for _ in range(rng.randrange(4)):
                    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as launcher:
                        time.sleep(rng.random() * 0.4)
                        launcher.kill()
                with subprocess.Popen(command, stderr=subprocess.DEVNULL) as launcher:
                    wait_for(lambda: (text := self.state(releases)) and ("active a\n" in text or "given-back r1 a" in text), "an end")
                    launcher.terminate()
                    launcher.wait(20)
                state = self.state(releases)
                self.assertNotIn("\ntrial ", state)
                self.assertNotEqual("active a\n" in state, "given-back " in state, state)
                self.assertFalse((releases / "request").exists())

    def state(self, releases):
        return (releases / "state").read_text() if (releases / "state").exists() else ""


class ServiceManager(UpgradeCase):
    """What the manager of the service hears and sees: over a real socket, as systemd's."""

    def test_it_hears_of_one_service_that_is_up_all_the_while(self):
        directory = directory_of(self)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(directory / "notify"))
            manager.settimeout(30)
            heard, at = [], []

            def listen():
                while "STOPPING=1" not in heard:
                    for line in manager.recv(4096).decode().split("\n"):
                        heard.append(line)
                        at.append(time.monotonic())

            listener = threading.Thread(target=listen)
            listener.start()
            plant = Upgraded(directory / "plant", self.root / "model")
            plant.dir.mkdir()
            self.addCleanup(plant.stop)
            plant.site_environment = dict(os.environ, NOTIFY_SOCKET=str(directory / "notify"), WATCHDOG_USEC="6000000")
            plant.deploy()
            plant.give(self.broken("crashes-later"), "0.3.0")
            plant.await_alarm("given back")
            served = plant.running.pop("site")
            served.process.send_signal(signal.SIGTERM)
            self.assertEqual(served.process.wait(30), 0)
            listener.join(30)
        well = [moment for line, moment in zip(heard, at) if line in ("WATCHDOG=1", "READY=1")]
        self.assertLess(max(later - sooner for sooner, later in zip(well, well[1:])), 6)
        self.assertIn("READY=1", heard)
        self.assertIn("STATUS=release 0.3.0 on trial", heard)
        self.assertEqual(heard[-1], "STOPPING=1")

    def test_it_ends_as_skerry_ends(self):
        directory = directory_of(self)
        nameless = subprocess.run([LAUNCHER, "site", "--data", directory / "none", "--http", "127.0.0.1:0"], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(nameless.returncode, 1)
        self.assertIn("has no name yet", nameless.stderr)
        wrong = subprocess.run([LAUNCHER, "hub", "--data", directory / "hub"], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(wrong.returncode, 2)
        with Served("site", "--data", directory / "site", "--name", "north", "--http", "127.0.0.1:0", program=LAUNCHER) as served:
            second = subprocess.run([LAUNCHER, "site", "--data", directory / "site"], capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual(second.returncode, 1)
            self.assertIn("another launcher", second.stderr)
            pid = json.loads((directory / "site/endpoint.json").read_text())["pid"]
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(served.process.wait(20), -signal.SIGKILL)

    def test_a_newer_data_directory_is_left_alone(self):
        directory = directory_of(self)
        (directory / "format.json").write_text('{"data_format": 2}')
        refused = run("site", "--data", directory, "--name", "north", "--http", "127.0.0.1:0")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is of data format 2, this skerry reads 1 to 1", refused.stderr)


if __name__ == "__main__":
    run_tests(__name__)
