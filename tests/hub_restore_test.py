"""A hub that is restored from an older back-up, with a site that still has what was lost, with one that does not, and with one that meets it by bundles
alone; and one whose registry was not restored with it. Every row is at the hub once or named as lost on both sides, and the sums hold. Prints
"N passed, N failed, N skipped"."""
import json
import shutil
import urllib.error

from plant import PlantCase, good
from skerry_process import run_tests

SETTINGS = "hub: {interval: 1h}\noutbox: {segment_age: 1h, segment_rows: 40%s}\n"
NO_GRACE = ", grace_bytes: 0"


class RestoreCase(PlantCase):
    def set_up(self, grace="", media=False):
        self.plant = self.make_plant(SETTINGS % grace)
        self.plant.deploy(media)

    def stop_hub(self):
        self.plant.running.pop("hub").stop()

    def back_up(self):
        self.stop_hub()
        shutil.copytree(self.plant.hub_data, self.plant.dir / "backup")
        self.plant.start_hub()

    def put_back(self):
        shutil.rmtree(self.plant.hub_data)
        shutil.copytree(self.plant.dir / "backup", self.plant.hub_data)

    def restore(self, *options):
        self.stop_hub()
        self.put_back()
        self.plant.start_hub(*options)

    def outbox(self):
        return self.plant.site("GET", "/v1/outbox")

    def hub_alarms(self):
        return self.plant.hub("GET", "/v1/overview")["alarms"]

    def places(self, ids):
        return {fate["place"] for fate in self.plant.fates_of_all(ids)}

    def expect_whole(self, ids, missing_statements=0):
        """Every row is at the hub exactly once, by the hub's ledger and by its files."""
        self.assertEqual(self.places(ids), {"received"})
        numbers = self.plant.reconciliation()
        self.assertTrue(numbers["balanced"], numbers)
        self.assertEqual((numbers["terms"]["scored"], numbers["terms"]["received"], numbers["terms"]["lost"]), (len(ids), len(ids), 0))
        self.assertEqual((numbers["recount"]["rows"], numbers["recount"]["duplicates"]), (len(ids), 0))
        self.assertEqual((numbers["unexplained_gaps"], numbers["missing_statements"]), (0, missing_statements))
        self.plant.verify()

    def audit(self, action):
        return [entry for entry in self.plant.hub("GET", "/v1/audit?limit=500")["entries"] if entry["action"] == action]


class HubRestoreTest(RestoreCase):
    def test_what_the_site_still_has_is_offered_again(self):
        self.set_up()
        ids = self.plant.score(90)
        self.plant.drain()
        self.back_up()
        ids += self.plant.score(130)
        self.plant.drain()
        self.assertEqual(self.places(ids), {"received"})
        before = self.outbox()
        self.assertEqual(before["segment_bytes"], 0)
        self.assertEqual(before["grace_segments"], 2)
        self.restore()
        # In the same process, and after a crash of the site in the middle of it.
        self.plant.site("POST", "/v1/sync")
        self.assertNotEqual(self.outbox()["receipt_incarnation"], before["receipt_incarnation"])
        self.plant.kill("site")
        self.plant.start_site()
        ids += self.plant.score(20)
        self.plant.drain()
        self.expect_whole(ids)
        self.assertEqual(len(self.audit("hub.restored")), 1)

        # The same back-up once more: the hub of the first restore is one that this one never heard of.
        self.restore("--restored")
        self.plant.drain()
        self.plant.drain()
        self.expect_whole(ids)

    def test_what_is_nowhere_any_more_is_named_on_both_sides(self):
        self.set_up(NO_GRACE)
        ids = self.plant.score(90)
        self.plant.drain()
        self.back_up()
        lost = self.plant.score(130)
        self.plant.drain()
        self.assertEqual(self.outbox()["grace_segments"], 0)
        self.restore()
        new = self.plant.score(20)
        self.plant.drain()
        self.assertEqual(self.places(ids + new), {"received"})
        self.assertEqual(self.places(lost), {"lost"})
        # At the site: ranges, counts, an alarm.
        facts = self.outbox()
        self.assertEqual(facts["lost_primary_rows"], 130)
        self.assertEqual(sum(one["rows"] for one in facts["lost"]), 130)
        self.assertTrue(all(one["told"] and one["class"] == "sample" for one in facts["lost"]), facts["lost"])
        self.assertTrue(any("has lost 130 records" in alarm for alarm in facts["alarms"]), facts["alarms"])
        self.assertIn("lost by the hub", good("outbox", "status", "--data", self.plant.site_data))
        # At the hub: the term, the ranges, what was set aside.
        numbers = self.plant.reconciliation()
        self.assertTrue(numbers["balanced"], numbers)
        self.assertEqual((numbers["terms"]["received"], numbers["terms"]["lost"], numbers["recount"]["rows"]), (110, 130, 110))
        seqs = {seq for stream in numbers["streams"] for first, last in stream["lost"] for seq in range(first, last + 1)}
        self.assertEqual(seqs, {seq for one in facts["lost"] for seq in range(one["first_seq"], one["last_seq"] + 1)})
        self.assertEqual((numbers["unexplained_gaps"], numbers["missing_statements"]), (0, 0))
        items = [item for item in self.plant.hub("GET", "/v1/sites/north")["set_aside_items"] if item["kind"] == "lost"]
        self.assertEqual(sum(item["rows"] for item in items), 130)
        self.plant.verify()
        # Both alarms until somebody has taken note; what was lost is told on.
        self.assertTrue(any("lost" in alarm["text"] for alarm in self.hub_alarms()))
        good("outbox", "acknowledge", "--data", self.plant.site_data)
        self.assertIn(f"{len(items)} things", good("acknowledge", "north", "--hub", self.plant.hub_data))
        self.plant.drain()
        self.assertEqual((self.outbox()["alarms"], self.hub_alarms()), ([], []))
        self.assertEqual((self.outbox()["lost_primary_rows"], self.plant.reconciliation()["terms"]["lost"]), (130, 130))

    def test_by_bundles_alone(self):
        self.set_up(media=True)
        ids = self.plant.score(50)
        self.plant.site("POST", "/v1/outbox/seal")
        self.plant.carry()
        self.back_up()
        ids += self.plant.score(70)
        self.plant.site("POST", "/v1/outbox/seal")
        self.plant.carry()
        self.assertEqual(self.places(ids), {"received"})
        self.restore()
        # The first stick tells the hub, and brings the receipt of the new incarnation back; the second brings what was lost.
        ids += self.plant.score(10)
        self.plant.site("POST", "/v1/outbox/seal")
        report = self.plant.carry()
        self.assertEqual([part["result"] for part in report["parts"] if part["kind"] == "receipt"], ["applied"])
        self.assertEqual(self.places(ids), {"received", "sealed"})
        self.plant.carry()
        self.plant.carry()
        self.expect_whole(ids)


class RegistryIsNewer(RestoreCase):
    """What the hub forgot stands in its registry, which was left as it was; registry_s3_test.py has it in a bucket."""

    def put_back(self):
        (self.plant.hub_data / "registry").rename(self.plant.dir / "registry")
        super().put_back()
        shutil.rmtree(self.plant.hub_data / "registry")
        (self.plant.dir / "registry").rename(self.plant.hub_data / "registry")

    def publish_another(self):
        """demo:2"""
        oci = self.plant.dir / "oci2"
        good("pack", self.plant.package, "--name", "demo", "--version", "2", "--out", oci)
        good("sign", oci, "--key", self.plant.hub_data / "keys/model.key")
        good("push", oci, "--hub", self.plant.hub_data)

    def deploy(self, version):
        good("deploy", f"demo:{version}", "--policy", "demo:1", "--sites", "north", "--hub", self.plant.hub_data)
        self.plant.site("POST", "/v1/sync")
        self.assertEqual(self.plant.site("GET", "/v1/site")["model"]["version"], str(version))

    def trust_versions(self):
        return {role["role"]: role["version"] for role in json.loads(good("trust", "show", "--hub", self.plant.hub_data, "--json"))["roles"]}

    def test_records_that_the_registry_alone_has_are_taken_again(self):
        self.set_up(NO_GRACE)
        ids = self.plant.score(90)
        self.plant.drain()
        self.back_up()
        self.publish_another()
        self.deploy(2)
        for _ in range(2):
            ids += self.plant.score(65)
            self.plant.drain()
        self.assertEqual((self.outbox()["segment_bytes"], self.outbox()["grace_segments"]), (0, 0))
        seen = self.trust_versions()
        # It finds out by itself, before it gives a receipt to anybody; and once more from the same back-up, that the flag does not count far enough.
        for number, options in enumerate(((), ("--restored",)), 1):
            self.restore(*options)
            good("bundle", "export", self.plant.dir / f"bundle{number}", "--hub", self.plant.hub_data, "--site", "north")
            counted = self.plant.reconciliation()
            self.assertEqual((counted["terms"]["received"], counted["terms"]["lost"], counted["recount"]["rows"], counted["recount"]["duplicates"]), (220, 0, 220, 0))
            self.assertEqual([entry["actor"] for entry in self.audit("hub.restored") if entry["actor"] != "admin"], ["registry"])
            self.assertEqual([(entry["detail"]["shipments"], entry["detail"]["rows"], entry["detail"]["left"]) for entry in self.audit("shipments.replayed")], [(2, 130, 0)])
            self.assertEqual(self.plant.hub("GET", "/v1/sites/north")["last_road"], "link")
        # What sites should run is as the back-up has it, under later versions. The site does not go back to an older model for that, and says so; all else goes on.
        ids += self.plant.score(20)
        self.plant.site("POST", "/v1/outbox/seal")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.plant.site("POST", "/v1/sync")
        reason = "demo:1 is older than version 2"
        self.assertIn(reason, refused.exception.msg)
        self.assertTrue(any(reason in alarm["text"] for alarm in self.hub_alarms()), self.hub_alarms())
        now = self.trust_versions()
        self.assertTrue(all(now[role] > version for role, version in seen.items() if role != "root"), (seen, now))
        self.assertEqual(self.places(ids), {"received"})
        # What the registry has can be named again. The site gives nothing up, and nothing is sent twice.
        self.deploy(2)
        self.plant.kill("hub")
        self.plant.start_hub()
        ids += self.plant.score(20)
        self.plant.drain()
        self.expect_whole(ids)
        self.assertEqual(len(self.audit("shipments.replayed")), 1)
        self.assertEqual((self.outbox()["lost_primary_rows"], self.outbox()["alarms"], self.hub_alarms()), (0, [], []))


if __name__ == "__main__":
    run_tests(__name__)
