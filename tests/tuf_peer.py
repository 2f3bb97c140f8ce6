"""python-tuf on the other side of tests/tuf_test.py, run with the Python of its own environment. One verb a call:
  follow BASE ROOT DIR TARGET   its Updater: prints the target's bytes, or "NameOfTheError: ..." and exits with 1
  make DIR                      a repository (metadata/, targets/, keys/) with a delegated role
  publish DIR TEXT [EXPIRED]    the next version of the target; with EXPIRED, metadata that is out of date
  rotate DIR ROLE               a new key for a top-level role, and the next root
  verify FILE...                each root by the one before it and by itself"""
import datetime
import pathlib
import sys
import urllib.request

from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import (DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp)
from tuf.ngclient import FetcherInterface, Updater

TARGET = "sites/north/desired.json"
TOP = ("root", "timestamp", "snapshot", "targets")


class PlainFetcher(FetcherInterface):
    """With nothing but the standard library, so that a 404 is one."""

    def _fetch(self, url):
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                yield answer.read()
        except urllib.error.URLError as refused:  # of a file that is not there, too
            raise DownloadHTTPError(str(refused), getattr(refused, "code", 404)) from refused


def follow(base, root, directory, target):
    directory = pathlib.Path(directory)
    (directory / "downloads").mkdir(parents=True, exist_ok=True)
    first = None if (directory / "metadata/root.json").exists() else pathlib.Path(root).read_bytes()
    (directory / "metadata").mkdir(exist_ok=True)
    try:
        updater = Updater(str(directory / "metadata"), f"{base}/metadata/", str(directory / "downloads"), f"{base}/targets/", PlainFetcher(), bootstrap=first)
        info = updater.get_targetinfo(target)
        if info is None:
            sys.exit("none")
        print(pathlib.Path(updater.download_target(info, str(directory / "downloads/target"))).read_text(), end="")
    except RepositoryError as error:
        sys.exit(f"{type(error).__name__}: {error}")


def new_signer(directory, name):
    key = ec.generate_private_key(ec.SECP256R1())
    signer = CryptoSigner(key)
    (directory / "keys").mkdir(parents=True, exist_ok=True)
    (directory / "keys" / name).write_bytes(signer.private_bytes)
    return signer


def signer_of(directory, name, key):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    return CryptoSigner(load_pem_private_key((directory / "keys" / name).read_bytes(), None), key)


def later(days):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).replace(microsecond=0)


def newest(directory, role):
    files = list((directory / "metadata").glob(f"*.{role}.json"))
    return Metadata.from_file(str(max(files, key=lambda f: int(f.name.split(".")[0]))))


def write(directory, role, metadata):
    name = "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
    (directory / "metadata").mkdir(parents=True, exist_ok=True)
    metadata.to_file(str(directory / "metadata" / name))


def sign(directory, role, metadata, key):
    metadata.sign(signer_of(directory, role, key))
    write(directory, role, metadata)


def make(directory):
    root = Root(version=1, expires=later(1000), consistent_snapshot=True)
    signers = {role: new_signer(directory, role) for role in TOP}
    for role, signer in signers.items():
        root.add_key(signer.public_key, role)
    metadata = Metadata(root)
    metadata.sign(signers["root"])
    write(directory, "root", metadata)
    delegated = new_signer(directory, "sites")
    role = DelegatedRole("sites", [delegated.public_key.keyid], 1, True, paths=["sites/*/*"])
    top = Metadata(Targets(version=1, expires=later(100), delegations=Delegations({delegated.public_key.keyid: delegated.public_key}, {"sites": role})))
    top.sign(signers["targets"])
    write(directory, "targets", top)
    publish(directory, "first\n")


def key_of(root, role):
    return root.signed.keys[root.signed.roles[role].keyids[0]]


def publish(directory, text, expired=""):
    days = -10 if expired else 50
    root, top = newest(directory, "root"), newest(directory, "targets")
    top.signed.expires = later(days)
    top.signed.version += 1
    sign(directory, "targets", Metadata(top.signed), key_of(root, "targets"))
    old = list((directory / "metadata").glob("*.sites.json"))
    version = 1 + max([int(f.name.split(".")[0]) for f in old], default=0)
    delegated = Targets(version=version, expires=later(days))
    info = TargetFile.from_data(TARGET, text.encode())
    delegated.targets[TARGET] = info
    content = directory / "targets" / TARGET
    content.parent.mkdir(parents=True, exist_ok=True)
    (content.parent / f"{info.hashes['sha256']}.{content.name}").write_text(text)
    key = next(iter(top.signed.delegations.keys.values()))
    sign(directory, "sites", Metadata(delegated), key)
    snapshots = list((directory / "metadata").glob("*.snapshot.json"))
    version = 1 + max([int(f.name.split(".")[0]) for f in snapshots], default=0)
    meta = {"targets.json": MetaFile(top.signed.version), "sites.json": MetaFile(delegated.version)}
    sign(directory, "snapshot", Metadata(Snapshot(version=version, expires=later(days), meta=meta)), key_of(root, "snapshot"))
    sign(directory, "timestamp", Metadata(Timestamp(version=version, expires=later(days), snapshot_meta=MetaFile(version))), key_of(root, "timestamp"))


def rotate(directory, role):
    root = newest(directory, "root")
    old = signer_of(directory, "root", key_of(root, "root"))
    root.signed.revoke_key(root.signed.roles[role].keyids[0], role)
    root.signed.add_key(new_signer(directory, role).public_key, role)
    root.signed.version += 1
    metadata = Metadata(root.signed)
    metadata.sign(old)
    metadata.sign(signer_of(directory, "root", key_of(root, "root")), append=True)
    write(directory, "root", metadata)


def verify(*files):
    roots = [Metadata.from_file(file) for file in files]
    for before, root in zip([roots[0], *roots], roots):
        for signer in (before, root):
            signer.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    for key in roots[-1].signed.keys.values():
        assert isinstance(key, SSlibKey)


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    if verb in ("make", "publish", "rotate"):
        arguments[0] = pathlib.Path(arguments[0])
    {"follow": follow, "make": make, "publish": publish, "rotate": rotate, "verify": verify}[verb](*arguments)
