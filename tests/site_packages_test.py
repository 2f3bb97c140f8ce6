"""A site's packages: one that rots on the disk is found at the next start, without a hub, and fetched anew when there is one; the model is warmed up before it
is scored with. Prints "N passed, N failed, N skipped"."""
import json
import time
import unittest

from plant import PlantCase, good
from skerry_process import run_tests

SETTINGS = "hub: {interval: 1h}\n"


class SitePackagesTest(PlantCase):
    def alarms(self, plant):
        return plant.site("GET", "/v1/site")["alarms"]

    def wait_for(self, plant, wanted):
        deadline = time.monotonic() + 60
        while not wanted(self.alarms(plant)):
            self.assertLess(time.monotonic(), deadline, self.alarms(plant))
            time.sleep(0.1)

    def test_a_fallback_that_rots_is_found_before_it_is_needed_and_fetched_anew(self):
        plant = self.make_plant(SETTINGS)
        plant.deploy()
        # Another package becomes the active one, demo:1 stays as the fallback.
        card = plant.dir / "second"
        good("train", self.root / "train.csv", "--label", "failure", "--name", "demo", "--trees", "5", "--out", card)
        good("pack", card, "--name", "demo", "--version", "2", "--out", plant.dir / "second.oci")
        good("sign", plant.dir / "second.oci", "--key", plant.hub_data / "keys/model.key")
        good("push", plant.dir / "second.oci", "--hub", plant.hub_data)
        good("deploy", "demo:2", "--policy", "demo:1", "--fallback", "demo:1", "--sites", "north", "--hub", plant.hub_data)
        good("outbox", "sync", "--data", plant.site_data)
        fallback = json.loads((plant.dir / "oci/index.json").read_text())["manifests"][0]["digest"].replace(":", "-")
        model = plant.site_data / "packages" / fallback / "model.onnx"
        whole = model.read_bytes()
        plant.running.pop("site").stop()
        plant.running.pop("hub").stop()
        model.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        plant.start_site()
        self.wait_for(plant, lambda alarms: any("demo:1" in alarm and "damaged" in alarm and "model.onnx" in alarm for alarm in alarms))
        plant.score(5)
        plant.start_hub()
        good("outbox", "sync", "--data", plant.site_data)
        self.assertEqual(model.read_bytes(), whole)
        self.assertFalse(any("damaged" in alarm for alarm in self.alarms(plant)), self.alarms(plant))

    def test_the_model_is_warmed_up_so_that_a_slow_one_waits_for_a_thread(self):
        for limit, queued in ((0, True), (1_000_000, False)):
            plant = self.make_plant(SETTINGS + f"scoring: {{inline_limit_us: {limit}}}\n")
            plant.deploy()
            plant.score(5)
            stats = plant.call(plant.site_data, "GET", "/v2/models/demo/stats")["model_stats"][0]["inference_stats"]
            self.assertEqual(stats["success"]["count"], 1)
            self.assertEqual(stats["queue"]["ns"] > 0, queued, stats)
            plant.stop()


if __name__ == "__main__":
    run_tests(__name__)
