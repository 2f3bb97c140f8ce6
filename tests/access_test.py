"""Keys, TLS and client certificates of skerry serve and skerry site, with curl. Prints "N passed, N failed, N skipped"."""
import json
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

from onnx_identity import write_identity
from skerry_process import Served, run, run_tests
from certificates import make_certificates

INFER = json.dumps({"inputs": [{"name": "x_FP32", "datatype": "FP32", "shape": [1, 1], "data": [1.5]}]})


def curl(url, *args):
    """(HTTP status, body, the header WWW-Authenticate); status 0 where the connection failed."""
    done = subprocess.run(["curl", "-sS", "-i", "--max-time", "20", *map(str, args), url], capture_output=True, text=True, check=False)
    match = re.match(r"HTTP/1.1 (\d+)", done.stdout)
    if done.returncode or not match:
        return 0, done.stderr, ""
    head, _, body = done.stdout.partition("\n\n")
    challenge = re.search(r"(?im)^www-authenticate: (.*)$", head)
    return int(match.group(1)), body, challenge.group(1) if challenge else ""


class Access(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-access-")
        cls.dir = pathlib.Path(cls.temporary.name)
        make_certificates(cls.dir)
        write_identity(cls.dir / "echo.onnx", ["FP32"])
        cls.keys = cls.dir / "scoring.keys"
        made = run("api-key", "line-3", "--keys", cls.keys)
        assert made.returncode == 0, made.stderr
        cls.key = made.stdout.strip()
        cls.bearer = ["-H", f"Authorization: Bearer {cls.key}"]
        cls.tls = ["--tls-cert", cls.dir / "server.pem", "--tls-key", cls.dir / "server.key"]
        cls.trust = ["--cacert", cls.dir / "ca.pem"]
        cls.own = ["--cert", cls.dir / "client.pem", "--key", cls.dir / "client.key"]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def serve(self, *args):
        return Served("serve", "--http", "127.0.0.1:0", *args, self.dir / "echo.onnx")

    def refused(self, *args):
        done = run("serve", "--http", "127.0.0.1:0", *args, self.dir / "echo.onnx")
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr

    def test_a_key_is_printed_once_and_kept_as_a_digest(self):
        self.assertRegex(self.key, r"^skerry_[0-9a-f]{64}$")
        digest = subprocess.run(["sha256sum"], input=self.key, capture_output=True, text=True, check=True).stdout.split()[0]
        self.assertEqual(self.keys.read_text(), f"line-3 sha256:{digest}\n")
        self.assertEqual(self.keys.stat().st_mode & 0o777, 0o600)
        again = run("api-key", "line-3", "--keys", self.keys)
        self.assertEqual((again.returncode, again.stdout), (1, ""))
        self.assertIn("line-3", again.stderr)

    def test_a_key_opens_what_it_should(self):
        with self.serve("--api-keys", self.keys) as server:
            self.assertEqual(curl(f"{server.url}/v2/health/ready")[0], 200)
            for path in ("/v2", "/v2/models/echo", "/v1/models", "/metrics"):
                self.assertEqual(curl(server.url + path)[0], 401, path)
                self.assertEqual(curl(server.url + path, *self.bearer)[0], 200, path)
            infer = f"{server.url}/v2/models/echo/infer"
            status, body, challenge = curl(infer, "-d", INFER)
            self.assertEqual((status, challenge), (401, 'Bearer realm="skerry"'))
            self.assertIn("Authorization: Bearer", json.loads(body)["error"])
            self.assertEqual(curl(infer, "-d", INFER, "-H", "Authorization: Bearer skerry_0")[0], 401)
            status, body, _ = curl(infer, "-d", INFER, *self.bearer)
            self.assertEqual((status, json.loads(body)["outputs"][0]["data"]), (200, [1.5]))

    def test_tls_and_client_certificates(self):
        with self.serve(*self.tls) as server:
            self.assertTrue(server.url.startswith("https://"), server.line)
            self.assertEqual(curl(f"{server.url}/v2/models/echo/infer", *self.trust, "-d", INFER)[0], 200)
            self.assertEqual(curl(f"{server.url}/v2")[0], 0)  # the certificate is nobody's whom curl knows
            self.assertEqual(curl(server.url.replace("https:", "http:") + "/v2")[0], 0)
        with self.serve(*self.tls, "--client-ca", self.dir / "ca.pem", "--api-keys", self.keys) as server:
            self.assertEqual(curl(f"{server.url}/v2/health/live", *self.trust)[0], 0)
            self.assertEqual(curl(f"{server.url}/v2/health/live", *self.trust, *self.own)[0], 200)
            self.assertEqual(curl(f"{server.url}/v2", *self.trust, *self.own)[0], 401)
            self.assertEqual(curl(f"{server.url}/v2", *self.trust, *self.own, *self.bearer)[0], 200)

    def headers(self, url, *args):
        """(status, the header's names in lower case and their values)"""
        done = subprocess.run(["curl", "-sS", "-D", "-", "-o", "/dev/null", "--max-time", "20", *map(str, args), url], capture_output=True,
                              text=True, check=True)
        lines = done.stdout.replace("\r", "").splitlines()
        return int(lines[0].split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}

    def test_pages_of_named_origins_may_call(self):
        page = "https://plant.example"
        with self.serve("--api-keys", self.keys, "--allow-origin", page, "--allow-origin", "http://127.0.0.1:8080") as server:
            infer = f"{server.url}/v2/models/echo/infer"
            ask = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: POST", "-H", "Access-Control-Request-Headers: authorization,content-type"]
            status, head = self.headers(infer, *ask, "-H", f"Origin: {page}")
            self.assertEqual((status, head["access-control-allow-origin"], head["access-control-allow-methods"], head["access-control-allow-headers"]),
                             (204, page, "POST", "authorization,content-type"))
            status, head = self.headers(infer, "-d", INFER, *self.bearer, "-H", f"Origin: {page}")
            self.assertEqual((status, head["access-control-allow-origin"], head["vary"]), (200, page, "Origin"))
            self.assertIn("Retry-After", head["access-control-expose-headers"])
            status, head = self.headers(infer, "-d", INFER, "-H", f"Origin: {page}")  # the page sees why
            self.assertEqual((status, head["access-control-allow-origin"]), (401, page))
            for origin in ("https://elsewhere.example", "null", "https://plant.example.evil"):
                status, head = self.headers(infer, *ask, "-H", f"Origin: {origin}")
                self.assertEqual((status, "access-control-allow-origin" in head), (405, False), origin)
                status, head = self.headers(infer, "-d", INFER, *self.bearer, "-H", f"Origin: {origin}")
                self.assertEqual((status, "access-control-allow-origin" in head), (200, False), origin)
            self.assertEqual(self.headers(f"{server.url}/nothing", *ask, "-H", f"Origin: {page}")[0], 404)
        with self.serve() as server:
            status, head = self.headers(f"{server.url}/v2", "-H", f"Origin: {page}")
            self.assertEqual((status, [name for name in head if name.startswith("access-control") or name == "vary"]), (200, []))
        with self.serve("--allow-origin", "*") as server:
            self.assertEqual(self.headers(f"{server.url}/v2", "-H", f"Origin: {page}")[1]["access-control-allow-origin"], "*")
        for origin in ("plant.example", "https://plant.example/", "https://plant.example/page", ""):
            self.assertIn("is no origin", self.refused("--allow-origin", origin), origin)

    def test_what_does_not_go_together_says_what_to_do(self):
        self.assertIn("--tls-key", self.refused("--tls-cert", self.dir / "server.pem"))
        self.assertIn("--tls-cert", self.refused("--client-ca", self.dir / "ca.pem"))
        self.assertIn("skerry api-key NAME --keys", self.refused("--api-keys", self.dir / "none.keys"))
        self.assertIn("server.pem", self.refused("--tls-cert", self.dir / "server.pem", "--tls-key", self.dir / "client.key"))
        for option in (["--http", "192.0.2.1:0"], ["--grpc", "192.0.2.1:0"]):
            done = run("serve", *option, self.dir / "echo.onnx")
            self.assertEqual(done.returncode, 1)
            self.assertIn("--plain-http", done.stderr)
        open_keys = self.dir / "open.keys"
        open_keys.write_text(self.keys.read_text())
        open_keys.chmod(0o644)
        self.assertIn("chmod 600", self.refused("--api-keys", open_keys))
        self.assertEqual(run("api-key", "line-4", "--keys", open_keys).returncode, 1)

    def wait_for(self, holds, what="it"):
        deadline = time.monotonic() + 60
        while not holds():
            self.assertLess(time.monotonic(), deadline, f"{what} does not come")
            time.sleep(0.2)

    def until(self, url, status, *args):
        self.wait_for(lambda: curl(url, *args)[0] == status, f"{status} of {url}")

    def test_keys_and_certificates_that_change_need_no_new_start(self):
        with tempfile.TemporaryDirectory(prefix="skerry-access-", dir=self.dir) as name:
            new, keys, link = pathlib.Path(name), self.dir / "changing.keys", self.dir / "secret"
            make_certificates(new)
            first = run("api-key", "line-1", "--keys", keys).stdout.strip()
            link.symlink_to(self.dir)  # as Kubernetes swaps a secret
            with self.serve("--tls-cert", link / "server.pem", "--tls-key", link / "server.key", "--api-keys", keys) as server:
                second = run("api-key", "line-2", "--keys", keys).stdout.strip()
                bearer = [["-H", f"Authorization: Bearer {key}"] for key in (first, second)]
                self.until(f"{server.url}/v2", 200, *self.trust, *bearer[1])
                self.assertEqual(curl(f"{server.url}/v2", *self.trust, *bearer[0])[0], 200)
                keys.write_text(keys.read_text().splitlines()[1] + "\n")
                self.until(f"{server.url}/v2", 401, *self.trust, *bearer[0])
                self.assertEqual(curl(f"{server.url}/v2", *self.trust, *bearer[1])[0], 200)
                other = self.dir / "secret.next"
                other.symlink_to(new)
                other.rename(link)
                self.until(f"{server.url}/v2", 200, "--cacert", new / "ca.pem", *bearer[1])
                self.assertEqual(curl(f"{server.url}/v2", *self.trust, *bearer[1])[0], 0)

    def test_a_site_says_when_its_files_are_of_no_use(self):
        keys, data = self.dir / "spoiled.keys", self.dir / "spoiled"
        key = run("api-key", "line-1", "--keys", keys).stdout.strip()
        with Served("site", "--data", data, "--name", "north", "--http", "127.0.0.1:0", "--api-keys", keys) as site:
            self.assertEqual(curl(f"{site.url}/v1/models", "-H", f"Authorization: Bearer {key}")[0], 200)
            good = keys.read_text()
            keys.write_text("no key\n")
            self.wait_for(lambda: "spoiled.keys" in run("outbox", "status", "--data", data).stdout)
            self.assertEqual(curl(f"{site.url}/v1/models", "-H", f"Authorization: Bearer {key}")[0], 200)
            keys.write_text(good)
            self.wait_for(lambda: "spoiled.keys" not in run("outbox", "status", "--data", data).stdout)

    def test_a_site_behind_tls_and_keys_is_still_controlled_by_its_directory(self):
        data = self.dir / "site"
        config = self.dir / "site.yaml"
        config.write_text(f"access:\n  tls_cert: {self.tls[1]}\n  tls_key: {self.tls[3]}\n  client_ca: {self.dir / 'ca.pem'}\n"
                          "  allow_origins: https://plant.example,http://127.0.0.1:8080\n")
        with Served("site", "--data", data, "--name", "north", "--http", "127.0.0.1:0", "--config", config,
                    "--api-keys", self.keys) as site:
            self.assertEqual(curl(f"{site.url}/v1/models", *self.trust, *self.own)[0], 401)
            self.assertEqual(curl(f"{site.url}/v1/models", *self.trust, *self.own, *self.bearer)[0], 200)
            head = self.headers(f"{site.url}/v1/models", *self.trust, *self.own, *self.bearer, "-H", "Origin: http://127.0.0.1:8080")[1]
            self.assertEqual(head["access-control-allow-origin"], "http://127.0.0.1:8080")
            token = (data / "control.token").read_text()
            self.assertEqual(curl(f"{site.url}/v1/site", *self.trust, *self.own, "-H", f"Authorization: Bearer {token}")[0], 404)
            status = run("outbox", "status", "--data", data)
            self.assertEqual(status.returncode, 0, status.stderr)
            doctor = run("doctor", "--data", data)
            self.assertIn("ok     a process serves it and answers", doctor.stdout)


if __name__ == "__main__":
    run_tests(__name__)
