"""A server of S3 on loopback (moto) that asks for signatures and rights, and a link to it that can be cut or held."""
import json
import os
import pathlib
import socket
import subprocess
import threading
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
