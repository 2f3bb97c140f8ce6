"""A small client of an OCI registry, for tests that have to see each answer."""
import base64
import hashlib
import json
import urllib.error
import urllib.request


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def call(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.headers, refused.read())


def basic(name, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


class Registry:
    """One caller of the registry at `url`, who shows `headers` with every request."""

    def __init__(self, url, headers=None):
        self.url, self.headers = url, headers or {}

    def call(self, path, method="GET", body=None, headers=None):
        return call(self.url + path, method, body, {**self.headers, **(headers or {})})

    def push_blob(self, repository, data):
        return self.call(f"/v2/{repository}/blobs/uploads/?digest={digest_of(data)}", "POST", data)

    def has_blob(self, repository, digest):
        return self.call(f"/v2/{repository}/blobs/{digest}", "HEAD").status == 200

    def put_manifest(self, repository, reference, manifest):
        return self.call(f"/v2/{repository}/manifests/{reference}", "PUT", manifest,
                         {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})

    def get_manifest(self, repository, reference):
        return self.call(f"/v2/{repository}/manifests/{reference}")

    def push(self, repository, reference, *layers):
        """Blobs, then the manifest, whose answer it gives."""
        for data in (b"{}", *layers):
            pushed = self.push_blob(repository, data)
            if pushed.status != 201:
                return pushed
        return self.put_manifest(repository, reference, manifest_of(*layers))


def manifest_of(*layers):
    def descriptor(kind, data):
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}
    return json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/vnd.example.v1",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor("application/octet-stream", data) for data in layers]}).encode()
