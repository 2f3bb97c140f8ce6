"""Copies of a site: a cloned disk and a restored image, started once, twice, and at the same time, with committed rows on each that are in no segment
yet. Equal rows arrive once, every copy's new rows are kept, and the hub says that two copies are at work. Prints "N passed, N failed, N skipped"."""
import shutil

from plant import PlantCase, good
from skerry_process import run, run_tests

SETTINGS = "hub: {interval: 1h}\noutbox: {segment_age: 1h, segment_rows: 40}\n"


class IdentityTest(PlantCase):
    def setUp(self):
        self.plant = self.make_plant(SETTINGS)
        self.plant.deploy()

    def crash_with_rows(self):
        """Rows that are sealed, and rows that are committed and in no segment; the site is dead then."""
        ids = self.plant.score(50)
        self.plant.site("POST", "/v1/outbox/seal")
        ids += self.plant.score(30)
        self.plant.kill("site")
        return ids

    def copy(self, name):
        shutil.copytree(self.plant.site_data, self.plant.dir / name)

    def rows_at_the_hub(self):
        numbers = self.plant.reconciliation()
        self.assertEqual(numbers["recount"]["duplicates"], 0)
        self.assertEqual(numbers["conflicting_rows"], 0)
        self.assertEqual(numbers["recount"]["rows"], numbers["terms"]["received"])
        return numbers["recount"]["rows"]

    def kinds_set_aside(self):
        return {item["kind"] for item in self.plant.hub("GET", "/v1/sites/north")["set_aside_items"]}

    def test_a_revoked_site_scores_on_and_joins_again_with_a_new_token(self):
        ids = self.plant.score(50)
        self.assertIn("revoked", good("revoke", "north", "--hub", self.plant.hub_data))
        self.plant.site("POST", "/v1/outbox/seal")
        refused = run("outbox", "sync", "--data", self.plant.site_data)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("was revoked; join again with a new token", refused.stderr)
        ids += self.plant.score(30)
        self.assertEqual(self.rows_at_the_hub(), 0)

        # Statements by both keys, and rows that were in none when the key changed.
        self.plant.running.pop("site").stop()
        good("token", "north", "--hub", self.plant.hub_data, "--out", self.plant.dir / "token")
        self.plant.start_site()
        ids += self.plant.score(20)
        self.plant.drain()
        self.assertEqual({fate["place"] for fate in self.plant.fates(ids)}, {"received"})
        self.assertEqual(self.rows_at_the_hub(), 100)
        self.assertTrue(self.plant.reconciliation()["balanced"])
        # The same token file at each later start changes nothing.
        self.plant.running.pop("site").stop()
        self.plant.start_site()
        good("outbox", "sync", "--data", self.plant.site_data)

    def test_a_clone_that_replaces_its_disk_brings_everything(self):
        ids = self.crash_with_rows()
        self.copy("clone")
        self.plant.start_site("clone")
        ids += self.plant.score(20, "clone")
        self.plant.drain("clone")
        self.assertEqual(self.rows_at_the_hub(), 100)
        self.assertEqual({fate["place"] for fate in self.plant.fates(ids, "clone")}, {"received"})
        self.assertTrue(self.plant.reconciliation()["balanced"])
        self.assertEqual(self.kinds_set_aside(), set())

    def test_disk_and_clone_one_after_the_other_bring_equal_rows_once(self):
        shared = self.crash_with_rows()
        self.copy("clone")
        own = {}
        for name, rows in (("site", 20), ("clone", 25)):
            self.plant.start_site(name)
            own[name] = self.plant.score(rows, name)
            self.plant.drain(name)
            self.assertEqual({fate["place"] for fate in self.plant.fates(shared + own[name], name)}, {"received"})
            self.plant.kill(name)
        self.assertEqual(self.rows_at_the_hub(), 80 + 20 + 25)
        self.assertIn("fork", self.kinds_set_aside())
        self.assertGreaterEqual(self.plant.reconciliation()["duplicates_ignored"], 80)

    def test_two_copies_at_the_same_time_keep_what_each_has_scored(self):
        shared = self.crash_with_rows()
        for name in ("one", "two"):
            self.copy(name)
            self.plant.start_site(name)
        own = {name: [] for name in ("one", "two")}
        for _ in range(4):
            for name in own:
                own[name] += self.plant.score(15, name)
                self.plant.drain(name)
        for name, ids in own.items():
            self.assertEqual({fate["place"] for fate in self.plant.fates(shared + ids, name)}, {"received"})
            self.plant.verify(name)
        self.assertEqual(self.rows_at_the_hub(), 80 + 2 * 60)
        self.assertIn("fork", self.kinds_set_aside())

    def test_a_restored_image_offers_again_what_the_hub_has_and_loses_nothing_new(self):
        image_rows = self.plant.score(50)
        self.plant.kill("site")
        self.copy("image")
        self.plant.start_site()
        later = self.plant.score(30)
        self.plant.drain()
        self.plant.kill("site")
        # The disk dies, the image takes its place; what came after it is at the hub alone.
        shutil.rmtree(self.plant.site_data)
        shutil.move(self.plant.dir / "image", self.plant.site_data)
        self.plant.start_site()
        new = self.plant.score(10)
        self.plant.drain()
        self.assertEqual({fate["place"] for fate in self.plant.fates(image_rows + new)}, {"received"})
        self.assertEqual(self.rows_at_the_hub(), len(image_rows) + len(later) + len(new))
        self.plant.verify()


if __name__ == "__main__":
    run_tests(__name__)
