"""A site whose clock is wrong (1970, 2106, a step back, never synchronized): when its rows were made is known at the hub all the same, or as far
as it can be. Prints "N passed, N failed, N skipped"."""
import datetime
import os
import time

from plant import POLICY, PlantCase, build_clock_shim
from skerry_process import run_tests

ALL_ANOMALIES = POLICY.replace("classes:\n", "classes:\n  anomaly: {when: \"a > -1000\"}\n")
YEAR_2106 = 4_300_000_000  # in April


def seconds(text):
    """Of RFC 3339 text; None stays None."""
    return text and datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class ClockTest(PlantCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shim = build_clock_shim(cls.root)

    def set_clock(self, off_seconds, synced):
        new = self.plant.dir / "clock.new"
        new.write_text(f"{int(off_seconds)} {int(synced)}\n")
        new.rename(self.plant.dir / "clock")

    def restart(self, off_seconds, synced):
        """The site's process dies, and the next one finds its clock so."""
        self.plant.kill("site")
        self.set_clock(off_seconds, synced)
        self.plant.start_site()

    def score(self):
        """Some rows: their ids, and between which times they were made."""
        before = time.time()
        ids = self.plant.score(3)
        return ids, before, time.time()

    def anomalies(self):
        return {anomaly["row"]: anomaly for anomaly in self.plant.hub("GET", "/v1/anomalies?limit=1000")["anomalies"]}

    def wait_for(self, made, how):
        """The anomalies of these rows, once the hub says so of all of them how their times are known."""
        until = time.time() + 20
        while True:
            found = self.anomalies()
            rows = [found[row] for row in made[0]]
            if all(row.get("clock_correction", {}).get("how") == how for row in rows):
                return rows
            self.assertLess(time.time(), until, rows)
            time.sleep(0.05)

    def expect_corrected(self, made, written_year):
        for row in self.wait_for(made, "anchor"):
            correction = row["clock_correction"]
            self.assertTrue(correction["written"].startswith(written_year), correction)
            self.assertGreater(seconds(row["event_time"]), made[1] - 0.5)
            self.assertLess(seconds(row["event_time"]), made[2] + 0.5)
            self.assertLessEqual(seconds(correction["not_before"]), made[2])
            self.assertGreaterEqual(seconds(correction["not_after"]), made[1])

    def test_rows_of_wrong_clocks_get_their_time_at_the_hub(self):
        plant = self.plant = self.make_plant("hub: {interval: 1h}\noutbox: {segment_age: 1h, urgent_age: 1h}\n", ALL_ANOMALIES)
        plant.site_environment = dict(os.environ, LD_PRELOAD=str(self.shim), SKERRY_CLOCK_FILE=str(plant.dir / "clock"))
        self.set_clock(0, True)
        plant.deploy()

        # The clock is right, but nothing says so: bounds alone.
        self.restart(0, False)
        unknown = self.score()
        plant.drain()
        for row in self.wait_for(unknown, "bounds"):
            self.assertIsNone(row["event_time"])
            self.assertLessEqual(seconds(row["clock_correction"]["not_before"]), unknown[2])
            self.assertGreaterEqual(seconds(row["clock_correction"]["not_after"]), unknown[1])

        # Two processes whose clocks are wrong; that of the second is set back while it runs, and synchronized.
        self.restart(1000 - time.time(), False)
        of_1970 = self.score()
        self.restart(YEAR_2106 - time.time(), False)
        of_2106 = self.score()
        self.set_clock(0, True)
        time.sleep(1.1)  # the kernel is asked once a second
        right = self.score()
        plant.drain()
        this_year = time.strftime("%Y", time.gmtime())
        self.expect_corrected(of_1970, "1970")
        self.expect_corrected(of_2106, "2106")
        self.expect_corrected(unknown, this_year)  # by the same anchor, for it was the same start of the machine
        found = self.anomalies()
        for row in right[0]:
            self.assertNotIn("clock_correction", found[row])
            self.assertGreater(seconds(found[row]["event_time"]), right[1] - 0.5)
        # Newest first, by what is known: those of 2106 are not in front.
        self.assertEqual(set(list(found)[:3]), set(right[0]))
        # The segments of other classes follow, each in its time.
        until = time.time() + 20
        while points := [point for point in plant.hub("GET", "/v1/insights?site=north")["points"] if abs(point["time_us"] / 1e6 - time.time()) > 600]:
            self.assertLess(time.time(), until, points)
            time.sleep(0.05)
        self.assertTrue(plant.hub("GET", "/v1/insights?site=north")["points"])

        # A hub that loses the files makes them again.
        files = sorted((plant.hub_data / "corrections/clock").rglob("*.parquet"))
        self.assertGreaterEqual(len(files), 3)
        content = {file: file.read_bytes() for file in files}
        plant.kill("hub")
        for file in files:
            file.unlink()
        plant.start_hub()
        self.expect_corrected(of_1970, "1970")
        until = time.time() + 20
        while {file: file.read_bytes() for file in files if file.exists()} != content:
            self.assertLess(time.time(), until)
            time.sleep(0.05)


if __name__ == "__main__":
    run_tests(__name__)
