"""`skerry outbox` on a site that has a backlog: status, tail, verify, export, quotas of classes, anomalies that leave within seconds. Prints
"N passed, N failed, N skipped"."""
import csv
import json
import time

from plant import POLICY, PlantCase, good
from skerry_process import run, run_tests

WITH_ANOMALIES = POLICY.replace("classes:\n", "classes:\n  anomaly: {when: \"a > 60\"}\n")


class OutboxTest(PlantCase):
    def plant(self, settings, policy=POLICY):
        plant = self.make_plant(settings, policy)
        plant.deploy()
        return plant

    def test_what_is_kept_is_shown_verified_and_exported(self):
        plant = self.plant("hub: {interval: 1h}\noutbox: {segment_age: 1h}\n")
        plant.kill("hub")
        ids = plant.score(30)
        good("outbox", "seal", "--data", plant.site_data)
        ids += plant.score(5)
        text = good("outbox", "status", "--data", plant.site_data)
        self.assertIn("35 rows scored", text)
        self.assertIn("oldest pending: 20", text)
        self.assertIn("rows/s come in", text)
        facts = json.loads(good("outbox", "status", "--data", plant.site_data, "--json"))
        self.assertEqual(facts["alarms"], [])
        self.assertIn("the numbers add up", good("outbox", "verify", "--data", plant.site_data))

        lines = good("outbox", "tail", "--class", "sample", "--rows", "7", "--data", plant.site_data).splitlines()
        records = [json.loads(line) for line in lines]
        self.assertEqual([f"{record['instance']}-{record['n']}" for record in records], ids[-7:])
        self.assertIn("in_a", records[0])
        self.assertNotIn("kind", json.dumps(records))  # dropped
        refused = run("outbox", "tail", "--class", "samples", "--data", plant.site_data)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("anomaly", refused.stderr)

        table = plant.dir / "samples.csv"
        good("outbox", "export", table, "--class", "sample", "--data", plant.site_data)
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([f"{row['instance']}-{row['n']}" for row in rows], ids)
        refused = run("outbox", "export", plant.dir / "samples.txt", "--class", "sample", "--data", plant.site_data)
        self.assertIn(".parquet", refused.stderr)

    def test_a_damaged_segment_is_found_by_verify_and_set_aside_when_it_is_sent(self):
        plant = self.plant("hub: {interval: 1h}\noutbox: {segment_age: 1h}\n")
        plant.kill("hub")
        plant.score(30)
        good("outbox", "seal", "--data", plant.site_data)
        plant.score(30)
        good("outbox", "seal", "--data", plant.site_data)
        segment = sorted((plant.site_data / "outbox/segments").iterdir())[0]
        content = bytearray(segment.read_bytes())
        content[len(content) // 2] ^= 4
        segment.write_bytes(content)
        found = run("outbox", "verify", "--data", plant.site_data)
        self.assertEqual(found.returncode, 1)
        self.assertIn(segment.name, found.stdout)
        plant.start_hub()
        plant.drain()
        self.assertIn("ALARM 1 damaged files", good("outbox", "status", "--data", plant.site_data))
        numbers = plant.reconciliation()
        self.assertTrue(numbers["balanced"], numbers)
        self.assertEqual(numbers["terms"]["quarantined"], 30)
        self.assertEqual(numbers["terms"]["received"], 30)

    def test_a_class_has_a_quota_and_another_a_reserve(self):
        plant = self.plant("hub: {interval: 1h}\noutbox: {segment_rows: 50, segment_age: 1h, sample: {quota_bytes: 60KiB}, anomaly: {reserve_bytes: 1MiB}}\n",
                           WITH_ANOMALIES)
        plant.kill("hub")
        for _ in range(40):
            plant.score(100)
        good("outbox", "seal", "--data", plant.site_data)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            plant.score(1)
            facts = json.loads(good("outbox", "status", "--data", plant.site_data, "--json"))
            kept = sum(stream["sealed_bytes"] for stream in facts["streams"] if stream["class"] == "sample")
            if kept <= 60 * 1024:
                break
        self.assertLessEqual(kept, 60 * 1024)
        self.assertGreater(facts["counters"]["shed"], 0)
        self.assertIn("over its quota", " ".join(facts["alarms"]))
        self.assertTrue(any(stream["class"] == "anomaly" for stream in facts["streams"]))
        plant.start_hub()
        plant.drain()
        numbers = plant.reconciliation()
        self.assertTrue(numbers["balanced"], numbers)
        self.assertEqual(numbers["terms"]["shed"], facts["counters"]["shed"])
        self.assertEqual(numbers["unexplained_gaps"], 0)

    def test_more_reserved_than_there_is_does_not_start(self):
        config = self.root / "greedy.yaml"
        config.write_text("outbox: {quota_bytes: 2MiB, anomaly: {reserve_bytes: 3MiB}}\n")
        refused = run("site", "--data", self.root / "greedy", "--name", "north", "--config", config)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("outbox.anomaly.reserve_bytes", refused.stderr)

    def test_an_anomaly_is_at_the_hub_within_seconds(self):
        plant = self.plant("hub: {interval: 1h}\noutbox: {segment_age: 1h, urgent_age: 200ms}\n", WITH_ANOMALIES)
        started = time.monotonic()
        while True:
            plant.score(20)
            received = {stream["class"]: stream["rows"] for stream in plant.reconciliation()["streams"]}
            if received.get("anomaly"):
                break
            self.assertLess(time.monotonic() - started, 20)
        self.assertFalse(received.get("sample"))


if __name__ == "__main__":
    run_tests(__name__)
