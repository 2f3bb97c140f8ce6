"""What may leave a site, with a real hub and a real site from the command line: the language and its tools, local
policies, approval, recall, identifiers and pseudonyms; the decision log, the journal; a canary in every kind of field. Prints "N passed, N failed, N skipped"."""
import ctypes
import json
import pathlib
import random
import shutil
import sqlite3
import ssl
import struct
import tarfile
import tempfile
import unittest
import urllib.request

try:
    import jsonschema
except ImportError:
    jsonschema = None

from plant import publish
from skerry_process import SKERRY, Served, post, run, run_tests

HEAD = "skerry: policy/1\nname: demo\nversion: {}\n"
WIDE = """fields: {a: keep, b: keep, kind: keep, unit: keep, note: {action: drop, rule: no-free-text}}
derived: {score: keep, status: keep}
classes: {sample: {rate: 1}, decision: {}}
"""
NARROW = WIDE.replace("b: keep", "b: {action: round, to: 0.1}")


def write_table(path, rows=400):
    rng = random.Random(1)
    lines = ["a,b,kind,unit,note,failure"]
    for i in range(rows):
        a, b = rng.gauss(40, 10), rng.gauss(0, 1)
        lines.append(f"{a:.2f},{b:.3f},{rng.choice('xyz')},u{i % 7},seen {i},{int(a + 3 * b > 52)}")
    path.write_text("\n".join(lines) + "\n")


def good(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def setUpModule():
    global PACKAGE
    temporary = tempfile.TemporaryDirectory(prefix="skerry-policy-")
    unittest.addModuleCleanup(temporary.cleanup)
    root = pathlib.Path(temporary.name)
    write_table(root / "train.csv")
    PACKAGE = root / "model"
    good(run("train", root / "train.csv", "--label", "failure", "--name", "demo", "--id", "unit", "--context", "note", "--trees", "20", "--threads", "1", "--out", PACKAGE))


class Fleet:
    """A hub with the package demo:1, and one site, north."""

    def __init__(self, directory, package):
        self.dir, self.package = directory, package
        self.hub_data, self.data = directory / "hub", directory / "site"
        self.hub = Served("hub", "--data", self.hub_data, "--listen", "127.0.0.1:0")
        self.site = None
        publish(package, directory, self.hub_data)
        good(run("token", "north", "--hub", self.hub_data, "--out", directory / "north.token"))
        self.start()  # joins
        self.sync()
        self.stop_site()

    def push(self, version, body):
        file = self.dir / f"policy-{version}.yaml"
        file.write_text(HEAD.format(version) + body)
        good(run("policy", "push", file, "--hub", self.hub_data))

    def deploy(self, version):
        good(run("deploy", "demo:1", "--policy", f"demo:{version}", "--sites", "north", "--hub", self.hub_data))

    def start(self, *args, config=""):
        self.stop_site()
        file = self.dir / "site.yaml"
        file.write_text("hub: {interval: 1h}\n" + config)
        self.site = Served("site", "--data", self.data, "--token-file", self.dir / "north.token", "--http", "127.0.0.1:0", "--config", file, *args)
        assert self.site.url, self.log()

    def log(self):
        self.site.log.seek(0)
        return self.site.log.read().decode()

    def sync(self):
        good(run("outbox", "sync", "--data", self.data))

    def seal(self):
        good(run("outbox", "seal", "--data", self.data))

    def policy(self, verb, *args):
        return json.loads(good(run("policy", verb, *args, "--data", self.data, "--json")))

    def facts(self):
        return json.loads(good(run("outbox", "status", "--data", self.data, "--json")))

    def reconciliation(self):
        return json.loads(good(run("status", "--hub", self.hub_data, "--json")))[0]

    def hub_get(self, path):
        endpoint = json.loads((self.hub_data / "endpoint.json").read_text())
        token = pathlib.Path(endpoint["token_file"]).read_text().strip()
        request = urllib.request.Request(endpoint["url"] + path, headers={"Authorization": f"Bearer {token}"})
        return json.load(urllib.request.urlopen(request, timeout=60, context=ssl.create_default_context(cafile=endpoint["ca_file"])))

    def score(self, rows=10, **fields):
        for i in range(rows):
            row = {"a": 40.25 + i, "b": 0.123, "kind": "x", "unit": f"u{i}", "note": f"call {i}"} | fields
            answer = json.loads(post(self.site.url + "/v1/score", json.dumps(row)))
            assert "error" not in answer, answer

    def explain(self, **fields):
        file = self.dir / "row.json"
        file.write_text(json.dumps({"a": 40.25, "b": 0.123, "kind": "x", "unit": "u1", "note": "call"} | fields))
        answer = json.loads(good(run("policy", "explain", file, "--data", self.data, "--json")))
        return {field["field"]: field for field in answer["fields"]}

    def stop_site(self):
        if self.site:
            self.site.stop()
        self.site = None

    def stop(self):
        self.stop_site()
        self.hub.stop()


class PolicyCase(unittest.TestCase):
    def setUp(self):
        self.package = PACKAGE
        temporary = tempfile.TemporaryDirectory(prefix="skerry-policy-")
        self.addCleanup(temporary.cleanup)
        self.dir = pathlib.Path(temporary.name)

    def fleet(self):
        fleet = Fleet(self.dir, self.package)
        self.addCleanup(fleet.stop)
        return fleet


class TwoPolicies(PolicyCase):
    def test_the_stricter_rule_holds_and_check_says_what_is_left(self):
        fleet = self.fleet()
        fleet.push(1, WIDE)
        fleet.deploy(1)
        local = self.dir / "local.yaml"
        local.write_text("skerry: policy/1\nname: plant\nversion: 3\nfields: {a: {action: bucket, width: 10, rule: tens}, kind: keep, unit: hash}\n"
                         "derived: {score: keep}\nwithhold: [{when: \"unit == 'u5'\", rule: hold}]\nclasses: {sample: {rate: 1}, decision: {}}\n")
        checked = good(run("policy", "check", self.dir / "policy-1.yaml", "--local", local, "--package", self.package))
        self.assertIn("no rule of the local policy names b", checked)
        fleet.start("--local-policy", local)
        fleet.sync()
        fields = fleet.explain()
        self.assertEqual(fields["a"]["after"], "40")
        self.assertEqual(fields["a"]["rule"], "local: tens")
        self.assertEqual(fields["b"]["column"], "")
        self.assertRegex(fields["unit"]["after"], "^[0-9a-f]{8}:[0-9a-f]{32}$")
        fleet.score(10)
        self.assertEqual(fleet.facts()["withheld_by_rule"], {"local: hold": 1})
        self.assertEqual(fleet.policy("pending")["local"], "plant:3")
        # Another local policy at the next start: what is pending was made under the wider one.
        local.write_text(local.read_text().replace("kind: keep, ", ""))
        fleet.start("--local-policy", local)
        self.assertEqual(fleet.facts()["counters"]["recalled"], 9)
        # And while the site runs. One that is none changes nothing.
        fleet.score(10)
        text = local.read_text()
        for bad, words in ((text.replace("action: bucket", "action: buckets"), "line 4, column"), (text + "classes: {}\n", "local.yaml")):
            local.write_text(bad)
            refused = run("policy", "reload", "--data", fleet.data)
            self.assertEqual(refused.returncode, 1, refused.stdout)
            self.assertIn(words, refused.stderr)
        self.assertEqual(fleet.explain()["a"]["after"], "40")
        self.assertEqual(fleet.facts()["counters"]["recalled"], 9)
        local.write_text(text.replace("version: 3", "version: 4").replace("width: 10", "width: 20"))
        self.assertEqual(fleet.policy("reload")["local"], "plant:4")
        self.assertEqual(fleet.explain()["a"]["after"], "40")
        self.assertEqual(fleet.explain(a=55)["a"]["after"], "40")
        self.assertEqual(fleet.facts()["counters"]["recalled"], 18)
        fleet.start()
        self.assertIn("--local-policy", run("policy", "reload", "--data", fleet.data).stderr)

    def test_a_local_policy_that_is_none_stops_the_start(self):
        local = self.dir / "local.yaml"
        local.write_text("skerry: policy/1\nname: plant\nversion: 1\nfields: {a: kep}\n")
        done = run("site", "--data", self.dir / "site", "--name", "north", "--http", "127.0.0.1:0", "--local-policy", local)
        self.assertEqual(done.returncode, 1)
        self.assertIn("local.yaml", done.stderr)
        self.assertIn("line 4, column 13", done.stderr)
        missing = run("site", "--data", self.dir / "site", "--name", "north", "--http", "127.0.0.1:0", "--local-policy", self.dir / "none.yaml")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("none.yaml", missing.stderr)


class ApprovalAndRecall(PolicyCase):
    def test_wider_waits_narrower_recalls_and_the_numbers_add_up(self):
        def waits(fleet, why="waits for approval"):
            said = run("outbox", "sync", "--data", fleet.data)
            self.assertIn(why, said.stderr)

        fleet = self.fleet()
        approval = "policy: {approval: required}\n"
        fleet.push(1, NARROW)
        fleet.push(2, WIDE)
        fleet.push(3, NARROW.replace("kind: keep, ", ""))
        fleet.deploy(1)
        fleet.start(config=approval)
        waits(fleet)
        waiting = fleet.policy("pending")  # the first one widens, too
        self.assertIsNone(waiting["in_force"])
        self.assertEqual(waiting["waiting"]["version"], "1")
        self.assertEqual(run("policy", "approve", "demo:2", "--data", fleet.data).returncode, 1)
        self.assertEqual(fleet.policy("approve", "demo:1")["in_force"]["version"], "1")
        fleet.score(10)

        fleet.deploy(2)
        waits(fleet)
        waiting = fleet.policy("pending")
        self.assertEqual(waiting["in_force"]["version"], "1")
        self.assertEqual(waiting["waiting"]["widenings"], ["b leaves by keep, and did by round(0.1)"])
        self.assertIn("waits for approval", good(run("policy", "pending", "--data", fleet.data)))
        waits(fleet)
        self.assertIn("waits for approval", json.dumps(fleet.hub_get("/v1/overview")["alarms"]))
        fleet.start(config=approval)
        self.assertEqual(fleet.policy("pending")["in_force"]["version"], "1")
        self.assertEqual(fleet.explain()["b"]["after"], "0.1")
        self.assertTrue(fleet.policy("refuse", "demo:2")["waiting"]["refused"])
        waits(fleet, "was refused at the site")
        self.assertEqual(fleet.policy("pending")["in_force"]["version"], "1")
        self.assertIn("was refused at the site", json.dumps(fleet.hub_get("/v1/overview")["alarms"]))
        approved = fleet.policy("approve", "demo:2")
        self.assertEqual(approved["in_force"]["version"], "2")
        self.assertIsNone(approved["waiting"])
        self.assertEqual(fleet.explain()["b"]["after"], "0.123")

        # Ten are with the hub, twenty not: a narrower policy needs no approval, and takes back what
        # has not left.
        fleet.seal()
        fleet.sync()
        self.assertEqual(fleet.reconciliation()["terms"]["received"], 10)
        fleet.score(20)
        fleet.deploy(3)
        fleet.sync()
        self.assertEqual(fleet.policy("pending")["in_force"]["version"], "3")
        fleet.score(10)
        fleet.seal()
        fleet.sync()
        fleet.sync()
        numbers = fleet.reconciliation()
        self.assertEqual({term: numbers["terms"][term] for term in ("scored", "received", "recalled", "pending")},
                         {"scored": 40, "received": 20, "recalled": 20, "pending": 0}, numbers)
        self.assertTrue(numbers["balanced"], numbers)


class Language(PolicyCase):
    def check(self, body, *args):
        file = self.dir / "policy.yaml"
        file.write_text(HEAD.format(1) + body)
        return run("policy", "check", file, *args)

    def test_check_names_what_nobody_named_and_what_is_free_text(self):
        said = good(self.check("fields: {a: keep, note: keep}\nclasses: {summary: {every_rows: 10, min_group: 1}}\n", "--package", self.package))
        for sentence in ("no rule names b", "no rule names unit", "note is free text and leaves as it came", "summaries have no smallest group"):
            self.assertIn(sentence, said)
        self.assertEqual(said, good(self.check((self.dir / "policy.yaml").read_text().split("\n", 3)[3], "--schema", self.package / "schema.json")))
        refused = self.check("fields:\n  a: {action: bucket}\n", "--package", self.package)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("line 5, column 6: fields.a: 'width' is missing; bucket needs 'width'; write {action: bucket, width: 10}", refused.stderr)

    def test_check_finds_identifiers_in_rows(self):
        rows = self.dir / "rows.csv"
        rows.write_text("a,b,kind,unit,note,failure\n1,2,x,u1,fine,0\n1,2,x,u1,mail jo@example.org,0\n1,2,x,u1,DE89370400440532013000,0\n")
        said = good(self.check("fields: {a: keep, unit: keep, note: {action: keep, detect: [iban], rule: notes}}\n", "--rows", rows, "--package", self.package))
        self.assertIn("note: email in 1 of 3 rows (the first is row 2) leaves by notes; write hash, mask or drop", said)
        self.assertIn("note: iban in 1 of 3 rows (the first is row 3): blocked by notes", said)
        self.assertNotIn("unit:", said)

    def test_cases_run_and_say_what_differs(self):
        file = self.dir / "policy.yaml"
        body = ("fields: {a: {action: bucket, width: 10}, kind: keep, unit: hash, note: {action: keep, detect: [card], block: withhold, rule: notes}}\n"
                "derived: {score: {action: round, to: 0.1}}\nwithhold: [{when: \"kind == 'z'\", rule: hold}]\n"
                "classes: {sample: {rate: 0.01}, insight: {rate: 0}}\ntests:\n"
                "- {name: tens, row: {a: 57, kind: x, unit: u1}, scored: {score: 0.83}, expect: {out: {in_a__bucket: 50, score: 0.8, ctx_unit__hash: '*', ctx_note: null, in_b: null}}}\n"
                "- {name: held, row: {kind: z}, expect: {withheld: hold}}\n"
                "- {name: card, row: {note: 4111 1111 1111 1111}, expect: {withheld: notes}}\n"
                "- {row: {a: 1}, expect: {classes: [sample]}}\n")
        file.write_text(HEAD.format(1) + body)
        self.assertEqual(good(run("policy", "test", file, "--package", self.package)).count("ok  "), 4)
        file.write_text((HEAD.format(1) + body).replace("in_a__bucket: 50", "in_a__bucket: 57").replace("withheld: hold", "withheld: other"))
        failed = run("policy", "test", file, "--package", self.package)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("in_a__bucket: 50.0 leaves, 57 was expected", failed.stdout)
        self.assertIn("withheld by hold (kind == 'z'), other was expected", failed.stdout)
        self.assertIn("2 of 4 cases failed", failed.stderr)
        file.write_text(HEAD.format(1))
        self.assertIn("has no cases", run("policy", "test", file, "--package", self.package).stderr)

    @unittest.skipIf(jsonschema is None, "the Python package jsonschema is not here")
    def test_the_schema_and_the_parser_agree_on_changed_documents(self):
        schema = json.loads(good(run("policy", "schema")))
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        whole = {"skerry": "policy/1", "name": "demo", "version": 1, "default": "drop",
                 "fields": {"a": "keep", "b": {"action": "bucket", "width": 5, "rule": "r"}, "c": {"action": "mask", "keep_last": 4}, "d": "hash",
                            "e": {"action": "allow", "list": ["A", "B"]}, "f": {"action": "keep", "detect": ["email"], "block": "drop"}, "g": {"action": "round", "to": 0.1}},
                 "derived": {"score": {"action": "round", "to": 0.1}, "event_time": {"action": "truncate_time", "to": "hour"}, "status": "keep", "reasons": {"action": "drop"}},
                 "withhold": [{"when": "a > 3", "rule": "hold"}],
                 "classes": {"anomaly": {"when": "anomaly"}, "sample": {"rate": 0.5}, "insight": {"rate": 1}, "summary": {"every_rows": 10, "min_group": 5}, "decision": {}},
                 "tests": [{"name": "n", "row": {"a": 1}, "scored": {"score": 0.5}, "expect": {"classes": ["sample"], "out": {"in_a": 1}}}, {"row": {}, "expect": {"withheld": "hold"}}]}

        def places(value, path=()):
            yield path
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
                yield from places(inner, path + (key,))

        def changed(path, change):
            document = json.loads(json.dumps(whole))
            holder = document
            for key in path[:-1]:
                holder = holder[key]
            change(holder, path[-1])
            return document

        changes = [lambda h, k: h.pop(k), lambda h, k: h.update({f"{k}x": h.pop(k)}) if isinstance(h, dict) else h.append("zz")]
        for value in (None, "drop", "keep", "", 0, -1, 7, 0.5, 10**13, True, [], {}, [{}], {"action": "keep"}, {"action": "keep", "detect": []}, {"rate": 2}, "a\u0007b"):
            changes.append(lambda h, k, value=value: h.__setitem__(k, value))
        documents = [whole] + [changed(path, change) for path in places(whole) if path for change in changes]
        texts = sorted({json.dumps(document) for document in documents})
        self.assertGreater(len(texts), 900)
        file = self.dir / "policy.yaml"
        accepted = 0
        for text in texts:
            file.write_text(text)
            parser, by_schema = run("policy", "check", file), validator.is_valid(json.loads(text))
            condition = "at character" in parser.stderr
            self.assertEqual(parser.returncode == 0, by_schema and not condition, text + "\n" + parser.stderr)
            if parser.returncode:
                self.assertRegex(parser.stderr, r"line \d+, column \d+: .+")
            accepted += parser.returncode == 0
        self.assertGreater(accepted, 100)


class Secrets(PolicyCase):
    def test_rotated_pseudonyms_are_known_here_alone(self):
        fleet = self.fleet()
        fleet.push(1, WIDE.replace("unit: keep", "unit: hash"))
        fleet.deploy(1)
        fleet.start()
        fleet.sync()
        before = fleet.explain(unit="u1")["unit"]["after"]
        ids = json.loads(good(run("policy", "rotate-key", "--data", fleet.data, "--json")))["key_ids"]
        after = fleet.explain(unit="u1")["unit"]["after"]
        self.assertEqual([after.split(":")[0], before.split(":")[0]], ids)
        self.assertNotEqual(before.split(":")[1], after.split(":")[1])
        for _ in range(2):
            self.assertEqual(good(run("policy", "pseudonyms", "unit", "u1", "--data", fleet.data)).split(), [after, before])
            fleet.start()
        self.assertEqual(fleet.explain(unit="u1")["unit"]["after"], after)
        for key in (fleet.data / "identity").glob("policy*.key"):
            self.assertEqual(key.stat().st_mode & 0o777, 0o600)

    def test_an_identifier_blocks_its_value_or_its_row(self):
        fleet = self.fleet()
        fleet.push(1, WIDE.replace("unit: keep", "unit: {action: keep, detect: [email]}").replace("note: {action: drop, rule: no-free-text}",
                   "note: {action: keep, detect: [iban, card], block: withhold, rule: no-numbers}"))
        fleet.deploy(1)
        fleet.start()
        fleet.sync()
        fleet.score(3)
        fleet.score(2, note="paid to DE89 3704 0044 0532 0130 00")
        fleet.score(1, unit="jo@example.org")
        self.assertEqual(fleet.explain(unit="jo@example.org")["unit"]["after"], "")
        fleet.seal()
        self.assertEqual(fleet.facts()["withheld_by_rule"], {"no-numbers": 2})
        self.assertEqual(fleet.facts()["counters"]["scored"], 6)


class DecisionLog(PolicyCase):
    def test_one_command_verifies_the_chain_at_both_sides(self):
        fleet = self.fleet()
        body = WIDE + "withhold: [{when: \"kind == 'z'\", rule: hold}, {when: \"a > 60\", rule: hot}]\n"
        fleet.push(1, body.replace(", decision: {}", ""))
        fleet.push(2, body)
        fleet.deploy(1)
        fleet.start()
        fleet.sync()
        fleet.score(3, kind="z")
        fleet.seal()
        fleet.sync()
        audit = lambda data: json.loads(run("policy", "audit", "--data", data, "--json").stdout or "null")
        self.assertEqual([(a["entries"], a["rows"], a["findings"]) for a in audit(fleet.data)], [(1, 3, [])])
        self.assertEqual(audit(fleet.hub_data), [])  # the policy does not let the class leave
        fleet.deploy(2)
        fleet.sync()
        for kind, a in (("z", 1), ("x", 70), ("z", 70)):
            fleet.score(2, kind=kind, a=a)
            fleet.seal()
            fleet.sync()
        site, hub = audit(fleet.data)[0], audit(fleet.hub_data)[0]
        self.assertEqual((site["rows"], site["findings"], hub["findings"], hub["site"]), (9, [], [], "north"))
        self.assertEqual([site[key] for key in ("entries", "rows", "last_n", "last_hash")], [hub[key] for key in ("entries", "rows", "last_n", "last_hash")])
        self.assertIn("the chain is whole", good(run("policy", "audit", "--data", fleet.hub_data)))

        files = sorted((fleet.hub_data / "lake" / "class=decision").rglob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
        self.assertGreater(len(files), 2)
        files[1].rename(self.dir / "taken")
        said = run("policy", "audit", "--data", fleet.hub_data)
        self.assertEqual(said.returncode, 1)
        self.assertRegex(said.stdout, "entr(y|ies) [0-9 to]+ (is|are) missing")
        fleet.stop_site()
        database = sqlite3.connect(max((fleet.data / "outbox").glob("outbox-*.db")))
        for change, finding in (("UPDATE decisions SET rows = rows + 1 WHERE n = 2", "entry 2 was altered"),
                                ("DELETE FROM decisions WHERE n = 2", "entry 2 is missing"),
                                ("DELETE FROM decisions WHERE n > 1", "entries at its end are missing")):
            database.execute(change)
            database.commit()
            said = run("policy", "audit", "--data", fleet.data)
            self.assertEqual(said.returncode, 1)
            self.assertIn(finding, said.stdout)


class Journal(PolicyCase):
    def test_a_policy_is_replayed_over_the_journal_which_never_leaves(self):
        fleet = self.fleet()
        fleet.push(1, NARROW)
        fleet.deploy(1)
        fleet.start(config="journal: {bytes: 10000000, days: 30}\n")
        fleet.sync()
        fleet.score(8, note="canary-note", kind="canary-kind")
        fleet.score(2, kind="z")
        fleet.seal()
        asked = self.dir / "asked.yaml"
        asked.write_text(HEAD.format(9) + "fields: {a: keep, note: {action: keep, rule: open-notes}}\nwithhold: [{when: 'a > 46', rule: hot}]\nclasses: {insight: {rate: 1}}\n")
        told = json.loads(good(run("policy", "replay", asked, "--data", fleet.data, "--days", 1, "--json")))
        self.assertEqual((told["rows"], told["skipped"]), (10, 0))
        self.assertEqual(told["classes"], {"insight": {"asked": 8, "in_force": 0}, "sample": {"asked": 0, "in_force": 10}})
        self.assertEqual(told["dispositions"]["withheld"], {"asked": 2, "in_force": 0, "was": 0})
        self.assertEqual(told["dispositions"]["sample"], {"asked": 0, "in_force": 10, "was": 10})
        self.assertEqual(told["withheld"], {"hot": {"asked": 2, "in_force": 0}})
        self.assertEqual(told["columns"]["ctx_note"], {"asked": 8, "in_force": 0, "rule": "open-notes"})
        self.assertIn("open-notes", good(run("policy", "replay", asked, "--data", fleet.data)))
        self.assertTrue(any(b"canary-note" in file.read_bytes() for file in (fleet.data / "journal").iterdir()))
        bundle = self.dir / "bundle"
        good(run("bundle", "export", bundle, "--data", fleet.data))
        fleet.sync()
        parquet = Parquet()
        for directory in (fleet.data / "outbox", fleet.data / "sync", bundle, fleet.hub_data):
            for file in files_of(directory):
                content = file.read_bytes()
                texts = "\n".join(parquet.texts(file)).encode() if content[:4] == b"PAR1" else b""
                self.assertNotIn(b"canary-note", content + texts, file)
        fleet.start()
        off = run("policy", "replay", asked, "--data", fleet.data)
        self.assertIn("keeps no journal", off.stderr)


def files_of(directory):
    """Every file below it, those in a bundle's packs too."""
    for pack in list(pathlib.Path(directory).rglob("packs/*.tar")):
        with tarfile.open(pack) as archive:
            archive.extractall(pack.with_suffix(".unpacked"), filter="data")
    return [file for file in pathlib.Path(directory).rglob("*") if file.is_file()]


class Parquet:
    """All values of a Parquet file as texts, by the engine's C library."""

    def __init__(self):
        self.lib = ctypes.CDLL(str(next(pathlib.Path(SKERRY).resolve().parent.rglob("libduckdb.so"))))
        self.lib.duckdb_value_varchar.restype = ctypes.c_void_p
        self.lib.duckdb_value_varchar.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
        for count in ("duckdb_row_count", "duckdb_column_count"):
            getattr(self.lib, count).restype, getattr(self.lib, count).argtypes = ctypes.c_uint64, [ctypes.c_void_p]
        self.database, self.connection = ctypes.c_void_p(), ctypes.c_void_p()
        assert self.lib.duckdb_open(None, ctypes.byref(self.database)) == 0
        assert self.lib.duckdb_connect(self.database, ctypes.byref(self.connection)) == 0

    def texts(self, file):
        result = (ctypes.c_uint64 * 16)()
        assert self.lib.duckdb_query(self.connection, f"SELECT * FROM read_parquet('{file}')".encode(), ctypes.byref(result)) == 0, file
        pointer = ctypes.cast(result, ctypes.c_void_p)
        values = []
        for column in range(self.lib.duckdb_column_count(pointer)):
            for row in range(self.lib.duckdb_row_count(pointer)):
                text = self.lib.duckdb_value_varchar(pointer, column, row)
                values.append(ctypes.string_at(text).decode() if text else "")
        self.lib.duckdb_destroy_result(pointer)
        return values


class Canary(PolicyCase):
    # In a dropped number, a category never seen, an id, free text, a field that is transformed, and,
    # so that the search is known to find something, one that leaves.
    CANARIES = {"b": 7341.5625, "kind": "canary-kind", "unit": "canary-unit", "note": "canary-note jo@canary.example", "a": 9147.25}
    SOUGHT = {"b": ["7341.5625", struct.pack("<d", 7341.5625), struct.pack("<f", 7341.5625)], "kind": ["canary-kind"], "unit": ["canary-unit"],
              "note": ["canary-note", "jo@canary.example"], "a": ["9147.25", struct.pack("<d", 9147.25), struct.pack("<f", 9147.25)]}
    POLICY = """fields: {a: RULE, unit: hash, note: {action: mask, keep_last: 0}}
derived: {score: keep, anomaly_score: keep, reasons: keep, event_time: keep, status: keep, prediction: keep, outputs: keep}
classes: {sample: {rate: 1}, anomaly: {when: anomaly}, insight: {rate: 1}, summary: {every_rows: 20, min_group: 2}, decision: {}}
"""

    def seek(self, directories, texts):
        """Field -> where its canary was found."""
        found, parquet = {}, Parquet()

        def read(file):
            contents = [file.read_bytes()]
            if contents[0][:4] == b"PAR1":
                contents.append("\n".join(parquet.texts(file)).encode())
            return b"\n".join(contents)

        for directory in directories:
            for attempt in range(20):
                try:
                    texts |= {str(file): read(file) for file in files_of(directory)}
                    break
                except FileNotFoundError:  # a file that the hub has put in its place meanwhile
                    self.assertLess(attempt, 19)
        for where, content in texts.items():
            for field, canaries in self.SOUGHT.items():
                if any((canary.encode() if isinstance(canary, str) else canary) in content for canary in canaries):
                    found.setdefault(field, set()).add(where)
        return found

    def live(self, rule):
        fleet = self.fleet()
        fleet.push(1, self.POLICY.replace("RULE", rule))
        fleet.deploy(1)
        fleet.start()
        fleet.sync()
        fleet.score(30, **self.CANARIES)
        post(fleet.site.url + "/v1/score", json.dumps({"a": 1, "nonsense": "canary-note"}))  # refused, and perhaps logged
        fleet.seal()
        bundle = self.dir / "bundle"
        good(run("bundle", "export", bundle, "--data", fleet.data))
        metrics = {name: urllib.request.urlopen(url + "/metrics", timeout=60).read() for name, url in {"site metrics": fleet.site.url}.items()}
        files = self.dir / "before"
        shutil.copytree(fleet.data / "outbox", files)  # as it is before the hub has it
        fleet.sync()
        self.assertEqual(fleet.reconciliation()["terms"]["received"], 30)
        self.assertTrue(list((fleet.hub_data / "lake").rglob("*.parquet")))
        texts = {"site log": fleet.log().encode(), "hub api": json.dumps([fleet.hub_get("/v1/overview"), fleet.hub_get("/v1/sites/north/reconciliation")]).encode()} | metrics
        fleet.hub.log.seek(0)
        texts["hub log"] = fleet.hub.log.read()
        return self.seek([files, fleet.data / "outbox", fleet.data / "sync", fleet.data / "policy", bundle, fleet.hub_data], texts)

    def test_what_is_dropped_or_changed_is_found_nowhere(self):
        self.assertEqual(self.live("{action: bucket, width: 100}"), {})

    def test_the_search_finds_what_leaves(self):
        found = self.live("keep")
        self.assertEqual(set(found), {"a"})
        for place in ("/before/", "/bundle/", "/hub/lake/"):
            self.assertTrue(any(place in where for where in found["a"]), (place, found))


if __name__ == "__main__":
    run_tests(__name__)
