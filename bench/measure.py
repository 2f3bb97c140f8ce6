"""What the benchmarks share: a run of wrk against one process."""
import os
import re
import subprocess
import sys
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def wrk(url, body_file, connections, seconds, pid, directory, headers=None):
    """Closed loop on keep-alive connections; `pid` is whose CPU is counted, or None."""
    more = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in (headers or {}).items())
    script = directory / "post.lua"
    script.write_text(f'''wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{more}local f = assert(io.open("{body_file}", "rb")); wrk.body = f:read("*a"); f:close()
function done(s, l, r)
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", s.requests, s.duration, l:percentile(50), l:percentile(99),
    s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout, s.errors.status))
end
''')
    before = cpu_seconds(pid) if pid else 0
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script, url], check=True,
                         capture_output=True, text=True).stdout
    requests, micros, p50, p99, errors, refused = map(int, re.search(r"RESULT (.*)", out)[1].split())
    if errors or refused:
        print(f"  {url}: {errors} errors, {refused} refused", file=sys.stderr)
    return {"per_s": requests / micros * 1e6, "p50_us": p50, "p99_us": p99,
            "cpu_us": (cpu_seconds(pid) - before) / max(1, requests) * 1e6 if pid else None,
            "failed": errors + refused}
