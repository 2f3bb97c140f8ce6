"""Deltas: a real hub and a real site roll from one package to the next, over the link and by bundles: fewer bytes, the same model; identical layers, a base that is damaged or gone, garbage. Prints
"N passed, N failed, N skipped"."""
import hashlib
import json
import pathlib
import random
import shutil
import unittest

from plant import PlantCase, good
from skerry_process import run, run_tests, write_table

NOTES = 400_000  # bytes of a layer that a patch is made for; the models of these tests are small


def layers_of(directory):
    """Digest and size of every file of a package."""
    return {path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size) for path in directory.iterdir()}


class Deltas(PlantCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = random.Random(1)
        notes = rng.randbytes(NOTES)
        (cls.root / "model/notes.md").write_bytes(notes)
        write_table(cls.root / "more.csv", rows=620)
        good("train", cls.root / "more.csv", "--label", "failure", "--name", "demo", "--out", cls.root / "next")
        (cls.root / "next/notes.md").write_bytes(rng.randbytes(3_000) + notes)

    def start(self, media=False):
        plant = self.make_plant("")
        plant.deploy(media)
        self.plant = plant
        return plant

    def publish(self, package, version):
        oci = self.plant.dir / f"oci-{version}"
        good("pack", package, "--name", "demo", "--version", version, "--out", oci)
        good("sign", oci, "--key", self.plant.hub_data / "keys/model.key")
        good("push", oci, "--hub", self.plant.hub_data)

    def roll(self, version, fallback=None):
        good("deploy", f"demo:{version}", "--policy", "demo:1", "--sites", "north", "--hub", self.plant.hub_data, *(["--fallback", f"demo:{fallback}"] if fallback else []))

    def sync(self):
        return json.loads(good("outbox", "sync", "--data", self.plant.site_data, "--json"))["layers"]

    def running(self):
        facts = self.plant.site("GET", "/v1/site")
        return facts["model"], self.plant.site_data / "packages" / facts["model"]["digest"].replace(":", "-")

    def assert_runs(self, version, package):
        """The site runs that version; its files are the package's to the byte, and it scores."""
        model, directory = self.running()
        self.assertEqual(model["version"], version)
        models = {(item["name"], item["version"]): item["digest"] for item in self.plant.hub("GET", "/v1/models")["models"]}
        self.assertEqual(model["digest"], models["demo", version])
        self.assertEqual(layers_of(directory), layers_of(package))
        self.assertEqual(len(self.plant.score(3)), 3)

    def base_file(self, name="notes.md"):
        return self.running()[1] / name

    def bundle_bytes(self, path):
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

    def export(self, name, *options):
        path = self.plant.dir / name
        return path, json.loads(good("bundle", "export", path, "--hub", self.plant.hub_data, "--site", "north", "--json", *options))

    def test_link_brings_a_patch_and_the_same_model(self):
        plant = self.start()
        before = self.sync()
        self.publish(self.root / "next", "2")
        self.roll("2")
        after = self.sync()
        self.assert_runs("2", self.root / "next")
        whole = sum(size for _, size in layers_of(self.root / "next").values())
        came = after["whole_bytes"] + after["patch_bytes"] - before["whole_bytes"] - before["patch_bytes"]
        self.assertLess(came, whole / 5)
        self.assertGreater(after["patched_bytes"] - before["patched_bytes"], NOTES)
        self.assertEqual(after["refused_patches"], 0)
        text = good("outbox", "sync", "--data", plant.site_data)
        self.assertIn("as patches that make", text)
        # Another client of registries sees the package as it is, and nothing beside it.
        manifest = json.loads(plant_get(plant, "/v2/models/demo/manifests/2"))
        self.assertEqual({layer["digest"][7:] for layer in manifest["layers"]}, {digest for digest, _ in layers_of(self.root / "next").values()})
        self.assertEqual(json.loads(plant_get(plant, "/v2/models/demo/tags/list"))["tags"], ["1", "2"])

    def test_same_layers_under_another_version_cost_nothing(self):
        self.start()
        before = self.sync()
        self.publish(self.root / "model", "2")
        self.roll("2")
        after = self.sync()
        self.assert_runs("2", self.root / "model")
        self.assertEqual(after["patch_bytes"], before["patch_bytes"])
        self.assertLess(after["whole_bytes"] - before["whole_bytes"], 2_000)  # the config, which names the version

    def test_damaged_base_is_noticed_and_the_layer_comes_whole(self):
        self.start()
        self.publish(self.root / "next", "2")
        with self.base_file().open("r+b") as file:
            file.seek(NOTES // 2)
            file.write(b"rot")
        before = self.sync()
        self.roll("2")
        after = self.sync()
        self.assert_runs("2", self.root / "next")
        self.assertGreater(after["whole_bytes"] - before["whole_bytes"], NOTES)
        self.assertEqual(after["refused_patches"], 1)
        self.assertIn("sha256:", after["refusal"])

    def test_missing_base_is_noticed_and_the_layer_comes_whole(self):
        self.start()
        self.publish(self.root / "next", "2")
        self.base_file().unlink()
        self.roll("2")
        self.assertEqual(self.sync()["refused_patches"], 1)
        self.assert_runs("2", self.root / "next")

    def test_bundle_brings_a_patch_and_the_same_model(self):
        plant = self.start(media=True)
        plant.carry()
        self.publish(self.root / "next", "2")
        self.roll("2", fallback="1")
        whole, _ = self.export("whole", "--whole")
        small, report = self.export("small")
        self.assertLess(self.bundle_bytes(small), self.bundle_bytes(whole) / 4)
        kinds = {part["name"]: (part["kind"], part.get("reason", "")) for part in report["parts"] if part["kind"] in ("model", "delta")}
        self.assertEqual(kinds["demo:2"][0], "delta")
        self.assertEqual(kinds["demo:1"][0], "delta")  # the site has it: its manifest alone
        self.assertIn("as patches of", kinds["demo:2"][1])
        good("bundle", "verify", small)
        text = good("bundle", "import", small, "--data", plant.site_data)
        self.assertIn("by patches of", " ".join(text.split()))
        self.assert_runs("2", self.root / "next")
        again = json.loads(good("bundle", "import", small, "--data", plant.site_data, "--json"))
        self.assertEqual({part["result"] for part in again["parts"] if part["kind"] == "delta"}, {"repeated"})

    def test_bundle_without_its_base_says_so_and_the_next_is_whole(self):
        plant = self.start(media=True)
        plant.carry()
        self.publish(self.root / "next", "2")
        self.roll("2")
        small, _ = self.export("small")
        with self.base_file().open("ab") as file:
            file.write(b"rot")
        report = json.loads(good("bundle", "import", small, "--data", plant.site_data, "--json"))
        delta = next(part for part in report["parts"] if part["kind"] == "delta")
        self.assertEqual(delta["result"], "missing")
        self.assertIn("--whole", delta["reason"])
        self.assertIn("refused", delta["reason"])
        self.assertEqual(self.running()[0]["version"], "1")
        plant.carry()  # the hub hears that it is no base any more
        self.assert_runs("2", self.root / "next")

    def test_site_that_joined_anew_gets_whole_layers(self):
        plant = self.start(media=True)
        plant.carry()
        plant.running.pop("site").stop()
        shutil.rmtree(plant.site_data)
        (plant.dir / "token").unlink()
        good("token", "north", "--hub", plant.hub_data, "--out", plant.dir / "token", "--media")
        plant.start_site()
        plant.carry()
        self.assert_runs("1", self.root / "model")

    def test_patches_go_with_their_packages(self):
        plant = self.start()
        self.publish(self.root / "next", "2")
        self.roll("2")
        self.sync()
        tags = lambda: json.loads(plant_get(plant, "/v2/deltas/tags/list"))["tags"] or []
        self.assertEqual(len(tags()), 2)  # the first package against nothing, the second against the first
        manifest = self.plant.hub("GET", "/v1/models")["models"]
        second = next(item["digest"] for item in manifest if item["version"] == "2")
        plant_get(plant, f"/v2/models/demo/manifests/{second}", "DELETE")
        good("registry", "collect", "--grace-hours", "0", "--hub", plant.hub_data)
        self.assertEqual(len(tags()), 1)
        # And those that stay are used after a restart of the hub: they are durable.
        made = plant_metric(plant, "skerry_deltas_made_total")
        self.assertEqual(made, 2)


def plant_get(plant, path, method="GET"):
    """The body of the registry's answer to the admin."""
    import ssl
    import urllib.request
    endpoint = json.loads((plant.hub_data / "endpoint.json").read_text())
    token = pathlib.Path(endpoint["token_file"]).read_text().strip()
    request = urllib.request.Request(endpoint["url"] + path, None, {"Authorization": f"Bearer {token}"}, method=method)
    trust = ssl.create_default_context(cafile=str(plant.hub_data / "ca/ca.pem"))
    with urllib.request.urlopen(request, timeout=60, context=trust) as answer:
        return answer.read().decode()


def plant_metric(plant, name):
    return next(float(line.split()[1]) for line in plant_get(plant, "/metrics").splitlines() if line.startswith(name + " "))


if __name__ == "__main__":
    run_tests(__name__)
