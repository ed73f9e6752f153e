"""A daemon in front of a simulated DingTalk and a receiver, for the tests of this folder.

What it guards: everything is on loopback, and everything ends with the test.
"""

import http.server
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
TOKEN, BOARD, VIEWER = "operator-token-of-tests", "board-token-of-tests", "viewer-token-of-tests"
INITIALS, COUNTS = "initials-token-of-tests", "counts-token-of-tests"
# Names of the config that try to be markup, scripts, formulas and escape sequences.
NAMES = {
    "u-li": "<script>document.title='bitten'</script>",
    "u-anna": "\"><img src=x onerror=document.title='bitten'> Anna",
    "u-zhang": "=HYPERLINK(\\\"http://evil.example\\\") 张敏",
    "u-omar": "javascript:document.title='bitten'",
    "u-late": "Late Larsson",
    "u-refused": "Refused &lt;b&gt; Rita",
}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes deliveries; refuses those to /no."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        refused = self.path == "/no"
        if not refused:
            self.server.bodies.append((time.time(), json.loads(body)))
        self.send_response(503 if refused else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Daemon:
    """Runs while the `with` block does."""

    def __init__(self, binary, speed=1.0, more=""):
        self.binary, self.speed, self.more = binary, speed, more
        self.folder = tempfile.TemporaryDirectory(prefix="presenced-page-")
        self.path = pathlib.Path(self.folder.name)

    def __enter__(self):
        self.receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.receiver.bodies = []
        threading.Thread(target=self.receiver.serve_forever, daemon=True).start()
        self.simulator = subprocess.Popen(
            [self.binary, "simulate", "--quiet", "--listen", "127.0.0.1:0", "--scenario", HERE / "day.toml",
             "--speed", str(self.speed)],
            stdout=subprocess.PIPE, text=True)
        dingtalk = self.simulator.stdout.readline().strip()
        hook = f"http://127.0.0.1:{self.receiver.server_address[1]}"
        users = "".join(
            f'[[user]]\nunion_id = "{id}"\nname = "{toml(name)}"\ngroups = ["<b>bold</b>"]\n'
            for id, name in NAMES.items())
        config = f"""
[dingtalk]
api_base = "{dingtalk}"
legacy_base = "{dingtalk}"
app_key = "k"
app_secret = "s"
calls_per_month = 0
[poll]
interval = "1s"
min_interval = "1s"
sweep = "off"
[[webhook]]
name = "good"
url = "{hook}/yes"
[[webhook]]
name = "bad"
url = "{hook}/no"
[history]
path = "presence.db"
[http]
listen = "127.0.0.1:0"
token = "{TOKEN}"
""" + "".join(
            f'[[http.access]]\nname = "{name}"\ntoken = "{token}"\nscope = "{scope}"\nshow = "{show}"\n'
            for name, token, scope, show in [
                ("wall", BOARD, "board", "names"), ("boss", VIEWER, "viewer", "names"),
                ("hall", INITIALS, "viewer", "initials"), ("door", COUNTS, "viewer", "counts")]) + users + self.more
        file = self.path / "config.toml"
        # A free port: the daemon says none, so one is chosen here.
        with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as free:
            port = free.server_address[1]
        file.write_text(config.replace('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:{port}"'))
        file.chmod(0o600)
        self.base = f"http://127.0.0.1:{port}"
        self.log = open(self.path / "log", "w")
        self.config = file
        self.daemon = subprocess.Popen([self.binary, "run", "-c", file], stdout=self.log, stderr=self.log,
                                       env={**os.environ, "TZ": "Asia/Shanghai"})
        self.until(lambda: self.get("/healthz")[0] == 200, "the daemon does not answer")
        return self

    def __exit__(self, kind, *_):
        for process in (self.daemon, self.simulator):
            process.terminate()
            process.wait(20)
        self.receiver.shutdown()
        self.log.close()
        if kind:
            print((self.path / "log").read_text()[-3000:])
        self.folder.cleanup()

    def get(self, path, token=TOKEN, headers=None):
        """Status and body."""
        request = urllib.request.Request(self.base + path, headers={"Authorization": f"Bearer {token}", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def json(self, path, token=TOKEN):
        status, body = self.get(path, token)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def link(self):
        return subprocess.check_output([self.binary, "page", "-q", "-c", self.config], text=True).strip()

    @staticmethod
    def until(condition, what, seconds=30):
        end = time.time() + seconds
        while time.time() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(what)


def toml(text):
    return text if '\\"' in text else text.replace('"', '\\"')
