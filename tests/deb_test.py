"""The Debian package in a machine of its own, booted with its own systemd, the example for cloud-init in another, and the offline installer in a bare root: installed,
run, upgraded, removed and purged there. Needs root, mmdebstrap, systemd-nspawn and the machine's own package sources: `make deb-test` runs it. Prints "N passed,
N failed, N skipped"."""
import base64
import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

from plant import free_port, good
from skerry_process import Served, run_tests, train_package

BUILD = pathlib.Path(__file__).resolve().parent.parent / "build/release"
CACHE = pathlib.Path(os.environ.get("SKERRY_CACHE") or pathlib.Path.home() / ".cache/skerry")
UNITS = ("skerry-site.service", "skerry-hub.service")


def must(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def depends_of(deb):
    """Names of packages, without versions; the first of alternatives."""
    return [re.split(r"[ (|]", entry.strip())[0] for entry in must("dpkg-deb", "-f", deb, "Depends").split(",")]


def debian_root(name, packages):
    """The archive of a minimal Debian root with these packages; made once, from the machine's own package sources."""
    archive = CACHE / f"{name}.tar"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    found = must("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages").splitlines()
    sources = sorted({f"deb {line}" for line in found if " bookworm" in line and line.endswith(" main")})
    with tempfile.TemporaryDirectory(prefix="skerry-root-") as work:
        listed = pathlib.Path(work) / "sources.list"
        listed.write_text("\n".join(sources) + "\n")
        include = ["--include=" + ",".join(packages)] if packages else []
        must("mmdebstrap", "--variant=minbase", *include, "bookworm", pathlib.Path(work) / "root.tar", listed)
        shutil.move(pathlib.Path(work) / "root.tar", archive)
    return archive


def trained(directory):
    train_package(directory)
    return directory / "model"


class Machine:
    """A root that is booted with its own systemd, in namespaces of its own but for the network, which is ours or that of `network`, a command before it."""

    def __init__(self, root, network=()):
        self.console = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*network, "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe", f"--machine=skerry-{os.getpid()}-{root.name}",
                                         "-D", root, "-b"], stdin=subprocess.DEVNULL, stdout=self.console, stderr=subprocess.STDOUT)
        self.init = None
        try:
            wait_for(self.is_up, "the machine to be up")
        except AssertionError:
            self.process.kill()
            self.console.seek(0)
            raise AssertionError(self.console.read().decode()) from None

    def is_up(self):
        self.init = (pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split() or [None])[0]
        return self.init and self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def run(self, *command, check=True):
        done = subprocess.run(["nsenter", "-t", self.init, "-m", "-u", "-i", "-n", "-p", "-C", *map(str, command)], capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done

    def state_of(self, unit):
        lines = self.run("systemctl", "show", "-p", "ActiveState,MainPID,NRestarts", unit).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def off(self):
        self.run("systemctl", "poweroff", check=False)
        self.process.wait(60)
        self.console.close()


def wait_for(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what} in vain"
        time.sleep(0.2)


@unittest.skipUnless(os.environ.get("SKERRY_WHOLE"), "takes some minutes: make deb-test runs it")
@unittest.skipUnless(os.geteuid() == 0 and all(map(shutil.which, ("mmdebstrap", "systemd-nspawn", "ip"))), "needs root, mmdebstrap, systemd-nspawn and iproute2")
class CleanRoot(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-deb-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)

    def unpack(self, archive, name="root"):
        self.root = self.dir / name
        self.root.mkdir()
        must("tar", "-xf", archive, "-C", self.root, "--exclude=./dev/*")
        return self.root

    def boot(self, root=None, network=()):
        machine = Machine(root or self.root, network)
        self.addCleanup(machine.off)
        return machine

    def is_live(self, url):
        with urllib.request.urlopen(url + "/v2/health/live", timeout=20) as answer:
            self.assertEqual(answer.status, 200)

    def everything_is_gone(self):
        for gone in ("var/lib/skerry-site", "var/lib/skerry-hub", "etc/skerry"):
            self.assertFalse((self.root / gone).exists(), gone)
        self.assertNotIn("skerry", (self.root / "etc/passwd").read_text())


class DebTest(CleanRoot):
    def install(self, machine, deb):
        shutil.copy(deb, self.root / "srv/skerry.deb")
        machine.run("dpkg", "--install", "/srv/skerry.deb")

    def newer(self, deb, version):
        """The same package with a later version."""
        tree = self.dir / "newer"
        must("dpkg-deb", "-R", deb, tree)
        control = tree / "DEBIAN/control"
        control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {version}+1\n"))
        must("dpkg-deb", "-Znone", "-b", tree, self.dir / "newer.deb")
        return self.dir / "newer.deb"

    def test_installed_run_upgraded_removed_and_purged(self):
        [deb] = BUILD.glob("skerry_*.deb")
        version = must("dpkg-deb", "-f", deb, "Version").strip()
        self.unpack(debian_root("debian-root", ["systemd", *depends_of(deb)]))
        machine = self.boot()
        self.install(machine, deb)
        self.assertIn(f"skerry {version}", machine.run("skerry", "version").stdout)
        for unit in UNITS:
            verified = machine.run("systemd-analyze", "verify", "--man=no", f"/usr/lib/systemd/system/{unit}", check=False)
            self.assertEqual((verified.returncode, verified.stderr), (0, ""))
            self.assertEqual(machine.state_of(unit)["ActiveState"], "inactive", "nobody asked for it yet")
        shutil.copytree(trained(self.dir), self.root / "srv/model")
        made = machine.run("skerry", "image", "/srv/model", "--name", "demo", "--version", "1", "--out", "/srv/demo.image")  # from installed files
        self.assertIn("linux/amd64", made.stdout)

        # A hub and a site as services, by the words of deploy.md.
        hub, port = free_port(), free_port()
        env = self.root / "etc/skerry/hub.env"
        env.write_text(re.sub("(?m)^SKERRY_HUB_LISTEN=.*", f"SKERRY_HUB_LISTEN=127.0.0.1:{hub}", env.read_text()))
        machine.run("systemctl", "enable", "--now", "skerry-hub")
        machine.run("skerry", "token", "north", "--hub", "/var/lib/skerry-hub", "--out", "/srv/north.token")
        machine.run("install", "-o", "skerry-site", "-g", "skerry-site", "-m", "0600", "/srv/north.token", "/etc/skerry/site.token")
        settings = self.root / "etc/skerry/site.yaml"
        settings.write_text(settings.read_text().replace("port: 8000", f"port: {port}"))
        machine.run("systemctl", "enable", "--now", "skerry-site")
        self.is_live(f"http://127.0.0.1:{port}")
        wait_for(lambda: "north" in machine.run("skerry", "status", "--hub", "/var/lib/skerry-hub").stdout, "the hub to hear of the site")
        key = self.root / "var/lib/skerry-site/identity/key.pem"
        before = {unit: machine.state_of(unit)["MainPID"] for unit in UNITS}
        identity, written = key.read_bytes(), settings.read_text()

        self.kill_and_see_it_back(machine, "skerry-site.service")
        self.is_live(f"http://127.0.0.1:{port}")

        self.install(machine, self.newer(deb, version))
        self.assertEqual(settings.read_text(), written)
        self.assertIn(f"{version}+1", machine.run("dpkg-query", "-W", "skerry").stdout)
        for unit in UNITS:
            state = machine.state_of(unit)
            self.assertEqual(state["ActiveState"], "active")
            self.assertNotEqual(state["MainPID"], before[unit], "what ran goes on with the new binary")
        self.is_live(f"http://127.0.0.1:{port}")
        self.assertEqual(key.read_bytes(), identity)

        machine.run("dpkg", "--remove", "skerry")
        self.assertEqual([machine.state_of(unit)["ActiveState"] for unit in UNITS], ["inactive"] * 2)
        self.assertFalse((self.root / "usr/lib/skerry").exists() or (self.root / "usr/bin/skerry").is_symlink())
        self.assertTrue(key.exists() and settings.exists())
        machine.run("dpkg", "--purge", "skerry")
        self.everything_is_gone()

    def kill_and_see_it_back(self, machine, unit):
        pid = machine.state_of(unit)["MainPID"]
        machine.run("systemctl", "kill", "--signal=KILL", unit)
        wait_for(lambda: machine.state_of(unit)["MainPID"] not in ("0", pid) and machine.state_of(unit)["ActiveState"] == "active", f"{unit} to be back")


class CloudInitTest(CleanRoot):
    def test_a_vm_becomes_a_site_at_its_first_boot(self):
        [deb] = BUILD.glob("skerry_*.deb")
        self.unpack(debian_root("debian-vm", ["systemd", "cloud-init", "curl", *depends_of(deb)]))
        data, token = self.dir / "hub", self.dir / "north.token"
        self.addCleanup(Served("hub", "--data", data, "--listen", "127.0.0.1:0").stop)
        good("token", "north", "--hub", data, "--out", token)
        shelf = self.dir / "shelf"
        shelf.mkdir()
        shutil.copy(deb, shelf / "skerry.deb")
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietFiles, directory=shelf))
        threading.Thread(target=web.serve_forever, daemon=True).start()
        self.addCleanup(web.shutdown)

        said = (BUILD.parent.parent / "packaging/cloud-init/site.yaml").read_text()
        said = said.replace("TOKEN-IN-BASE64", base64.b64encode(token.read_bytes()).decode())
        said = said.replace("URL-OF-THE-DEBIAN-PACKAGE", f"http://127.0.0.1:{web.server_port}/skerry.deb")
        seed = self.root / "var/lib/cloud/seed/nocloud"
        seed.mkdir(parents=True)
        (seed / "user-data").write_text(said)
        (seed / "meta-data").write_text("instance-id: first\n")
        # What the packages need is there, and no mirror is asked. There is neither an SSH server nor another locale in so small a root.
        for listed in (self.root / "etc/apt").rglob("*.list"):
            listed.write_text("")
        (self.root / "etc/cloud/cloud.cfg.d/99_small.cfg").write_text(
            "apt: {preserve_sources_list: true}\ndatasource_list: [NoCloud]\nlocale: C.UTF-8\nssh_deletekeys: false\nssh_genkeytypes: []\n")
        machine = self.boot()
        self.assertIn("Valid", machine.run("cloud-init", "schema", "--config-file", "/var/lib/cloud/seed/nocloud/user-data").stdout)
        machine.run("cloud-init", "status", "--wait", check=False)
        said = (self.root / "var/log/cloud-init-output.log").read_text()
        self.assertEqual(json.loads(machine.run("cat", "/run/cloud-init/result.json").stdout)["v1"]["errors"], [], said)
        self.assertEqual(machine.state_of("skerry-site.service")["ActiveState"], "active")
        self.assertEqual(machine.run("ls", "/run/skerry").stdout.split(), ["install", "skerry.deb"])
        wait_for(lambda: "north" in good("status", "--hub", data), "the hub to hear of the site")


class DeployMdTest(CleanRoot):
    """docs/deploy.md, followed word by word: what its numbered steps show is what is run, as root, each in the home directory of its machine."""

    def setUp(self):
        super().setUp()
        self.deb, self.archive = [next(BUILD.glob(name)) for name in ("skerry_*.deb", "skerry-*-linux-*.tar.gz")]
        name = f"skerry-deb-{os.getpid()}"
        must("ip", "netns", "add", name)
        self.addCleanup(must, "ip", "netns", "delete", name)
        self.network = ["nsenter", f"--net=/run/netns/{name}"]
        must(*self.network, "ip", "link", "set", "lo", "up")  # the two machines reach each other there, and nothing else
        self.stick = self.dir / "stick"
        self.stick.mkdir()

    def machine(self, name):
        root = self.unpack(debian_root("debian-vm", ["systemd", "cloud-init", "curl", *depends_of(self.deb)]), name)
        for listed in (root / "etc/apt").rglob("*.list"):
            listed.write_text("")
        (root / "etc/hosts").write_text("127.0.0.1 localhost hub.example\n")
        (root / "media/stick").mkdir()
        must("mount", "--bind", self.stick, root / "media/stick")
        self.addCleanup(must, "umount", root / "media/stick")
        return self.boot(root, self.network)

    def steps(self, section):
        """The commands of each numbered step."""
        text = (BUILD.parent.parent / "docs/deploy.md").read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
        steps = re.split(r"(?m)^\*\*(\d+)\.", text)
        return {int(number): "".join(re.findall(r"(?ms)^```sh\n(.*?)^```$", words)) for number, words in zip(steps[1::2], steps[2::2])}

    def follow(self, machine, words):
        self.assertTrue(words)
        return machine.run("sh", "-euc", f"export HOME=/srv DEBIAN_FRONTEND=noninteractive; cd /srv; {words}").stdout

    def hub_with_model(self, linked):
        """Steps 1 to 3 of a machine with a link."""
        hub = self.machine("hub")
        shutil.copy(self.deb, self.dir / "hub/srv")
        train_package(self.dir)
        shutil.copy(self.dir / "train.csv", self.dir / "hub/srv/readings.csv")
        for step in (1, 2, 3):
            self.follow(hub, linked[step])
        return hub

    def score(self, machine, root, words):
        lines = (self.dir / "train.csv").read_text().splitlines()[:11]
        label = lines[0].split(",").index("failure")
        without = [",".join(cell for i, cell in enumerate(line.split(",")) if i != label) for line in lines]
        (root / "srv/rows.csv").write_text("\n".join(without) + "\n")
        ready = "curl -fs http://127.0.0.1:8000/v2/models/milling/ready"
        wait_for(lambda: machine.run(*ready.split(), check=False).returncode == 0, "the model to be ready")
        said = self.follow(machine, words)
        self.assertEqual(len(re.findall(r'"prediction":', said)), 10, said)

    def received(self, hub):
        [north] = json.loads(hub.run("skerry", "status", "--hub", "/var/lib/skerry-hub", "--json").stdout)
        return north["terms"]["received"]

    def test_a_machine_with_a_link(self):
        linked = self.steps("A machine or VM with a link, in ten minutes")
        hub = self.hub_with_model(linked)
        site = self.machine("site")
        for what in (self.deb, self.dir / "hub/srv/north.token"):
            shutil.copy(what, self.dir / "site/srv")
        self.follow(site, linked[4])
        self.follow(hub, linked[5])
        self.score(site, self.dir / "site", linked[6])
        wait_for(lambda: self.received(hub) == 10, "the rows to be at the hub")

    def test_no_link_at_all(self):
        linked, unlinked = (self.steps(name) for name in ("A machine or VM with a link, in ten minutes", "No link at all"))
        linked[3] = "\n".join(line for line in linked[3].splitlines() if not line.startswith("skerry token"))  # "but the token for media"
        hub = self.hub_with_model(linked)
        self.follow(hub, unlinked[1])
        for what in (self.archive, self.dir / "hub/srv/north.token"):
            shutil.copy(what, self.stick)
        site = self.machine("site")
        self.follow(site, unlinked[2])
        self.follow(hub, unlinked[3])
        self.follow(site, unlinked[4])
        self.score(site, self.dir / "site", linked[6])
        self.follow(site, "skerry bundle export - --data /var/lib/skerry-site >/media/stick/from-north.tar")
        self.follow(hub, "skerry bundle import - --hub /var/lib/skerry-hub </media/stick/from-north.tar")
        self.assertEqual(self.received(hub), 10)


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class InstallerTest(CleanRoot):
    """In a root with nothing but glibc, in which no network is reached."""

    def unpack(self, archive):
        super().unpack(archive)
        for device in ("null", "zero", "urandom", "random"):
            os.mknod(self.root / "dev" / device, 0o20666, os.stat(f"/dev/{device}").st_rdev)
            os.chmod(self.root / "dev" / device, 0o666)
        must("mount", "-t", "proc", "proc", self.root / "proc")
        self.addCleanup(subprocess.run, ["umount", "-l", self.root / "proc"], check=True)

    def inside(self, *command, check=True):
        done = subprocess.run(["unshare", "--net", "chroot", self.root, *map(str, command)], capture_output=True, text=True, check=False)
        self.assertTrue(not check or done.returncode == 0, (command, done.stdout, done.stderr))
        return done

    def run_site(self, unit, use):
        """What the unit runs, as its user, while `use` is called with its URL."""
        port = free_port()
        (self.root / "etc/skerry/site.yaml").write_text(f"name: north\nhttp: {{port: {port}}}\n")
        command = re.search(r"^ExecStart=(.*)$", (self.root / unit).read_text(), re.M).group(1).split()
        with subprocess.Popen(["chroot", self.root, "setpriv", "--reuid=skerry-site", "--regid=skerry-site", "--clear-groups", *command],
                              stdout=subprocess.PIPE, text=True) as site:
            self.assertIn(f"http://127.0.0.1:{port}", site.stdout.readline())
            use(f"http://127.0.0.1:{port}")
            site.terminate()
            self.assertEqual(site.wait(30), 0)

    def users_have_homes(self):
        for user in ("skerry-site", "skerry-hub"):
            self.assertIn(f":/var/lib/{user}:/usr/sbin/nologin", self.inside("getent", "passwd", user).stdout)
            # What StateDirectory= makes where systemd runs.
            self.inside("install", "-d", "-m", "0700", "-o", user, "-g", user, f"/var/lib/{user}")

    def test_installed_run_replaced_removed_and_purged_with_nothing_but_glibc(self):
        [archive] = BUILD.glob("skerry-*-linux-*.tar.gz")
        self.unpack(debian_root("debian-bare", []))
        must("tar", "-xzf", archive, "-C", self.root / "srv")
        place = "/srv/" + archive.name.removesuffix(".tar.gz")
        self.assertIn("skerry", self.inside(f"{place}/install.sh").stdout)
        self.users_have_homes()
        shutil.copytree(trained(self.dir), self.root / "srv/model")
        # Trains (XGBoost, DuckDB), scores (ONNX Runtime), and makes an image of what was brought along.
        shutil.copy(self.dir / "train.csv", self.root / "srv/train.csv")
        self.inside("skerry", "train", "/srv/train.csv", "--label", "failure", "--name", "demo", "--out", "/srv/made")
        self.inside("skerry", "score", "/srv/train.csv", "/srv/made", "--out", "/srv/scored.parquet")
        self.inside("skerry", "image", "/srv/made", "--name", "demo", "--version", "1", "--out", "/srv/demo.image")
        unit = "etc/systemd/system/skerry-site.service"
        self.run_site(unit, self.is_live)
        key = self.root / "var/lib/skerry-site/identity/key.pem"
        identity = key.read_bytes()
        self.inside(f"{place}/install.sh")
        self.run_site(unit, self.is_live)
        self.assertEqual(key.read_bytes(), identity)

        damaged = self.root / place.lstrip("/") / "doc/LICENSE"
        damaged.write_text(damaged.read_text() + "x")
        refused = self.inside(f"{place}/install.sh", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("damaged", refused.stderr)

        self.inside(f"{place}/install.sh", "--remove")
        self.assertFalse((self.root / "usr/local/lib/skerry").exists())
        self.assertTrue(key.exists())
        self.inside(f"{place}/install.sh", "--purge")
        self.everything_is_gone()


if __name__ == "__main__":
    run_tests(__name__)
