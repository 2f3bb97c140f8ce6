"""A sample of the crash storm (tests/crash_storm.py; make soak runs 2,000 kills). Prints "N passed, N failed, N skipped"."""
import tempfile
import unittest

from crash_storm import Storm
from skerry_process import run_tests


class CrashTest(unittest.TestCase):
    def test_a_site_and_a_hub_that_are_killed_lose_nothing(self):
        with tempfile.TemporaryDirectory(prefix="skerry-storm-") as directory:
            facts, wrong = Storm(directory, seed=7).run(12)
        self.assertEqual(wrong, [], facts)
        self.assertGreater(facts["acknowledged"], 30)


if __name__ == "__main__":
    run_tests(__name__)
