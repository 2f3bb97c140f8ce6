"""Documents before the official schemas of CycloneDX and in-toto (tests/statements_peer.py)."""
import os
import pathlib
import subprocess
import tempfile
import unittest

PYTHON = os.environ.get("SKERRY_STATEMENTS_PYTHON")
with_schemas = unittest.skipUnless(PYTHON, "the schemas of CycloneDX and in-toto are not installed: scripts/deps --test")


def judge(kind, documents):
    """`kind`: bom or statement. The numbers of the documents that are refused, and the reasons."""
    script = pathlib.Path(__file__).resolve().parent / "statements_peer.py"
    with tempfile.TemporaryDirectory(prefix="skerry-judge-") as directory:
        files = [pathlib.Path(directory) / str(number) for number, _ in enumerate(documents)]
        for file, document in zip(files, documents):
            file.write_text(document)
        done = subprocess.run([PYTHON, script, kind, *files], capture_output=True, text=True, timeout=120, check=False)
        refused = [number for number, file in enumerate(files) if f"{file}: " in done.stderr]
        assert done.returncode == bool(refused), done.stderr
        return refused, done.stderr
