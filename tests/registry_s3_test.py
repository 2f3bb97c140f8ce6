"""The hub's registry in a bucket of S3 (versitygw, moto), from outside: the conformance suite, rules, kills at random moments, answers that fail or are
lost, what is said of wrong settings. Prints "N passed, N failed, N skipped"."""
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import hub_restore_test
import oci_conformance_test
import registry_test
import s3_server
from certificates import make_certificates
from plant import PlantCase, build_clock_shim
from registry_client import Registry, call, digest_of, manifest_of
from s3_server import FaultyServer, S3Server, Versity
from skerry_process import SKERRY, Served, run_tests

PART = 16 << 20


def setUpModule():
    global versity
    if not Versity.why_not():
        versity = Versity()
        unittest.addModuleCleanup(versity.end)


needs_versity = unittest.skipIf(Versity.why_not(), Versity.why_not())
needs_moto = unittest.skipIf(s3_server.why_not(), s3_server.why_not())
counted = iter(range(1, 1000))


def new_bucket():
    name = f"plant-{next(counted)}"
    versity.bucket(name)
    return name


def served(directory, place, *options, environment=None):
    return Served("hub", "--data", directory / "hub", "--listen", "127.0.0.1:0", "--plain-http", "--open-registry", "--registry", place, *options,
                  environment={**os.environ, **(environment or versity.environment())})


def registry_of(hub):
    return Registry(re.search(r"http://[^/]+", hub.url)[0])


def kill(hub):
    hub.process.send_signal(signal.SIGKILL)
    hub.process.wait()
    hub.process.stdout.close()
    hub.log.close()


@unittest.skipUnless(oci_conformance_test.SUITE, "conformance is not installed (scripts/deps --test)")
class Conformance(unittest.TestCase):
    judge = oci_conformance_test.Conformance.judge

    @needs_versity
    def test_every_test_passes_over_versitygw(self):
        self.judge("dev", "--registry", f"s3://{new_bucket()}/registry", environment={**os.environ, **versity.environment()})

    @needs_moto
    @unittest.skipUnless(os.environ.get("SKERRY_WHOLE"), "moto takes minutes for it: SKERRY_WHOLE=1 runs it")
    def test_every_test_passes_over_moto(self):
        server = S3Server()
        self.addCleanup(server.end)
        server.boto(["bucket", "conformance"])
        self.judge("1.1", "--registry", "s3://conformance", environment={**os.environ, **server.environment()})


@needs_versity
class Rules(registry_test.Rules):
    @classmethod
    def serve(cls, directory, *options):
        return registry_test.serve(directory, *options, "--registry", f"s3://{new_bucket()}/a/b", environment={**os.environ, **versity.environment()})


@needs_versity
class Collection(registry_test.Collection):
    rounds, kept = 3, 12

    def setUp(self):
        self.bucket = new_bucket()

    def serve(self, directory, *options):
        return registry_test.serve(directory, *options, "--registry", f"s3://{self.bucket}/hub", environment={**os.environ, **versity.environment()})

    def links(self, directory):
        return (versity.dir / self.bucket / "hub/repositories").glob("gone*/_blobs/sha256/*")


class Upload:
    """A blob that is pushed in pieces by somebody who goes on after every failure, with whichever hub is there."""

    def __init__(self, data, repository="a"):
        self.data, self.repository, self.location, self.acknowledged, self.restarts = data, repository, None, 0, 0

    def step(self, registry, piece):
        """Sends one piece, or the end; whether the blob is there."""
        if self.location is None:
            started = registry.call(f"/v2/{self.repository}/blobs/uploads/", "POST")
            assert started.status == 202, started.body
            self.location, self.acknowledged = started.headers["Location"], 0
        offset = self.offset(registry)
        if offset is None:
            self.location, self.restarts = None, self.restarts + 1
            return registry.has_blob(self.repository, digest_of(self.data))
        if offset < len(self.data):
            sent = self.data[offset:offset + piece]
            answer = registry.call(self.location, "PATCH", sent, {"Content-Range": f"{offset}-{offset + len(sent) - 1}"})
            if answer.status == 202:
                self.acknowledged = offset + len(sent)
            return False
        return registry.call(f"{self.location}?digest={digest_of(self.data)}", "PUT").status == 201

    def offset(self, registry):
        """None: the upload is no more. What was acknowledged is never less again."""
        answer = registry.call(self.location)
        if answer.status == 404:
            return None
        assert answer.status == 204, answer.body
        last = int(answer.headers["Range"].split("-")[1])
        offset = last + 1 if last else 0
        assert offset >= self.acknowledged, (offset, self.acknowledged)
        return offset


@needs_versity
class Kills(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-registry-s3-")
        self.addCleanup(temporary.cleanup)
        self.dir, self.bucket, self.rng = pathlib.Path(temporary.name), new_bucket(), random.Random(11)
        self.place = f"s3://{self.bucket}/hub"

    def records(self):
        return [key for key in versity.keys(self.bucket) if "/_manifests/" in key or "/_tags/" in key]

    def test_a_push_that_is_killed_at_any_moment_goes_on_and_shows_nothing_before_its_end(self):
        data = self.rng.randbytes(2 * PART + 5_000_000)
        manifest, upload, kills, done = manifest_of(data), Upload(data), 0, False
        longest = time.monotonic() + 120
        while not done:
            self.assertLess(time.monotonic(), longest)
            hub = served(self.dir, self.place)
            registry = registry_of(hub)
            # Later and later, so that the end is killed, too, and then comes.
            timer = threading.Timer(self.rng.uniform(0.02, 0.25) * (1 + kills / 3), hub.process.send_signal, [signal.SIGKILL])
            timer.start()
            try:
                while not done:
                    self.assertEqual(self.records(), [])
                    self.assertEqual(registry.put_manifest("a", "1", manifest).status, 404)
                    done = upload.step(registry, 5_000_000)
            except OSError:
                kills += 1
            timer.cancel()
            kill(hub)
            if done and kills < 5:  # a fast machine: once more, with another blob
                data = self.rng.randbytes(len(data))
                manifest, upload, done = manifest_of(data), Upload(data), False
        with served(self.dir, self.place) as hub:
            registry = registry_of(hub)
            if not registry.has_blob("a", digest_of(data)):  # killed between its place and its link
                while not upload.step(registry, PART):
                    pass
            self.assertEqual(registry.push_blob("a", b"{}").status, 201)
            self.assertEqual(registry.put_manifest("a", "1", manifest).status, 201)
            self.assertEqual(digest_of(registry.call(f"/v2/a/blobs/{digest_of(data)}").body), digest_of(data))
            part = registry.call(f"/v2/a/blobs/{digest_of(data)}", headers={"Range": f"bytes={PART - 3}-{PART + 3}"})
            self.assertEqual((part.status, part.body), (206, data[PART - 3:PART + 4]))
        print(f"killed {kills} times; begun anew {upload.restarts} times")

    def test_what_uploads_left_in_the_bucket_goes_with_the_collection(self):
        data = self.rng.randbytes(PART + 1_000_000)
        hub = served(self.dir, self.place)
        upload = Upload(data)
        for _ in range(2):
            upload.step(registry_of(hub), PART // 2 + 500_000)
        kill(hub)
        under_way = lambda: [one for one in (versity.dir / self.bucket / ".sgwtmp/multipart").glob("*/*") if one.is_dir()]
        self.assertEqual(len(under_way()), 1)
        # The hub's disk is lost with what was under way; what is in the bucket has an age of its own.
        subprocess.run(["rm", "-r", self.dir / "hub/registry/uploads"], check=True)
        with served(self.dir, self.place) as hub:
            registry = registry_of(hub)
            self.assertEqual(registry.call(upload.location).status, 404)
            admin = {"Authorization": f"Bearer {(self.dir / 'hub/admin.token').read_text().strip()}"}
            collect = lambda: call(f"{registry.url}/v1/registry/collect", "POST", b"{}", admin).json()["uploads"]
            self.assertEqual((collect(), len(under_way())), (0, 1))
            os.utime(under_way()[0], (time.time() - 8 * 86400,) * 2)
            self.assertEqual((collect(), under_way()), (1, []))

    def test_another_hub_is_refused_and_a_copy_of_this_one_takes_over(self):
        first = served(self.dir, self.place)
        registry = registry_of(first)
        self.assertEqual(registry.push("a", "1", b"one").status, 201)
        refused = refusal(self.dir / "other", self.place, versity.environment())
        self.assertIn("is the registry of another hub", refused)
        self.assertIn("owner.json", refused)
        copy = self.dir / "copy"
        (copy / "hub/registry").mkdir(parents=True)
        (copy / "hub/registry/owner-id").write_text((self.dir / "hub/registry/owner-id").read_text())
        with served(copy, self.place) as second:
            self.assertEqual(registry_of(second).get_manifest("a", "1").status, 200)
            # The one before publishes and collects nothing more.
            self.assertEqual(registry.push("a", "2", b"two").status, 503)
            self.assertEqual(registry.get_manifest("a", "2").status, 404)
            admin = {"Authorization": f"Bearer {(self.dir / 'hub/admin.token').read_text().strip()}"}
            collected = call(f"{registry.url}/v1/registry/collect", "POST", b'{"grace_s":0}', admin)
            self.assertEqual(collected.status, 503)
            self.assertIn("taken", collected.body.decode())
            self.assertEqual(registry_of(second).push("a", "2", b"two").status, 201)
        first.stop()


@needs_versity
class Faults(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-registry-s3-")
        self.addCleanup(temporary.cleanup)
        self.dir, self.bucket, self.rng = pathlib.Path(temporary.name), new_bucket(), random.Random(5)

    def faulty(self, **shares):
        server = FaultyServer(versity.url, **shares)
        self.addCleanup(server.end)
        return server, served(self.dir, f"s3://{self.bucket}", environment=versity.environment(AWS_ENDPOINT_URL=server.url))

    def test_pushes_and_pulls_go_on_where_answers_fail_or_are_lost(self):
        server, hub = self.faulty(slow=4, lost=4, cut=4)
        with hub:
            registry, data = registry_of(hub), self.rng.randbytes(PART + 3_000_000)
            for round_ in range(4):
                layers = [self.rng.randbytes(1000) for _ in range(2)]
                self.assertEqual(registry.push(f"r{round_}", "1", *layers).status, 201)
                self.assertEqual(registry.get_manifest(f"r{round_}", "1").body, manifest_of(*layers))
                for layer in layers:
                    self.assertEqual(registry.call(f"/v2/r{round_}/blobs/{digest_of(layer)}").body, layer)
            upload = Upload(data)
            while not upload.step(registry, 6_000_000):
                pass
            self.assertEqual(registry.call(f"/v2/a/blobs/{digest_of(data)}").body, data)
            self.assertEqual(upload.restarts, 0)
        for fault in ("slow", "lost", "cut"):
            self.assertGreater(server.done[fault], 0, server.done)
        # Once a blob is in its place, nothing of its upload is left.
        self.assertEqual([key for key in versity.keys(self.bucket) if key.startswith("uploads/")], [])

    def test_an_immutable_tag_whose_answer_is_lost_is_not_taken_for_anothers(self):
        server, hub = self.faulty(lost=20, seed=3)
        with hub:
            registry = registry_of(hub)
            done = subprocess.run([SKERRY, "registry", "rule", "fixed", "--immutable-tags", "--hub", self.dir / "hub"], check=False, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            for number in range(5):
                self.assertEqual(registry.push("fixed", str(number), f"layer {number}".encode()).status, 201)
            self.assertEqual(registry.push("fixed", "1", b"another").status, 409)
        self.assertGreater(server.done["lost"], 3)

    def test_a_server_that_is_away_is_no_empty_registry(self):
        server, hub = self.faulty()
        with hub:
            registry = registry_of(hub)
            self.assertEqual(registry.push("a", "1", b"layer").status, 201)
            server.broken = "slow"
            begun = time.monotonic()
            paths, answers = ("/v2/a/manifests/1", f"/v2/a/blobs/{digest_of(b'layer')}", "/v2/a/tags/list"), {}
            askers = [threading.Thread(target=lambda path=path: answers.update({path: registry.call(path)})) for path in paths]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            for path in paths:
                self.assertEqual((answers[path].status, answers[path].json()["errors"][0]["code"]), (503, "TOOMANYREQUESTS"), path)
                self.assertIn("SlowDown", answers[path].body.decode())
            self.assertGreater(time.monotonic() - begun, 7)  # it was asked again, with pauses
            server.broken = None
            self.assertEqual(registry.call(f"/v2/a/blobs/{digest_of(b'layer')}").body, b"layer")


@needs_versity
class Shipments(PlantCase):
    def test_packages_go_out_and_shipments_come_in_through_the_bucket(self):
        bucket, plant = new_bucket(), self.make_plant("")
        plant.hub_environment = {**os.environ, **versity.environment()}
        plant.start_hub("--registry", f"s3://{bucket}/hub")
        plant.kill("hub")
        plant.deploy()
        rows = plant.score(50)
        plant.drain()
        self.assertEqual({fate["place"] for fate in plant.fates(rows)}, {"received"})
        # What the hub holds outlives its process and what it had fetched.
        plant.kill("hub")
        subprocess.run(["rm", "-r", plant.hub_data / "registry/cache"], check=True)
        plant.start_hub()
        rows += plant.score(50)
        plant.drain()
        self.assertEqual({fate["place"] for fate in plant.fates(rows)}, {"received"})
        counted = plant.reconciliation()
        self.assertEqual((counted["terms"]["received"], counted["recount"]["rows"]), (100, 100), counted)
        kinds = {"/".join(key.split("/")[2:4]) for key in versity.keys(bucket) if "/_tags/" in key}
        self.assertIn("models/demo", kinds)
        self.assertIn("sites/north", kinds)
        self.assertEqual([path for path in (plant.hub_data / "registry").rglob("*") if path.parent.name == "blobs"], [])


@needs_versity
class Restored(hub_restore_test.RegistryIsNewer):
    """The hub's directory is the back-up's, the bucket stays as it is."""

    def set_up(self, grace="", media=False):
        self.plant = self.make_plant(hub_restore_test.SETTINGS % grace)
        self.plant.hub_environment = {**os.environ, **versity.environment()}
        self.plant.start_hub("--registry", f"s3://{new_bucket()}/hub")
        self.stop_hub()
        self.plant.deploy(media)

    def put_back(self):
        hub_restore_test.RestoreCase.put_back(self)


@needs_versity
class PutBack(unittest.TestCase):
    """The same without a site: what was under way, what rules count, what a collection leaves."""

    def test_a_bucket_that_is_newer_than_its_hub_is_whole(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-registry-s3-")
        self.addCleanup(temporary.cleanup)
        directory, place, rng = pathlib.Path(temporary.name), f"s3://{new_bucket()}/hub", random.Random(7)
        data, layers = [rng.randbytes(2 * PART + 1_000_000) for _ in range(3)], [rng.randbytes(1_000_000) for _ in range(4)]
        going_on, ended, later = (Upload(one) for one in data)
        with served(directory, place) as hub:
            registry = registry_of(hub)
            registry_test.registry_command(directory, "rule", "images", "--quota", "3MB")
            self.assertEqual(registry.push("images/a", "1", layers[0]).status, 201)
            for upload in (going_on, ended):
                self.assertFalse(upload.step(registry, PART + 500_000))
        subprocess.run(["cp", "-r", directory / "hub", directory / "backup"], check=True)
        with served(directory, place) as hub:
            registry = registry_of(hub)
            self.assertEqual(registry.push("images/a", "2", layers[1]).status, 201)
            self.assertFalse(going_on.step(registry, PART))
            self.assertFalse(later.step(registry, PART))
            while not ended.step(registry, PART):
                pass
            self.assertEqual(registry.push_blob("a", b"{}").status, 201)
            self.assertEqual(registry.put_manifest("a", "1", manifest_of(data[1])).status, 201)
        subprocess.run(["rm", "-r", directory / "hub"], check=True)
        (directory / "backup").rename(directory / "hub")
        with served(directory, place) as hub:
            registry = registry_of(hub)
            # An upload that the hub knows goes on at what the hub knows of it, or is begun anew where it had ended; one that it does not know is no more.
            for upload in (going_on, ended):
                again = Upload(upload.data)
                again.location = upload.location
                steps = 0
                while not again.step(registry, PART):
                    steps += 1
                    self.assertLess(steps, 8)
            self.assertEqual(registry.call(later.location).status, 404)
            # Rules are the back-up's and count what is there.
            refused = registry.push("images/b", "1", layers[2], layers[3][:500_000])
            self.assertEqual(refused.status, 403)
            self.assertIn("quota", refused.body.decode())
            self.assertEqual(registry.push("images/b", "1", layers[3][:500_000]).status, 201)
            # The collection takes nothing that a manifest of either time names.
            admin = {"Authorization": f"Bearer {(directory / 'hub/admin.token').read_text().strip()}"}
            self.assertEqual(call(f"{registry.url}/v1/registry/collect", "POST", b'{"grace_s":0}', admin).status, 200)
            for repository, tag, blob in (("images/a", "1", layers[0]), ("images/a", "2", layers[1]), ("a", "1", data[1])):
                self.assertEqual(registry.get_manifest(repository, tag).body, manifest_of(blob))
                self.assertEqual(digest_of(registry.call(f"/v2/{repository}/blobs/{digest_of(blob)}").body), digest_of(blob))


def refusal(directory, place, environment):
    """What a hub says that does not start."""
    done = subprocess.run([SKERRY, "hub", "--data", directory / "hub", "--listen", "127.0.0.1:0", "--plain-http", "--registry", place],
                          capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment})
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    return done.stderr


class Settings(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="skerry-registry-s3-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)

    @needs_versity
    def test_what_is_wrong_is_said(self):
        place = f"s3://{new_bucket()}/hub"
        for wanted, where, change in (
                ("s3://BUCKET", "registry", {}), ("there is no bucket", "s3://nosuchbucket/hub", {}),
                ("AWS_SECRET_ACCESS_KEY", place, {"AWS_SECRET_ACCESS_KEY": "wrong"}), ("AWS_ACCESS_KEY_ID", place, {"AWS_ACCESS_KEY_ID": ""}),
                ("is it running", place, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}), ("letters, digits", "s3://plant/a b", {}),
                ("AWS_ENDPOINT_URL", place, {"AWS_ENDPOINT_URL": "ftp://here"})):
            said = refusal(self.dir, where, versity.environment(**change))
            self.assertIn(wanted, said)
            self.assertNotIn(versity.secret, said)

    @needs_versity
    def test_a_clock_that_is_wrong_is_said(self):
        shim, off = build_clock_shim(self.dir), self.dir / "clock"
        off.write_text("90000 1")
        self.assertIn("set this machine's clock", refusal(self.dir, f"s3://{new_bucket()}", versity.environment(
            LD_PRELOAD=str(shim), SKERRY_CLOCK_FILE=str(off))))

    @needs_versity
    def test_tls_and_buckets_that_are_host_names(self):
        make_certificates(self.dir, "DNS:plant.localhost")
        server = Versity("--cert", self.dir / "server.pem", "--key", self.dir / "server.key", "--virtual-domain", "localhost", scheme="https")
        self.addCleanup(server.end)
        server.bucket("plant")
        there = server.environment(AWS_ENDPOINT_URL=server.url.replace("127.0.0.1", "localhost"), AWS_VIRTUAL_HOSTED_STYLE_REQUEST="true")
        self.assertIn("certificate", refusal(self.dir, "s3://plant/hub", there))
        data = random.Random(2).randbytes(PART + 1)
        with served(self.dir, "s3://plant/hub", environment={**there, "AWS_CA_BUNDLE": str(self.dir / "ca.pem")}) as hub:
            self.assertEqual(registry_of(hub).push("a", "1", data).status, 201)
            self.assertEqual(registry_of(hub).call(f"/v2/a/blobs/{digest_of(data)}").body, data)
        self.assertEqual((server.dir / "plant/hub/repositories/a/_tags/1").read_text(), digest_of(manifest_of(data)))

    @needs_moto
    def test_keys_without_rights_are_refused(self):
        server = S3Server()
        self.addCleanup(server.end)
        server.boto(["bucket", "closed"])
        name, secret = server.stranger
        said = refusal(self.dir, "s3://closed/hub", server.environment(AWS_ACCESS_KEY_ID=name, AWS_SECRET_ACCESS_KEY=secret))
        self.assertIn("AccessDenied", said)
        self.assertNotIn(secret, said)
        # Keys that are lent for a time, and the same out of a file.
        lent = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), server.lent))
        with served(self.dir, "s3://closed/hub", environment=server.environment(**lent)) as hub:
            self.assertEqual(registry_of(hub).push("a", "1", b"layer").status, 201)
        keys = self.dir / "keys"
        keys.write_text(f"[other]\naws_access_key_id = x\n[plant]\naws_access_key_id = {server.id}\naws_secret_access_key={server.secret}\n")
        keys.chmod(0o644)
        of_file = server.environment(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_SHARED_CREDENTIALS_FILE=str(keys), AWS_PROFILE="plant")
        self.assertIn("chmod", refusal(self.dir, "s3://closed/hub", of_file))
        keys.chmod(0o600)
        with served(self.dir, "s3://closed/hub", environment=of_file) as hub:
            self.assertEqual(registry_of(hub).get_manifest("a", "1").status, 200)

    @needs_versity
    def test_a_registry_does_not_change_its_place_by_mistake(self):
        first, second = f"s3://{new_bucket()}/hub", f"s3://{new_bucket()}/hub"
        with served(self.dir, first) as hub:
            self.assertEqual(registry_of(hub).push("a", "1", b"layer").status, 201)
        self.assertIn("docs/registry.md", refusal(self.dir, second, versity.environment()))
        # Without --registry it goes on where it was.
        with Served("hub", "--data", self.dir / "hub", "--listen", "127.0.0.1:0", "--plain-http", "--open-registry",
                    environment={**os.environ, **versity.environment()}) as hub:
            self.assertEqual(registry_of(hub).get_manifest("a", "1").status, 200)

    @needs_versity
    def test_files_are_moved_into_a_bucket_by_a_copy(self):
        bucket = new_bucket()
        with registry_test.serve(self.dir, "--open-registry") as hub:
            self.assertEqual(registry_of(hub).push("a/b", "1", b"layer").status, 201)
        self.assertIn("docs/registry.md", refusal(self.dir, f"s3://{bucket}/hub", versity.environment()))
        (versity.dir / bucket / "hub").mkdir()
        for part in ("blobs", "repositories"):
            (self.dir / "hub/registry" / part).rename(self.dir / part)
            subprocess.run(["cp", "-r", self.dir / part, versity.dir / bucket / "hub"], check=True)
        with served(self.dir, f"s3://{bucket}/hub") as hub:
            self.assertEqual(registry_of(hub).get_manifest("a/b", "1").body, manifest_of(b"layer"))
            self.assertEqual(registry_of(hub).call(f"/v2/a/b/blobs/{digest_of(b'layer')}").body, b"layer")
            self.assertEqual(registry_of(hub).push("a/b", "2", b"another").status, 201)


if __name__ == "__main__":
    run_tests(__name__)
