"""A site on a disk of its own that fills, runs out of inodes, or turns read-only: scoring goes on, what could not be kept is counted, and
capture goes on without a restart. Needs the right to mount. Prints "N passed, N failed, N skipped"."""
import subprocess
import time
import urllib.error
import urllib.request

from plant import PlantCase
from skerry_process import run_tests

SETTINGS = "hub: {interval: 1h}\noutbox: {segment_age: 1h, segment_rows: 50}\n"


def mounted(at, options):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", at], capture_output=True, check=False).returncode == 0


class DiskFullTest(PlantCase):
    def plant(self, options, capture="try"):
        """A site that scores, whose data directory is a file system of its own."""
        plant = self.make_plant(SETTINGS + f"capture: {capture}\n")
        plant.site_data.mkdir()
        if not mounted(plant.site_data, options):
            self.skipTest("no right to mount a file system of its own")
        self.addCleanup(subprocess.run, ["umount", "-l", plant.site_data], check=True)
        self.addCleanup(plant.stop)  # before the disk goes
        plant.deploy()
        return plant

    def fill(self, plant, name="filler"):
        with open(plant.site_data / name, "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def counters(self, plant):
        return plant.site("GET", "/v1/outbox")["counters"]

    def score_until(self, plant, holds, rows=200):
        """Scores until `holds` of the rows that were kept in the last request."""
        deadline = time.monotonic() + 60
        scored = kept = 0
        while time.monotonic() < deadline:
            ids = plant.score(rows)
            scored, kept = scored + rows, kept + (rows if plant.captured else 0)
            if holds(plant.captured):
                return scored, kept, ids
        self.fail("it did not come to that within a minute")

    def converges(self, plant, scored, kept):
        self.assertEqual(self.counters(plant)["scored"], scored)
        self.assertEqual(self.counters(plant)["not_captured"], scored - kept)
        plant.verify()
        plant.drain()
        numbers = plant.reconciliation()
        self.assertTrue(numbers["balanced"], numbers)
        self.assertEqual((numbers["terms"]["scored"], numbers["terms"]["received"], numbers["terms"]["not_captured"]), (scored, kept, scored - kept))
        self.assertEqual(numbers["unexplained_gaps"], 0)

    def test_a_full_disk(self):
        plant = self.plant("size=24m")
        before = plant.score(30)
        self.fill(plant)
        scored, kept, _ = self.score_until(plant, lambda captured: not captured)
        self.assertGreater(scored, kept)
        # Receipts give space back on the full disk too.
        plant.drain()
        self.assertEqual({fate["place"] for fate in plant.fates(before)}, {"received"})
        (plant.site_data / "filler").unlink()
        more, more_kept, after = self.score_until(plant, lambda captured: captured)
        plant.fates(after)
        self.converges(plant, 30 + scored + more, 30 + kept + more_kept)

    def test_no_inodes_left(self):
        plant = self.plant("size=64m,nr_inodes=200")
        count = 0
        try:
            while True:
                (plant.site_data / f"inode-{count}").touch()
                count += 1
        except OSError:
            pass
        scored = kept = 0
        with self.assertRaises(urllib.error.HTTPError) as refused:
            for _ in range(20):  # the ballast's inode is one that helps
                more, more_kept, _ = self.score_until(plant, lambda captured: True)
                scored, kept = scored + more, kept + more_kept
                plant.site("POST", "/v1/outbox/seal")
        self.assertIn("No space left", refused.exception.msg)
        for number in range(count):
            (plant.site_data / f"inode-{number}").unlink()
        more, more_kept, _ = self.score_until(plant, lambda captured: captured)
        self.converges(plant, scored + more, kept + more_kept)

    def test_with_capture_sync_what_cannot_be_kept_is_refused(self):
        plant = self.plant("size=24m", capture="sync")
        plant.score(30)
        self.fill(plant)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            for _ in range(1000):
                plant.score(200)
        self.assertEqual(refused.exception.code, 503)
        self.assertIn("could not be kept", refused.exception.read().decode())
        (plant.site_data / "filler").unlink()
        plant.score(30)

    def test_a_file_system_that_turns_read_only(self):
        """ext4 does that when it finds itself damaged (`errors=remount-ro`); it takes writes again after a check and a new mount alone, so what the
        process counted meanwhile ends with it."""
        plant = self.make_plant(SETTINGS + "capture: try\n")
        image = plant.dir / "disk"
        with open(image, "wb") as file:
            file.truncate(96 << 20)
        plant.site_data.mkdir()
        mount = ["mount", "-o", "loop", image, plant.site_data]
        if subprocess.run(["mkfs.ext4", "-q", image], capture_output=True, check=False).returncode or subprocess.run(mount, capture_output=True, check=False).returncode:
            self.skipTest("no ext4, or no right to mount it")
        self.addCleanup(subprocess.run, ["umount", "-l", plant.site_data], check=False)
        self.addCleanup(plant.stop)
        plant.deploy()
        kept = plant.score(300)
        subprocess.run(["mount", "-o", "remount,abort", plant.site_data], check=True)
        for _ in range(3):
            plant.score(100)
            self.assertFalse(plant.captured)
        with urllib.request.urlopen(plant.running["site"].url + "/metrics", timeout=60) as answer:
            self.assertIn("skerry_outbox_rows_not_captured_total 300", answer.read().decode())
        self.assertEqual({fate["place"] for fate in plant.fates_of_all(kept)}, {"unsealed"})
        plant.kill("site")
        subprocess.run(["umount", plant.site_data], check=True)
        self.assertIn(subprocess.run(["fsck.ext4", "-fy", image], capture_output=True, check=False).returncode, (0, 1))
        subprocess.run(mount, check=True)
        plant.start_site()
        plant.verify()
        more = plant.score(200)
        self.assertTrue(plant.captured)
        plant.drain()
        self.assertEqual({fate["place"] for fate in plant.fates_of_all(kept + more)}, {"received"})
        numbers = plant.reconciliation()
        self.assertTrue(numbers["balanced"], numbers)
        self.assertEqual(numbers["terms"]["received"], 500)


if __name__ == "__main__":
    run_tests(__name__)
