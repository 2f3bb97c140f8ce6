"""Drives POST /v1/score of skerry serve from the outside: streams of rows, contributions. Prints "N passed, N failed, N skipped"."""
import http.client
import json
import math
import pathlib
import random
import tempfile
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

from skerry_process import Served, run_tests, train_package

ROWS = 1_000_000


def cells(number):
    """Row `number`, from 0 on: a, b, kind. Not all numbers round well."""
    return number % 977 / 10 - 3, number % 13 / 7 - 1, "xyz"[number % 3]


def csv_row(number):
    a, b, kind = cells(number)
    return f"{a:.6g},{b:.6g},{kind}\n"


def ndjson_row(number):
    a, b, kind = cells(number)
    return f'{{"a":{a:.6g},"b":{b:.6g},"kind":"{kind}"}}\n'


class ScoreApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="skerry-score-")
        cls.dir = pathlib.Path(cls.temporary.name)
        train_package(cls.dir)
        cls.server = Served("serve", "--http", "127.0.0.1:0", f"demo={cls.dir / 'model'}")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.temporary.cleanup()

    def post(self, path, body, content_type="application/json"):
        request = urllib.request.Request(self.server.url + path, body.encode(), {"Content-Type": content_type})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def peak_kib(self):
        for line in pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        raise AssertionError("no VmHWM")

    def stream(self, content_type, pieces):
        """Sends the pieces as chunks on one thread while another reads; yields the answer's lines."""
        connection = http.client.HTTPConnection(urllib.parse.urlparse(self.server.url).netloc, timeout=60)
        connection.putrequest("POST", "/v1/score")
        connection.putheader("Content-Type", content_type)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()

        def send():
            for piece in pieces:
                connection.send(f"{len(piece):x}\r\n".encode() + piece.encode() + b"\r\n")
            connection.send(b"0\r\n\r\n")

        sender = threading.Thread(target=send)
        sender.start()
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        yield from answer
        sender.join()
        connection.close()

    def million(self, content_type, row, head=""):
        def pieces():
            yield head + row(0)
            for first in range(1, ROWS, 5000):
                yield "".join(map(row, range(first, min(first + 5000, ROWS))))

        self.post("/v1/score", ndjson_row(0), "application/x-ndjson")  # whatever a first request costs
        before = self.peak_kib()
        scores, first_n = {}, None
        for number, line in enumerate(self.stream(content_type, pieces())):
            # The id's number counts on from row to row; parsing each line would take most of the test's time.
            n = int(line[line.index(b"-") + 1:line.index(b'"', 9)])
            first_n = n if first_n is None else first_n
            self.assertEqual(n - first_n, number)
            if number % 9973 == 0 or number == ROWS - 1:
                scores[number] = json.loads(line)
        self.assertEqual(number, ROWS - 1)
        grown = self.peak_kib() - before
        self.assertLess(grown, 24 * 1024, "KiB more for a stream of a million rows")
        wanted = json.loads(self.post("/v1/score", "[" + ",".join(map(ndjson_row, scores)) + "]")[1])["results"]
        for got, expected in zip(scores.values(), wanted):
            for member in ("prediction", "score", "anomaly_score", "anomaly", "reasons"):
                self.assertEqual(got[member], expected[member])
        print(f"{content_type}: peak {before} KiB before, {grown} KiB more")

    def test_a_million_rows_of_csv_in_order_and_little_memory(self):
        self.million("text/csv", csv_row, "a,b,kind\n")

    def test_a_million_rows_of_ndjson_in_order_and_little_memory(self):
        self.million("application/x-ndjson", ndjson_row)

    def test_the_row_that_is_bad_ends_the_answer(self):
        def pieces():
            yield "a,b,kind\n"
            for first in range(0, 70_000, 5000):
                yield "".join(map(csv_row, range(first, first + 5000)))
            yield "wet,1,x\n" + csv_row(0)

        lines = list(self.stream("text/csv", pieces()))
        self.assertEqual(len(lines), 70_001)
        self.assertIn(b'"prediction"', lines[-2])
        error = json.loads(lines[-1])
        self.assertEqual(error["row"], 70_001)
        self.assertIn("line 70002: field a", error["error"])

    def test_contributions_add_up_to_the_log_odds(self):
        rng = random.Random(3)
        rows = [{"a": rng.gauss(40, 10), "b": rng.choice([None, rng.gauss(0, 1)]), "kind": rng.choice(["x", "y", "?", None])} for _ in range(200)]
        status, text = self.post("/v1/score?explain=1", json.dumps(rows))
        self.assertEqual(status, 200, text)
        bases = set()
        for result in json.loads(text)["results"]:
            bases.add(result["base"])
            self.assertEqual(set(result["contributions"]), {"a", "b", "kind"})
            margin = result["base"] + math.fsum(result["contributions"].values())
            self.assertAlmostEqual(1 / (1 + math.exp(-margin)), result["score"], delta=1e-6)
        self.assertEqual(len(bases), 1)


if __name__ == "__main__":
    run_tests(__name__)
