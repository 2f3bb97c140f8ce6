"""What a courier carries: bundles between a real hub and real sites, as directories and tars, through a FAT32 image, cut, rotten and hostile. Prints
"N passed, N failed, N skipped"."""
import io
import itertools
import json
import os
import pathlib
import random
import shutil
import subprocess
import tarfile
import tempfile
import time
import unittest
import urllib.request

from plant import publish
from skerry_process import SKERRY, Served, run, run_tests, train_package

POLICY = """skerry: policy/1
name: demo
version: 1
default: drop
fields:
  a: {action: keep, rule: measured}
derived:
  prediction: keep
  score: keep
  status: keep
classes:
  sample: {rate: 1}
"""


def rows_of(count, seed):
    rng = random.Random(seed)
    return "a,b,kind\n" + "".join(f"{rng.gauss(40, 10):.2f},{rng.gauss(0, 1):.3f},x\n" for _ in range(count))


class World:
    """A hub with a model and a policy, and sites that meet it by bundles alone. Processes are started and stopped by the tests."""

    def __init__(self, directory):
        self.dir = directory
        self.hub = None
        self.sites = {}

    def start_hub(self, data="hub"):
        self.stop_hub()
        self.hub_data = self.dir / data
        self.hub = Served("hub", "--data", self.hub_data, "--listen", "127.0.0.1:0", "--plain-http")

    def stop_hub(self):
        if self.hub:
            self.hub.stop()
            self.hub = None

    def start_site(self, name, data=None, segment_rows=20_000, quota_bytes=4 << 30):
        config = self.dir / f"{name}.yaml"
        config.write_text(f"outbox: {{segment_rows: {segment_rows}, quota_bytes: {quota_bytes}}}\n")
        token = ["--token-file", self.dir / f"{name}.token"] if (self.dir / f"{name}.token").exists() else []
        self.sites[name] = Served("site", "--data", self.dir / (data or name), "--http", "127.0.0.1:0", "--config", config, *token)

    def stop_site(self, name):
        if name in self.sites:
            self.sites.pop(name).stop()

    def stop(self):
        self.stop_hub()
        for name in list(self.sites):
            self.stop_site(name)

    def do(self, *args):
        done = run(*args)
        assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
        return done.stdout

    def set_up(self, model):
        self.start_hub()
        publish(model, self.dir, self.hub_data)
        (self.dir / "policy.yaml").write_text(POLICY)
        self.do("policy", "push", self.dir / "policy.yaml", "--hub", self.hub_data)

    def join(self, name, **options):
        """By two bundles: the request to the hub, grant and model back."""
        self.do("token", name, "--hub", self.hub_data, "--out", self.dir / f"{name}.token", "--media")
        self.start_site(name, **options)
        self.carry(name, self.dir / f"{name}-join")
        self.do("deploy", "demo:1", "--policy", "demo:1", "--sites", name, "--hub", self.hub_data)
        self.bring(name, self.dir / f"{name}-grant.tar")

    def export(self, name, path, *more):
        return json.loads(self.do("bundle", "export", path, "--data", self.dir / name, "--json", *more))

    def take(self, path):
        return json.loads(self.do("bundle", "import", path, "--hub", self.hub_data, "--json"))

    def carry(self, name, path):
        self.export(name, path)
        return self.take(path)

    def bring(self, name, path, data=None, more=()):
        self.do("bundle", "export", path, "--hub", self.hub_data, "--site", name, *more)
        return json.loads(self.do("bundle", "import", path, "--data", self.dir / (data or name), "--json"))

    def score(self, name, count, seed):
        request = urllib.request.Request(self.sites[name].url + "/v1/score", rows_of(count, seed).encode(), {"Content-Type": "text/csv"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert len(answer.read().splitlines()) >= count
        self.do("outbox", "seal", "--data", self.dir / name)

    def outbox(self, name, data=None):
        return json.loads(self.do("outbox", "status", "--data", self.dir / (data or name), "--json"))

    def received(self, name):
        """(rows at the hub, whether the sum holds)."""
        site = json.loads(self.do("status", "--hub", self.hub_data, "--json"))
        site = next(one for one in site if one["site"] == name)
        return site["terms"]["received"], site["balanced"]


class Bundles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory(prefix="skerry-bundles-")
        train_package(pathlib.Path(cls.shared.name))

    @classmethod
    def tearDownClass(cls):
        cls.shared.cleanup()

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-bundle-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.world = World(self.dir)
        self.addCleanup(self.world.stop)
        self.world.set_up(pathlib.Path(self.shared.name) / "model")

    def verify(self, path):
        done = run("bundle", "verify", path, "--json")
        return done.returncode, json.loads(done.stdout)

    def test_both_forms_in_both_directions(self):
        self.world.join("north")
        for number, form in enumerate(["one", "two.tar"]):
            self.world.score("north", 500, number)
            stick = self.dir / form
            written = self.world.export("north", stick)
            self.assertEqual(stick.is_file(), form.endswith(".tar"))
            self.assertEqual(self.verify(stick)[0], 0)
            listed = json.loads(self.world.do("bundle", "inspect", stick, "--json"))
            self.assertEqual(listed["bundle"], written["bundle"])
            self.assertNotIn("whole", listed)
            self.assertEqual(self.world.take(stick)["missing"], [])
            self.assertEqual(self.world.received("north"), ((number + 1) * 500, True))
            self.assertEqual(self.world.take(stick)["applied"], 0, "taken once")
            self.assertEqual(self.world.bring("north", self.dir / f"back-{form}")["refused"], [])
            self.assertEqual(self.world.outbox("north")["sealed_primary_rows"], 0)
        self.assertIn("1 of", run("bundle", "verify", self.rotten(stick)).stderr)

    def test_a_stream_that_is_killed_leaves_nothing_for_long(self):
        self.world.join("north")
        data = self.dir / "north"

        def streamed():
            return set(data.glob("bundle-*"))

        def begin():
            """Half a bundle has come, and its command waits for the rest."""
            before = streamed()
            process = subprocess.Popen([SKERRY, "bundle", "import", "-", "--data", data], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.addCleanup(process.stdin.close)
            self.addCleanup(process.kill)
            process.stdin.write(bytes(4 << 20))
            process.stdin.flush()
            deadline = time.monotonic() + 30
            while not any((path / "bundle.tar").exists() and (path / "bundle.tar").stat().st_size for path in streamed() - before):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            return process, (streamed() - before).pop()

        killed, its_tar = begin()
        running, other_tar = begin()
        killed.kill()
        killed.wait()
        self.assertEqual(streamed(), {its_tar, other_tar})
        with tempfile.TemporaryFile() as nothing:
            done = subprocess.run([SKERRY, "bundle", "import", "-", "--data", data], stdin=nothing, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(streamed(), {other_tar}, "the next stream takes away what nobody holds")
        running.kill()
        running.wait()
        self.world.stop_site("north")
        self.world.start_site("north")
        self.assertEqual(streamed(), set(), "and so does a start")

    def test_encrypted_to_its_receiver_in_both_directions(self):
        world = self.world
        world.join("north")
        world.score("north", 500, 1)
        to_hub = world.do("bundle", "receiver", "--hub", world.hub_data).strip()
        stick, key = self.dir / "stick", world.hub_data / "keys/bundle.key"
        world.export("north", stick, "--encrypt-to", to_hub)
        self.assertEqual(json.loads((stick / "sealed.json").read_text())["receiver"], to_hub)
        everything = b"".join(path.read_bytes() for path in stick.rglob("*") if path.is_file())
        for word in (b"north", b"demo", b"sha256", b"PAR1"):
            self.assertNotIn(word, everything)
        refused = run("bundle", "verify", stick)
        self.assertEqual((refused.returncode, "is encrypted" in refused.stderr), (1, True), refused.stderr)
        self.assertEqual(run("bundle", "verify", stick, "--identity", key).returncode, 0)
        other = run("bundle", "import", stick, "--data", self.dir / "north")
        self.assertIn("another receiver", other.stderr)
        self.assertEqual(world.take(stick)["missing"], [])
        self.assertEqual(world.received("north"), (500, True))
        to_site = world.do("bundle", "receiver", "--data", self.dir / "north").strip()
        self.assertNotEqual(to_site, to_hub)
        self.assertEqual(world.bring("north", self.dir / "back", more=("--encrypt-to", to_site))["refused"], [])
        self.assertEqual(world.outbox("north")["sealed_primary_rows"], 0)
        wrong = run("bundle", "export", self.dir / "no", "--data", self.dir / "north", "--encrypt-to", "age1nobody")
        self.assertIn("is no receiver", wrong.stderr)
        self.assertFalse((self.dir / "no").exists())

    @unittest.skipUnless(shutil.which("age"), "age is not installed")
    def test_encrypted_for_the_stock_tool_and_by_it(self):
        self.world.join("north")
        self.world.score("north", 300, 2)
        subprocess.run(["age-keygen", "-o", self.dir / "my.key"], check=True, capture_output=True)
        receiver = subprocess.run(["age-keygen", "-y", self.dir / "my.key"], check=True, capture_output=True, text=True).stdout.strip()
        stick = self.dir / "stick"
        self.world.export("north", stick, "--encrypt-to", receiver)
        pack = subprocess.run(["age", "-d", "-i", self.dir / "my.key", stick / "packs/00000001.tar.age"], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(pack)) as archive:
            self.assertIn("index.json", archive.getnames())
        # What the hub finds is what the tool has encrypted to it again.
        hub = self.world.do("bundle", "receiver", "--hub", self.world.hub_data).strip()
        subprocess.run(["age", "-r", hub, "-o", stick / "packs/00000001.tar.age"], input=pack, check=True)
        self.assertEqual(self.world.take(stick)["missing"], [])
        self.assertEqual(self.world.received("north"), (300, True))

    @staticmethod
    def pack(bundle):
        """Puts the blobs but three into packs, two of them in pieces, as an export does beyond limits that no test waits for (media_limits.h)."""
        (bundle / "packs").mkdir()
        blobs = sorted((bundle / "blobs" / "sha256").iterdir(), key=lambda file: file.stat().st_size)
        entries = []
        for number, blob in enumerate(blobs[3:]):
            data, name = blob.read_bytes(), f"blobs/sha256/{blob.name}"
            half = len(data) // 2
            entries += [(name, data)] if number % 3 else [(name + ".part0001", data[:half]), (name + ".part0002", data[half:])]
            blob.unlink()
        for number, half in enumerate((entries[:len(entries) // 2], entries[len(entries) // 2:])):
            with tarfile.open(bundle / "packs" / f"{number + 1:08}.tar", "w", format=tarfile.USTAR_FORMAT) as pack:
                for name, data in half:
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    pack.addfile(info, io.BytesIO(data))

    def rotten(self, tar):
        """A copy with one byte changed in the middle of its largest file."""
        with tarfile.open(tar) as archive:
            largest = max(archive.getmembers(), key=lambda member: member.size)
        copy = tar.with_name("rotten.tar")
        data = bytearray(tar.read_bytes())
        data[largest.offset_data + largest.size // 2] ^= 1
        copy.write_bytes(data)
        return copy

    def test_rot_names_what_is_missing_and_the_rest_is_taken(self):
        self.world.join("north")
        self.world.score("north", 500, 1)
        self.world.export("north", self.dir / "out.tar")
        status, found = self.verify(self.rotten(self.dir / "out.tar"))
        self.assertEqual((status, found["damaged"]), (1, 1))
        [bad] = [part for part in found["parts"] if part["state"] == "damaged"]
        self.assertIn("is damaged", bad["faults"][0])
        report = self.world.take(self.dir / "rotten.tar")
        self.assertEqual(len(report["missing"]), 1, report)
        self.assertIn(bad["name"], report["missing"][0])
        self.assertEqual(self.world.take(self.dir / "out.tar")["applied"], 1)
        self.assertEqual(self.world.received("north"), (500, True))

    def test_tar_cut_anywhere_gives_its_whole_parts(self):
        self.world.join("north")
        for number in range(3):
            self.world.score("north", 200, number)
            self.world.outbox("north")
        whole = self.dir / "out.tar"
        self.world.export("north", whole)
        data = whole.read_bytes()
        for share in (0.3, 0.6, 0.9):
            cut = self.dir / f"cut{share}.tar"
            cut.write_bytes(data[:int(len(data) * share)])
            status, found = self.verify(cut)
            self.assertEqual(status, 1)
            self.assertTrue(any("index.json" in sentence for sentence in found["medium"]), found["medium"])
            report = self.world.take(cut)
            named = {sentence.split(":")[0] for sentence in report["missing"]}
            self.assertEqual(named - {f"medium {cut.name}"}, {f"{part['kind']} {part['name']}" for part in found["parts"] if part["state"] == "damaged"})
        self.world.take(whole)
        self.assertEqual(self.world.received("north"), (600, True))

    def test_three_sticks_in_every_order_converge(self):
        """Sticks that overlap, each order at a copy of hub and site; both sides end the same, and say who had which stick."""
        self.world.join("north")
        sticks = []
        for number in range(3):
            self.world.score("north", 100 * (number + 1), number)
            sticks.append(self.dir / f"stick{number}{'.tar' if number == 1 else ''}")
            self.world.export("north", sticks[-1])
        self.world.stop()
        for order in itertools.permutations(range(3)):
            with self.subTest(order=order):
                name = "".join(map(str, order))
                shutil.copytree(self.dir / "hub", self.dir / f"hub-{name}")
                shutil.copytree(self.dir / "north", self.dir / f"north-{name}")
                self.world.start_hub(f"hub-{name}")
                for number in order:
                    self.assertEqual(self.world.take(sticks[number])["refused"], [])
                self.assertEqual(self.world.received("north")[0], 600)
                self.world.start_site("north", f"north-{name}")
                self.world.bring("north", self.dir / f"back-{name}", f"north-{name}")
                self.assertEqual(self.world.outbox("north", f"north-{name}")["sealed_primary_rows"], 0)
                last = self.dir / f"last-{name}"
                self.world.do("bundle", "export", last, "--data", self.dir / f"north-{name}")
                self.world.take(last)
                self.assertEqual(self.world.received("north"), (600, True))
                at_site = json.loads(self.world.do("bundle", "custody", "--data", self.dir / f"north-{name}", "--json"))["bundles"]
                at_hub = json.loads(self.world.do("bundle", "custody", "--hub", self.world.hub_data, "--json"))["bundles"]
                for stick in sticks:
                    header = json.loads(self.world.do("bundle", "inspect", stick, "--json"))
                    for side in (at_site, at_hub):
                        [bundle] = [one for one in side if one["bundle"] == header["bundle"]]
                        known = {(entry["action"], entry["by"]) for entry in bundle["custody"]}
                        self.assertEqual(known, {("export", "site:north"), ("import", "hub")}, (stick, side))
                        for entry in bundle["custody"]:
                            self.assertGreater(entry["rows"]["sample"], 0)
                            self.assertGreater(entry["bytes"], 1000)
                            self.assertIn(entry["clock"], ("synced", "holdover", "unknown"))
                self.assertIn("import", self.world.do("bundle", "custody", "--hub", self.world.hub_data))
                self.world.stop()

    def test_killed_in_the_middle_goes_on(self):
        """SIGKILL to the site while it exports and to the hub while it imports; asked again, each comes to its end."""
        self.world.join("north")
        for number in range(8):  # each export makes a shipment of what is new
            self.world.score("north", 100, number)
            self.world.export("north", self.dir / f"throwaway{number}")
        rng = random.Random(5)
        for form in ("killed", "killed.tar"):
            stick = self.dir / form
            for _ in range(6):
                self.meet(self.world.sites["north"], rng.uniform(0.02, 0.15), "export", stick, "--data", self.dir / "north")
                self.world.sites.pop("north")
                self.world.start_site("north")
                if stick.is_file() or (stick / "index.json").exists():
                    break
            done = run("bundle", "export", stick, "--data", self.dir / "north")
            self.assertTrue(done.returncode == 0 or "is not empty" in done.stderr or "there already" in done.stderr, done.stderr)
            status, found = self.verify(stick)
            self.assertEqual((status, found["damaged"], found["medium"]), (0, 0, []))
            self.assertGreaterEqual(len(found["parts"]), 10)
        # Once: a segment that two processes died of while they read it is set aside.
        self.meet(self.world.hub, rng.uniform(0.05, 0.25), "import", stick, "--hub", self.world.hub_data)
        self.world.hub = None
        self.world.start_hub()
        report = self.world.take(stick)
        self.assertEqual((report["missing"], report["refused"]), ([], []))
        self.assertEqual(self.world.received("north"), (800, True))

    @staticmethod
    def meet(served, after_s, *verb):
        """Kills the process so long after the command was begun."""
        command = subprocess.Popen([SKERRY, "bundle", *map(str, verb)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            command.wait(after_s)
        except subprocess.TimeoutExpired:
            pass
        served.process.kill()
        served.process.wait()
        served.process.stdout.close()
        served.log.close()
        command.wait(60)

    def test_hostile_bundles_change_nothing(self):
        """To the hub and to the site, as directories and tars: refused with a reason, and everything goes on as before."""
        self.world.join("north")
        self.world.score("north", 100, 1)
        good = self.dir / "good"
        self.world.export("north", good)
        self.world.do("token", "south", "--hub", self.world.hub_data, "--out", self.dir / "south.token", "--media")

        def tar_with(name, *members):
            path = self.dir / name
            with tarfile.open(path, "w") as archive:
                for member in members:
                    archive.addfile(member, io.BytesIO(b"x" * member.size))
                for file in sorted(good.rglob("*")):
                    if file.is_file():
                        archive.add(file, str(file.relative_to(good)))
            return path

        def member(name, kind=tarfile.REGTYPE, size=0):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, size, "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            return info

        blob = "blobs/sha256/" + "0" * 64
        refused = {
            tar_with("link.tar", member(blob, tarfile.SYMTYPE)): "symbolic link",
            tar_with("hard.tar", member(blob, tarfile.LNKTYPE)): "hard link",
            tar_with("device.tar", member(blob, tarfile.CHRTYPE)): "device",
            tar_with("pipe.tar", member(blob, tarfile.FIFOTYPE)): "pipe",
            tar_with("dots.tar", member("../../etc/passwd", size=3)): "leaves it",
            tar_with("absolute.tar", member("/etc/passwd", size=3)): "absolute name",
        }
        for name, edit in {"index-link": lambda at: (at.rename(at.with_name("x")), at.symlink_to("x")),
                           "index-pipe": lambda at: (at.unlink(), os.mkfifo(at))}.items():
            shutil.copytree(good, self.dir / name)
            edit(self.dir / name / "index.json")
            refused[self.dir / name] = "regular file"
        shutil.copytree(good, self.dir / "many")
        index = json.loads((good / "index.json").read_text())
        index["manifests"] *= 400_000 // len(index["manifests"])
        (self.dir / "many" / "index.json").write_text(json.dumps(index))
        refused[self.dir / "many"] = "limit"
        shutil.copytree(good, self.dir / "south-forged")
        for name in ("index.json", "contents.json"):
            text = (good / name).read_text()
            (self.dir / "south-forged" / name).write_text(text.replace('"org.skerry.site":"north"', '"org.skerry.site":"south"'))
        for path, reason in refused.items():
            done = run("bundle", "import", path, "--hub", self.world.hub_data)
            self.assertEqual(done.returncode, 1, path)
            self.assertIn(reason, done.stderr, path)
            self.assertEqual(run("bundle", "verify", path).returncode, 1, path)
            self.assertEqual(run("bundle", "import", path, "--data", self.dir / "north").returncode, 1, path)
        self.assertEqual(self.world.received("north")[0], 0)
        self.assertEqual(self.world.take(self.dir / "south-forged")["applied"], 0)
        # Another site's answer, and an older desired state.
        older = self.dir / "older"
        self.world.do("bundle", "export", older, "--hub", self.world.hub_data, "--site", "north")
        self.world.do("deploy", "demo:1", "--policy", "demo:1", "--fallback", "demo:1", "--sites", "north", "--hub", self.world.hub_data)
        self.assertEqual(self.world.bring("north", self.dir / "newer.tar")["refused"], [])
        before = json.loads(self.world.do("outbox", "status", "--data", self.dir / "north", "--json"))
        report = json.loads(self.world.do("bundle", "import", older, "--data", self.dir / "north", "--json"))
        self.assertEqual(len(report["refused"]), 1, report)
        self.assertIn("desired-state", report["refused"][0])
        shutil.copytree(older, self.dir / "foreign")
        for name in ("index.json", "contents.json"):
            text = (older / name).read_text()
            (self.dir / "foreign" / name).write_text(text.replace('"org.skerry.site":"north"', '"org.skerry.site":"south"'))
        done = run("bundle", "import", self.dir / "foreign", "--data", self.dir / "north")
        self.assertEqual(done.returncode, 1)
        self.assertIn("is for site south", done.stderr)
        self.assertEqual(json.loads(self.world.do("outbox", "status", "--data", self.dir / "north", "--json"))["sealed_primary_rows"],
                         before["sealed_primary_rows"])
        self.world.take(good)
        self.assertEqual(self.world.received("north"), (100, True))

    @unittest.skipUnless(shutil.which("mformat") and shutil.which("mcopy"), "mtools is not installed: scripts/deps --test")
    def test_through_a_fat32_image(self):
        """Loose blobs, packs and blobs in pieces, copied into a FAT32 image and out of it, both ways."""
        self.world.join("north")
        for number in range(4):
            self.world.score("north", 300, number)
        image = self.dir / "stick.img"
        with open(image, "wb") as file:
            file.truncate(300 << 20)
        environment = dict(os.environ, MTOOLS_SKIP_CHECK="1")
        subprocess.run(["mformat", "-i", image, "-F", "-T", str((300 << 20) // 512), "-h", "64", "-s", "32", "::"], check=True, env=environment)
        self.assertEqual(image.open("rb").read(90)[82:87], b"FAT32")
        written = self.world.export("north", self.dir / "out")
        self.assertEqual(written["missing"], [])
        for directory, _, files in os.walk(self.dir / "out"):
            slots = sum(1 + -(-len(name) // 13) for name in files) + 2  # long names take a slot for each 13 characters
            self.assertLess(slots, 65_536)
            self.assertFalse([name for name in files if set(name) & set('"*/:<>?\\|') or name.endswith((".", " "))])
        self.pack(self.dir / "out")
        subprocess.run(["mcopy", "-i", image, "-s", self.dir / "out", "::out"], check=True, env=environment)
        subprocess.run(["mcopy", "-i", image, "-s", "-n", "::out", self.dir / "copied"], check=True, env=environment)
        self.assertEqual(self.verify(self.dir / "copied")[0], 0)
        self.assertEqual(self.world.take(self.dir / "copied")["missing"], [])
        self.assertEqual(self.world.received("north"), (1200, True))
        self.world.do("bundle", "export", self.dir / "back", "--hub", self.world.hub_data, "--site", "north")
        self.pack(self.dir / "back")
        subprocess.run(["mcopy", "-i", image, "-s", self.dir / "back", "::back"], check=True, env=environment)
        subprocess.run(["mcopy", "-i", image, "-s", "-n", "::back", self.dir / "back-copied"], check=True, env=environment)
        self.world.do("bundle", "import", self.dir / "back-copied", "--data", self.dir / "north")
        self.assertEqual(self.world.outbox("north")["sealed_primary_rows"], 0)


if __name__ == "__main__":
    run_tests("__main__")
