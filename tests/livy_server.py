"""A small server that speaks Livy's REST API for batches as it is documented, and really runs spark-submit. What Livy
itself, or a vendor's, does beyond its documentation is not tested by it.

    POST /batches   GET /batches/{id}   GET /batches/{id}/state   GET /batches/{id}/log?from=&size=   DELETE /batches/{id}
"""
import base64
import http.server
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import urllib.parse

from spark_cluster import ENVIRONMENT, SPARK


class Batch:
    def __init__(self, number, master, request, work):
        self.number, self.request = number, request
        command = [f"{SPARK}/bin/spark-submit", "--master", master, "--name", request.get("name", "livy")]
        for name, value in request.get("conf", {}).items():
            command += ["--conf", f"{name}={value}"]
        self.output = open(f"{work}/{number}.log", "w+b")
        self.process = subprocess.Popen([*command, request["file"], *request.get("args", [])], env=ENVIRONMENT, cwd=work, stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True)
        self.killed = False

    def state(self):
        if self.process.poll() is None:
            return "running" if b"SparkContext: Running" in self.log() else "starting"
        return "killed" if self.killed else "success" if self.process.returncode == 0 else "dead"

    def log(self):
        with open(self.output.name, "rb") as file:
            return file.read()

    def about(self):
        application = re.search(rb"app-\d+-\d+|application \S*?(local-\d+)", self.log())
        return {"id": self.number, "name": self.request.get("name"), "state": self.state(), "appId": application and application.group(0).decode(),
                "appInfo": {"driverLogUrl": None, "sparkUiUrl": None}, "log": self.log().decode(errors="replace").splitlines()[-10:]}

    def kill(self):
        if self.process.poll() is None:
            self.killed = True
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(20)

    def end(self):
        self.kill()
        self.output.close()


class LivyServer:
    """`master` is the cluster's; with `password`, basic authentication as livy. Requests are kept, for tests to look at."""

    def __init__(self, master, password=None):
        self.master, self.password, self.batches, self.requests = master, password, {}, []
        self.work = tempfile.TemporaryDirectory(prefix="skerry-livy-")
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle_request(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.requests.append((self.command, self.path))
                self.answer(*server.route(self.command, self.path, self.headers, body))

            do_GET = do_POST = do_DELETE = handle_request

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def route(self, method, path, headers, body):
        if self.password and headers.get("Authorization") != "Basic " + base64.b64encode(f"livy:{self.password}".encode()).decode():
            return 401, {"msg": "Authentication required"}
        if method != "GET" and not headers.get("X-Requested-By"):
            return 400, {"msg": "Missing Required Header for CSRF protection."}
        path, _, query = path.partition("?")
        if (method, path) == ("POST", "/batches"):
            return self.submit(json.loads(body))
        match = re.fullmatch(r"/batches/(\d+)(/state|/log)?", path)
        batch = match and self.batches.get(int(match.group(1)))
        if not batch:
            return 404, {"msg": "Session '%s' not found." % (match.group(1) if match else path)}
        if method == "DELETE":
            batch.end()
            del self.batches[batch.number]
            return 200, {"msg": "deleted"}
        if match.group(2) == "/state":
            return 200, {"id": batch.number, "state": batch.state()}
        if match.group(2) == "/log":
            asked = dict(urllib.parse.parse_qsl(query))
            lines, first = batch.log().decode(errors="replace").splitlines(), int(asked.get("from", 0))
            return 200, {"id": batch.number, "from": first, "total": len(lines), "log": lines[first:first + int(asked.get("size", 100))]}
        return 200, batch.about()

    def submit(self, request):
        for name in request.get("conf", {}):
            if name in ("spark.master", "spark.submit.deployMode"):  # as Livy's own list of what a client may not set
                return 400, {"msg": f"Blacklisted configuration values in session config: {name}"}
        if any(batch.request.get("name") == request.get("name") and batch.process.poll() is None for batch in self.batches.values()):
            return 400, {"msg": f"Duplicate session name: {request.get('name')}"}
        number = len(self.requests)
        self.batches[number] = Batch(number, self.master, request, self.work.name)
        return 201, self.batches[number].about()

    def end(self):
        self.http.shutdown()
        self.http.server_close()
        for batch in self.batches.values():
            batch.end()
        self.work.cleanup()
