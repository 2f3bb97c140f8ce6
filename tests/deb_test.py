"""The Debian package and the offline installer in clean Debian roots: installed, run, upgraded, removed and purged there. Needs root, mmdebstrap and the machine's
own package sources: `make deb-test` runs it. Prints "N passed, N failed, N skipped"."""
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


@unittest.skipUnless(os.environ.get("SKERRY_WHOLE"), "takes a minute: make deb-test runs it")
@unittest.skipUnless(os.geteuid() == 0 and shutil.which("mmdebstrap"), "needs root and mmdebstrap")
class CleanRoot(unittest.TestCase):
    """A minimal Debian in which no network is reached."""

    def unpack(self, archive):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-deb-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)
        self.root = self.dir / "root"
        self.root.mkdir()
        must("tar", "-xf", archive, "-C", self.root, "--exclude=./dev/*")
        for device in ("null", "zero", "urandom", "random"):
            os.mknod(self.root / "dev" / device, 0o20666, os.stat(f"/dev/{device}").st_rdev)
            os.chmod(self.root / "dev" / device, 0o666)
        must("mount", "-t", "proc", "proc", self.root / "proc")
        self.addCleanup(subprocess.run, ["umount", "-l", self.root / "proc"], check=True)

    def inside(self, *command, user=None, check=True):
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        done = subprocess.run(["unshare", "--net", "chroot", self.root, *as_user, *map(str, command)], capture_output=True, text=True, check=False)
        self.assertTrue(not check or done.returncode == 0, (command, done.stdout, done.stderr))
        return done

    def run_site(self, unit, use, settings=True):
        """What the unit runs, as its user, while `use` is called with its URL; with settings of the test's, or those that are there."""
        port = free_port()
        if settings:
            (self.root / "etc/skerry/site.yaml").write_text(f"name: north\nhttp: {{port: {port}}}\n")
        else:
            port = 8000
        command = re.search(r"^ExecStart=(.*)$", (self.root / unit).read_text(), re.M).group(1).split()
        with subprocess.Popen(["chroot", self.root, "setpriv", "--reuid=skerry-site", "--regid=skerry-site", "--clear-groups", *command],
                              stdout=subprocess.PIPE, text=True) as site:
            self.assertIn(f"http://127.0.0.1:{port}", site.stdout.readline())
            use(f"http://127.0.0.1:{port}")
            site.terminate()
            self.assertEqual(site.wait(30), 0)

    def is_live(self, url):
        with urllib.request.urlopen(url + "/v2/health/live", timeout=20) as answer:
            self.assertEqual(answer.status, 200)

    def users_have_homes(self):
        for user in ("skerry-site", "skerry-hub"):
            self.assertIn(f":/var/lib/{user}:/usr/sbin/nologin", self.inside("getent", "passwd", user).stdout)
            # What StateDirectory= makes where systemd runs.
            self.inside("install", "-d", "-m", "0700", "-o", user, "-g", user, f"/var/lib/{user}")

    def everything_is_gone(self):
        for gone in ("var/lib/skerry-site", "var/lib/skerry-hub", "etc/skerry"):
            self.assertFalse((self.root / gone).exists(), gone)
        self.assertNotIn("skerry", self.inside("getent", "passwd").stdout)


class DebTest(CleanRoot):
    def install(self, deb):
        shutil.copy(deb, self.root / "tmp/skerry.deb")
        return self.inside("dpkg", "--install", "/tmp/skerry.deb")

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
        self.install(deb)
        self.assertIn(f"skerry {version}", self.inside("skerry", "version").stdout)
        for unit in UNITS:
            verified = self.inside("systemd-analyze", "verify", "--man=no", f"/usr/lib/systemd/system/{unit}", check=False)
            self.assertEqual((verified.returncode, verified.stderr), (0, ""))
        self.users_have_homes()
        shutil.copytree(trained(self.dir), self.root / "srv/model")
        made = self.inside("skerry", "image", "/srv/model", "--name", "demo", "--version", "1", "--out", "/srv/demo.image")  # from installed files
        self.assertIn("linux/amd64", made.stdout)
        unit = "usr/lib/systemd/system/skerry-site.service"
        self.run_site(unit, self.is_live)
        key = self.root / "var/lib/skerry-site/identity/key.pem"
        identity, settings = key.read_bytes(), (self.root / "etc/skerry/site.yaml").read_text()

        self.install(self.newer(deb, version))
        self.assertEqual((self.root / "etc/skerry/site.yaml").read_text(), settings)
        self.assertIn(f"{version}+1", self.inside("dpkg-query", "-W", "skerry").stdout)
        self.run_site(unit, self.is_live)
        self.assertEqual(key.read_bytes(), identity)

        self.inside("dpkg", "--remove", "skerry")
        self.assertFalse((self.root / "usr/lib/skerry").exists() or (self.root / "usr/bin/skerry").is_symlink())
        self.assertTrue(key.exists() and (self.root / "etc/skerry/site.yaml").exists())
        self.inside("dpkg", "--purge", "skerry")
        self.everything_is_gone()


# The modules of cloud-init that the example uses: the others would set up disks, host names and users of this machine.
CLOUD_MODULES = """datasource_list: [NoCloud]
apt_preserve_sources_list: true
cloud_init_modules: [write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [package-update-upgrade-install, scripts-user]
"""


class CloudInitTest(CleanRoot):
    def test_a_vm_becomes_a_site_at_its_first_boot(self):
        [deb] = BUILD.glob("skerry_*.deb")
        self.unpack(debian_root("debian-vm", ["systemd", "cloud-init", "curl", *depends_of(deb)]))
        for kind, place in (("sysfs", "sys"), ("tmpfs", "run")):
            must("mount", "-t", kind, "-o", "noexec", kind, self.root / place)
            self.addCleanup(subprocess.run, ["umount", "-l", self.root / place], check=True)
        data, token = self.dir / "hub", self.dir / "north.token"
        self.addCleanup(Served("hub", "--data", data, "--listen", "127.0.0.1:0").stop)
        good("token", "north", "--hub", data, "--out", token)
        shelf = self.dir / "shelf"
        shelf.mkdir()
        shutil.copy(deb, shelf / "skerry.deb")
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=shelf))
        threading.Thread(target=web.serve_forever, daemon=True).start()
        self.addCleanup(web.shutdown)

        example = (BUILD.parent.parent / "packaging/cloud-init/site.yaml").read_text()
        said = example.replace("TOKEN", token.read_text().strip()).replace("URL-OF-THE-DEBIAN-PACKAGE", f"http://127.0.0.1:{web.server_port}/skerry.deb")
        seed = self.root / "var/lib/cloud/seed/nocloud"
        seed.mkdir(parents=True)
        (seed / "user-data").write_text(said)
        (seed / "meta-data").write_text("instance-id: first\n")
        (self.root / "etc/cloud/cloud.cfg.d/99_modules.cfg").write_text(CLOUD_MODULES)
        (self.root / "etc/apt/sources.list").write_text("")  # everything that is needed is there
        self.assertIn("Valid", self.at_boot("cloud-init", "schema", "--config-file", "/var/lib/cloud/seed/nocloud/user-data"))
        for stage in (("init", "--local"), ("init",), ("modules", "--mode=config"), ("modules", "--mode=final")):
            self.at_boot("cloud-init", *stage)
        self.assertEqual(json.loads((self.root / "run/cloud-init/result.json").read_text())["v1"]["errors"], [])
        self.assertTrue((self.root / "etc/systemd/system/multi-user.target.wants/skerry-site.service").is_symlink())
        self.assertFalse((self.root / "run/skerry/north.token").exists())
        self.users_have_homes()
        self.run_site("usr/lib/systemd/system/skerry-site.service", lambda _: self.wait_until_heard_of(data), settings=False)

    def at_boot(self, *command):
        """With the machine's loopback, where hub and package are, and a host name of its own."""
        return must("unshare", "--uts", "chroot", self.root, *command)

    def wait_until_heard_of(self, data):
        end = time.monotonic() + 60
        while "north" not in (listed := good("status", "--hub", data)) or "never" in listed:
            self.assertLess(time.monotonic(), end, listed)
            time.sleep(0.5)


class InstallerTest(CleanRoot):
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
