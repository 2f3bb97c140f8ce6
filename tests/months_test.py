"""A site that is cut off for 400 days: it scores all the while, its quota is hit, its certificate (a year) and its desired state (90 days) expire, and
its hub comes back as much later. Then they meet by the link, or by sticks alone that are a hundred days on their way, and the numbers add up. Prints
"N passed, N failed, N skipped"."""
import os
import pathlib
import shutil
import tempfile
import urllib.request

from plant import Plant, PlantCase, build_clock_shim, free_port
from skerry_process import run_tests

DAY = 24 * 3600
SETTINGS = "hub: {interval: 1h}\noutbox: {segment_rows: 50, segment_age: 1h, sample: {quota_bytes: 30KiB}}\n"
# Days after the deployment on which so many rows are scored; on the others the site is started anew as well.
SCORED = {0: 120, 30: 400, 100: 400, 200: 400, 300: 400, 366: 400, 400: 130}
RESTARTS = (200, 366)


class Calendar:
    """The day that processes under the shim believe in."""

    def __init__(self, shim, directory):
        self.file = directory / "clock"
        self.environment = {**os.environ, "LD_PRELOAD": str(shim), "SKERRY_CLOCK_FILE": str(self.file)}
        self.go_to(0)

    def go_to(self, day):
        new = self.file.with_name("clock.new")
        new.write_text(f"{day * DAY} 1\n")
        new.rename(self.file)


class MonthsTest(PlantCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shim = build_clock_shim(cls.root)
        (cls.root / "outage").mkdir()
        cls.before = Plant(cls.root / "outage", cls.root / "model", settings=SETTINGS)
        cls.ids = cls.live_through(cls.before, Calendar(cls.shim, cls.before.dir))

    @classmethod
    def live_through(cls, plant, calendar):
        """400 days without the hub; both are dead in the end. The rows that were scored."""
        plant.site_environment = plant.hub_environment = calendar.environment
        ids = []
        try:
            plant.deploy()
            plant.kill("hub")
            for day, rows in SCORED.items():
                calendar.go_to(day)
                if day in RESTARTS:
                    plant.kill("site")
                    plant.start_site()
                ids += plant.score(rows)
            cls.cut_off = plant.site("GET", "/v1/site")
            with urllib.request.urlopen(plant.running["site"].url + "/metrics", timeout=60) as answer:
                cls.metrics = answer.read().decode()
            plant.kill("site")
        finally:
            plant.stop()
        return ids

    def setUp(self):
        """The plant as the outage left it, on day 400."""
        directory = tempfile.TemporaryDirectory(prefix="skerry-months-")
        self.addCleanup(directory.cleanup)
        shutil.copytree(self.before.dir, pathlib.Path(directory.name), dirs_exist_ok=True)
        self.plant = Plant(pathlib.Path(directory.name), self.root / "model", settings=SETTINGS)
        self.addCleanup(self.plant.stop)
        self.calendar = Calendar(self.shim, self.plant.dir)
        self.calendar.go_to(400)
        self.plant.site_environment = self.plant.hub_environment = self.calendar.environment

    def check_numbers(self):
        """Every row that was ever scored is at the hub or was shed, and both sides say the same."""
        numbers = self.plant.reconciliation()
        terms = numbers["terms"]
        self.assertTrue(numbers["balanced"], numbers)
        self.assertEqual((numbers["difference"], numbers["unexplained_gaps"], numbers["missing_statements"], numbers["conflicting_rows"]), (0, 0, 0, 0))
        self.assertEqual(terms["scored"], len(self.ids))
        self.assertEqual(terms["received"] + terms["shed"], len(self.ids))
        self.assertGreater(terms["shed"], 0)
        self.assertGreater(terms["received"], 0)
        self.assertEqual(numbers["recount"], {"rows": terms["received"], "primary_rows": terms["received"], "duplicates": 0})
        places = [fate["place"] for fate in self.plant.fates_of_all(self.ids)]
        self.assertEqual((places.count("received"), places.count("shed")), (terms["received"], terms["shed"]))
        self.plant.verify()

    def set_desired(self):
        """A newer desired state, as of the hub's today."""
        self.plant.hub("PUT", "/v1/sites/north/desired", {"model": "demo:1", "fallback": "demo:1", "policy": "demo:1"})

    def test_cut_off_it_scores_and_says_what_has_expired(self):
        self.assertEqual(len(self.ids), sum(SCORED.values()))
        self.assertEqual(len(set(self.ids)), len(self.ids))
        alarms = "\n".join(self.cut_off["alarms"])
        for what in ("the certificate of this site expired on", "desired state 1 expired at", "over its quota"):
            self.assertIn(what, alarms)
        self.assertIn(self.cut_off["identity"]["certificate_days_left"], (-35, -36))
        self.assertTrue(self.cut_off["desired"]["expired"])
        self.assertIn("skerry_certificate_expiry_timestamp_seconds 1", self.metrics)

    def test_by_the_link(self):
        self.plant.port = self.before.port
        self.plant.start_hub()
        self.assertEqual(self.plant.hub("GET", "/v1/sites/north")["certificate"]["days_left"], -36)
        self.assertIn("expired", self.plant.hub("GET", "/v1/overview")["alarms"][0]["text"])
        self.set_desired()
        self.plant.start_site()
        self.plant.drain()
        site = self.plant.site("GET", "/v1/site")
        self.assertIn(site["identity"]["certificate_days_left"], (364, 365))
        self.assertEqual((site["desired"]["version"], site["desired"]["expired"]), (2, False))
        self.assertEqual(self.plant.hub("GET", "/v1/sites/north")["certificate"]["alarm"], None)
        self.assertIn("site.renew", str(self.plant.hub("GET", "/v1/audit")))
        self.check_numbers()

    def test_by_sticks_alone(self):
        self.plant.port = free_port()  # where the site does not look for it
        self.plant.start_hub()
        self.set_desired()
        self.plant.start_site()

        def stick(number, source, target):
            path = str(self.plant.dir / f"stick-{number}")
            source("POST", "/v1/bundles/export", {"site": "north", "path": path} if source == self.plant.hub else {"path": path})
            self.calendar.go_to(400 + 100 * number)  # on its way
            report = target("POST", "/v1/bundles/import", {"path": path})
            self.assertEqual((report["refused"], report["missing"]), ([], []), report)
            return {part["kind"]: part["result"] for part in report["parts"]}

        self.plant.site("POST", "/v1/outbox/seal")
        stick(1, self.plant.site, self.plant.hub)
        taken = stick(2, self.plant.hub, self.plant.site)
        # The desired state's 90 days were over before it came.
        self.assertEqual([taken[kind] for kind in ("join-grant", "receipt", "desired-state")], ["applied"] * 3)
        site = self.plant.site("GET", "/v1/site")
        self.assertIn(site["identity"]["certificate_days_left"], (264, 265))
        self.assertEqual((site["desired"]["version"], site["desired"]["expired"]), (2, True))
        self.assertEqual(site["pending_primary_rows"], 0)
        stick(3, self.plant.site, self.plant.hub)
        self.check_numbers()


if __name__ == "__main__":
    run_tests(__name__)
