"""schemathesis against the OpenAPI document: whatever is asked, no 5xx and no answer that is not described.

What it guards: the document is what the daemon does. The stream does not end, so it is left out here (`readers.py`).
"""

import subprocess
import sys

from daemon import TOKEN, Daemon

with Daemon(sys.argv[1], speed=4.0) as daemon:
    daemon.until(lambda: daemon.json("/api/v1/meetings")["meetings"], "no meeting is seen")
    command = ["schemathesis", "run", f"{daemon.base}/api/v1/openapi.json", "--header", f"Authorization: Bearer {TOKEN}",
               "--exclude-path", "/api/v1/stream", "--max-examples", "25", "--seed", "1", "--workers", "2", "--no-color",
               "--exclude-checks", "ignored_auth"]
    ended = subprocess.run(command, cwd=daemon.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode:
        print(ended.stdout[-6000:])
        sys.exit("schemathesis found something")
    print(ended.stdout[-900:])
    # Without a token, and with a wrong one.
    for token in ("", "wrong"):
        status, body = daemon.get("/api/v1/now", token)
        assert status == 401 and '"code":"unauthorized"' in body, (status, body)
