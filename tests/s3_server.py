"""Servers of S3 on loopback that ask for signatures (moto, with rights too; versitygw, on files), and links to one that can be cut, held or faulty."""
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

from spark_cluster import Followed

MOTO = pathlib.Path(os.environ.get("SKERRY_MOTO", "/nowhere"))

# Run by moto's Python, which has boto3: AWS's own client. It reads what to do as JSON: the place, and a list of steps.
BOTO = """
import base64, concurrent.futures, json, sys
import boto3
told = json.load(sys.stdin)
keys = dict(aws_access_key_id=told["id"], aws_secret_access_key=told["secret"], region_name="us-east-1", endpoint_url=told["url"])
s3, iam, sts = (boto3.client(name, **keys) for name in ("s3", "iam", "sts"))
RIGHTS = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]})
def user(name, rights):
    iam.create_user(UserName=name)
    if rights:
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=RIGHTS)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return [made["AccessKeyId"], made["SecretAccessKey"]]
def lent():
    trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}]})
    role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)["Role"]
    iam.put_role_policy(RoleName="reader", PolicyName="all", PolicyDocument=RIGHTS)
    made = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
    return [made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]]
def put(bucket, objects):
    def one(item):
        s3.put_object(Bucket=bucket, Key=item[0], Body=base64.b64decode(item[1]))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(one, objects.items()))
def bucket(name):
    s3.create_bucket(Bucket=name)
print(json.dumps([globals()[step[0]](*step[1:]) for step in told["steps"]]))
"""


def why_not():
    return "" if (MOTO / "bin/moto_server").exists() else "no server of S3 is installed (scripts/deps --test)"


class S3Server:
    """With `id` and `secret` everything may be done; those of `stranger` are known and may do nothing; `lent` has a session token, too."""

    def __init__(self):
        self.server = Followed(MOTO / "bin/moto_server", "-H", "127.0.0.1", "-p", "0")
        self.url = self.server.wait_for(r"Running on (http://\S+)").group(1)
        self.id, self.secret = "first", "first"
        (self.id, self.secret), self.stranger, self.lent = self.boto(["user", "owner", True], ["user", "stranger", False], ["lent"])
        # From here on every request is to be signed, and its rights are looked at.
        reset = urllib.request.Request(f"{self.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
        urllib.request.urlopen(reset, timeout=20).close()

    def boto(self, *steps):
        told = {"url": self.url, "id": self.id, "secret": self.secret, "steps": steps}
        done = subprocess.run([MOTO / "bin/python", "-c", BOTO], input=json.dumps(told), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def environment(self, **more):
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": self.id, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": "us-east-1", **more}

    def end(self):
        self.server.end()


class Link:
    """A TCP proxy that passes so many bytes of each connection's answers, and then calls `then` and closes it."""

    def __init__(self, url, passes, then=lambda: None):
        self.target, self.passes, self.then, self.cuts = int(url.rpartition(":")[2]), passes, then, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pump, args=(here, there, float("inf")), daemon=True).start()
            threading.Thread(target=self.pump, args=(there, here, self.passes), daemon=True).start()

    def pump(self, source, target, left):
        try:
            while left > 0 and (data := source.recv(min(left, 65536))):
                target.sendall(data)
                left -= len(data)
            if left <= 0:
                self.cuts += 1
                self.then()
        except OSError:
            pass
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def end(self):
        self.listener.close()


class Versity:
    """versitygw on the files of a directory: a bucket is a directory of it, an object a file, whose time is the object's."""

    def __init__(self, *options, scheme="http", directory=None):
        self.temporary = tempfile.TemporaryDirectory(prefix="skerry-versitygw-", dir=directory)
        self.dir, self.id, self.secret = pathlib.Path(self.temporary.name), "owner", "owner-secret"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(["versitygw", "--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}", *map(str, options), "posix", self.dir],
                                        env={**os.environ, "ROOT_ACCESS_KEY": self.id, "ROOT_SECRET_KEY": self.secret}, stdout=self.log, stderr=self.log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)

    @staticmethod
    def why_not():
        return "" if shutil.which("versitygw") else "versitygw is not installed (scripts/deps --interop)"

    def bucket(self, name):
        (self.dir / name).mkdir()

    def keys(self, bucket):
        """Of the objects that can be seen."""
        below = self.dir / bucket
        return sorted(str(path.relative_to(below)) for path in below.rglob("*") if path.is_file() and not str(path.relative_to(below)).startswith(".sgwtmp"))

    def environment(self, **more):
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": self.id, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": "us-east-1", **more}

    def end(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        self.temporary.cleanup()


class FaultyServer:
    """In front of a server of S3: of so many of a hundred requests each, answers 503 SlowDown, does what it is asked and loses the answer, or cuts the
    answer off in its middle. `broken`: every request ends so ("slow", "lost" or None)."""

    def __init__(self, url, slow=0, lost=0, cut=0, seed=1):
        self.target, self.shares, self.rng, self.lock = url.rpartition("//")[2], (slow, lost, cut), random.Random(seed), threading.Lock()
        self.broken, self.done = None, {"slow": 0, "lost": 0, "cut": 0, "passed": 0}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                outer.forward(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def choose(self):
        with self.lock:
            fault = self.broken
            if not fault:
                drawn, fault = self.rng.randrange(100), "passed"
                for name, share in zip(("slow", "lost", "cut"), self.shares):
                    if drawn < share:
                        fault = name
                        break
                    drawn -= share
            self.done[fault] += 1
            return fault

    def forward(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        fault = self.choose()
        if fault == "slow":
            words = b"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            handler.send_response(503)
            handler.send_header("Content-Length", str(len(words)))
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(words)
            return
        there = http.client.HTTPConnection(self.target, timeout=60)
        there.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            there.putheader(name, value)
        there.endheaders(body)
        answer = there.getresponse()
        content = answer.read()
        there.close()
        if fault == "lost":
            handler.close_connection = True
            return
        handler.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                handler.send_header(name, value)
        length = answer.getheader("Content-Length") if handler.command == "HEAD" else None
        handler.send_header("Content-Length", length or str(len(content)))
        handler.end_headers()
        if fault == "cut":
            content, handler.close_connection = content[:len(content) // 2], True
        if handler.command != "HEAD":
            handler.wfile.write(content)

    def end(self):
        self.server.shutdown()
        self.server.server_close()
