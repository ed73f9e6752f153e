"""The real daemon delivers a short story to every receiver of the client tests.

usage: deliver.py BINARY FOLDER

Plays tests/clients/story.toml, and runs the recipes' receivers (Flask, Node-RED) with the webhooks of docs/recipes.md.
Keeps what arrived in FOLDER/deliveries.jsonl for whoever verifies it, and checks the recipes. Ends with 0 when all holds.
"""

import base64
import contextlib
import http.server
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

from home_assistant import HomeAssistant

HERE = Path(__file__).resolve().parent
RECIPES = HERE.parents[2] / "docs" / "recipes"
ANN = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE"
# Newest first, as while a secret is being changed; receivers know one of them.
NEW, OLD = "whsec_bmV3IGtleSB3aXRoIHR3ZW50eS1mb3VyK2J5dGVz", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PATIENCE_SECONDS = 60
EXPECTED = {
    "meeting.participant_joined", "meeting.participant_left", "meeting.participant_invited",
    "meeting.participant_join_failed", "meeting.participant_role_changed", "user.presence_changed",
    "watch.stale", "watch.recovered", "watch.rejected", "system.gap",
}  # fmt: skip


class Checks:
    """Counts what does not hold, and says so."""

    failed = 0

    def same(self, what, got, expected):
        if got == expected:
            print(f"ok   {what}")
        else:
            self.failed += 1
            print(f"FAIL {what}: {got!r} instead of {expected!r}")


class Inbox:
    """Takes everything and keeps it."""

    def __init__(self):
        self.deliveries = []
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                inbox.deliveries.append({"path": self.path, "headers": headers, "body": body})
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                """A daemon that is killed leaves connections behind."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def at(self, path):
        return [delivery for delivery in list(self.deliveries) if delivery["path"] == path]

    def types(self, path):
        return {json.loads(delivery["body"])["type"] for delivery in self.at(path)}

    def save(self, file):
        with file.open("w") as out:
            for delivery in list(self.deliveries):
                body = base64.b64encode(delivery["body"]).decode()
                out.write(json.dumps({**delivery, "body": body}) + "\n")


def wait_until(what, ready):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := ready()):
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_SECONDS} s in vain for {what}")
        time.sleep(0.05)
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except (urllib.error.URLError, ConnectionError):
        return None


def post(url, delivery):
    headers = {name: value for name, value in delivery["headers"].items() if name not in ("host", "content-length")}
    request = urllib.request.Request(url, delivery["body"], headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


class Children:
    """Ends what was started, whatever happens."""

    def __init__(self, folder):
        self.folder = folder
        self.children = []

    def start(self, name, command, **settings):
        log = (self.folder / f"{name}.log").open("a")
        child = subprocess.Popen(command, stderr=log, **{"stdout": log, **settings})
        self.children.append(child)
        return child

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()


def recipes():
    """The `[[webhook]]`s of docs/recipes.md by name."""
    text = (RECIPES.parent / "recipes.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    webhooks = [webhook for block in blocks for webhook in tomllib.loads(block).get("webhook", [])]
    return {webhook["name"]: webhook for webhook in webhooks}


def config(base, inbox, urls, folder):
    """Two webhooks that get everything, and those of the recipes with this machine's addresses."""
    everything = {"events": ["*"], "secret": [NEW, OLD]}
    webhooks = [
        {"name": "standard", "url": f"{inbox.url}/standard", **everything},
        {"name": "cloudevents", "url": f"{inbox.url}/cloudevents", "format": "cloudevents", **everything},
    ]
    for name, webhook in recipes().items():
        replaced = {"url": urls[name]}
        if "secret" in webhook:
            replaced["secret"] = [NEW, OLD]
        webhooks.append({**webhook, **replaced})
    # What these webhooks hold is written in TOML as it is in JSON.
    tables = "".join(
        "[[webhook]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in webhook.items())
        for webhook in webhooks
    )
    people = {ANN: "Ann", "ben+/=iEiE": "Ben", "cleo-iEiE": "Cleo", "dora-iEiE": "Dora", "nobody-iEiE": "Nobody"}
    users = "".join(
        f"[[user]]\nunion_id = {json.dumps(union_id)}\nname = {json.dumps(name)}\ntags = {{ site = \"杭州\" }}\n"
        for union_id, name in people.items()
    )
    text = f"""time_zone = "UTC"
[dingtalk]
api_base = "{base}"
legacy_base = "{base}"
app_key = "app"
app_secret = "made-up"
calls_per_month = 0
rate = 1000
[poll]
interval = "100ms"
min_interval = "50ms"
stale_after = "2s"
backoff = {{ initial = "100ms", max = "200ms" }}
[history]
path = "presence.db"
[http]
listen = ""
{tables}{users}"""
    (folder / "config.toml").write_text(text)


def run_daemon(children, binary, folder):
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "NO_COLOR": "1"}
    command = [binary, "run", "--config", folder / "config.toml"]
    return children.start("presenced", command, cwd=folder, env=environment)


def tell(binary, folder, children, checks):
    """Plays the story; gives what arrived and how the recipes' receivers stand."""
    inbox = Inbox()
    flask_url, node_red_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    # Each knows another one of the two secrets.
    start_flask(children, folder, flask_url, OLD)
    start_node_red(children, folder, node_red_url, NEW)
    urls = {
        "flask": f"{flask_url}/presenced",
        "node-red": f"{node_red_url}/presenced",
        "home-assistant": f"{inbox.url}/home-assistant",
    }
    wait_until("Flask", lambda: get(f"{flask_url}/now") is not None)
    wait_until("Node-RED", lambda: get(f"{node_red_url}/presenced/now") is not None)

    play = [binary, "simulate", "--quiet", "--listen", "127.0.0.1:0", "--scenario", HERE.parent / "story.toml"]
    simulator = children.start("simulator", play, stdout=subprocess.PIPE, text=True)
    config(simulator.stdout.readline().strip(), inbox, urls, folder)
    daemon = run_daemon(children, binary, folder)
    wait_until("the first event", lambda: inbox.at("/standard"))
    # Nobody looks while it is down: a gap.
    daemon.kill()
    daemon.wait()
    daemon = run_daemon(children, binary, folder)
    for path in ("/standard", "/cloudevents"):
        wait_until(f"all of the story at {path}", lambda path=path: EXPECTED <= inbox.types(path))
    # The end of the story: Ann is back in her first meeting.
    subject = f"default/{ANN}"
    wait_until("Ann's return at Flask", lambda: came_back(inbox) and get(f"{flask_url}/now").get(subject))
    newest = lambda: (get(f"{node_red_url}/presenced/now") or {}).get(subject, {})  # noqa: E731
    wait_until("Ann's return at Node-RED", lambda: newest().get("in_meeting") is True)
    wait_until("Ann's return at Home Assistant", lambda: came_back(inbox, "/home-assistant"))
    # The story is over: nothing new comes, and what was made goes everywhere.
    wait_until("an empty outbox", lambda: not pending(folder / "presence.db"))
    daemon.send_signal(signal.SIGTERM)
    checks.same("the daemon ends in order", daemon.wait(timeout=PATIENCE_SECONDS), 0)
    return inbox, flask_url, node_red_url


def pending(database):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as history:
        return history.execute("SELECT count(*) FROM deliveries WHERE state = 'pending'").fetchone()[0]


def came_back(inbox, path="/standard"):
    """Whether Ann's last presence is the one after she was out."""
    about = [json.loads(delivery["body"]) for delivery in inbox.at(path)]
    words = [
        event["data"]["presence"]["in_meeting"]
        for event in about
        if event["type"] == "user.presence_changed" and event["subject"] == f"default/{ANN}"
    ]
    return False in words and words[-1] is True


def start_flask(children, folder, url, secret):
    environment = {
        **os.environ,
        "PRESENCED_SECRETS": secret,
        "PRESENCED_RECEIVED": str(folder / "received.db"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    port = url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "flask", "--app", RECIPES / "flask_receiver.py", "run", "--port", port]
    children.start("flask", command, env=environment)


def start_node_red(children, folder, url, secret):
    settings = {"uiHost": "127.0.0.1", "uiPort": int(url.rsplit(":", 1)[1]), "httpAdminRoot": False,
                "functionExternalModules": True, "telemetry": {"enabled": False}}  # fmt: skip
    home = folder / "node-red-home"
    home.mkdir()
    (home / "settings.js").write_text(f"module.exports = {json.dumps(settings)};\n")
    (home / "flows.json").write_text((RECIPES / "node_red_flow.json").read_text())
    program = folder.parent / "node-red" / "node_modules" / "node-red" / "red.js"
    command = ["node", program, "--userDir", home, "--settings", home / "settings.js", home / "flows.json"]
    children.start("node-red", command, env={**os.environ, "PRESENCED_SECRETS": secret})


def check_flask(checks, inbox, url):
    sent = {delivery["headers"]["webhook-id"]: delivery for delivery in inbox.at("/standard")}
    wait_until("everything at Flask", lambda: len(get(f"{url}/events")) >= len(sent))
    events, now = get(f"{url}/events"), get(f"{url}/now")
    checks.same("Flask has every event", {event["id"] for event in events}, set(sent))
    sequences = [event["sequence"] for event in events]
    checks.same("each once, in order", sequences, sorted(set(sequences)))
    # Everything again, newest first: nothing may change.
    again = [post(f"{url}/presenced", delivery) for delivery in reversed(list(sent.values()))]
    checks.same("Flask takes them again", set(again), {204})
    checks.same("and has none twice", get(f"{url}/events"), events)
    checks.same("and believes what it believed", get(f"{url}/now"), now)
    forged = {**inbox.at("/standard")[0], "body": b'{"id":"evt_forged"}'}
    checks.same("Flask refuses what is forged", post(f"{url}/presenced", forged), 401)


def check_node_red(checks, inbox, url):
    now = get(f"{url}/presenced/now")
    checks.same("Node-RED knows Ann", now[f"default/{ANN}"]["name"], "Ann")
    first = next(d for d in inbox.at("/standard") if json.loads(d["body"])["type"] == "user.presence_changed")
    checks.same("Node-RED takes an old event again", post(f"{url}/presenced", first), 204)
    checks.same("and believes what it believed", get(f"{url}/presenced/now"), now)
    spoilt = {**first, "body": first["body"].replace(b"true", b"null")}
    checks.same("Node-RED refuses changed bytes", post(f"{url}/presenced", spoilt), 401)
    flow = {node["name"]: node for node in json.loads((RECIPES / "node_red_flow.json").read_text()) if "name" in node}
    for name in ("verify", "remember"):
        source = (RECIPES / f"node_red_{name}.js").read_text().rstrip("\n")
        checks.same(f"the flow's function {name} is the file", flow[name]["func"], source)


def check_home_assistant(checks, inbox):
    home = HomeAssistant((RECIPES / "home_assistant.yaml").read_text())
    kinds = {delivery["headers"]["content-type"] for delivery in inbox.at("/home-assistant")}
    checks.same("Home Assistant reads JSON", kinds, {"application/json"})
    lights = []
    for delivery in inbox.at("/home-assistant"):
        event = json.loads(delivery["body"])
        lights.append((event["subject"], event["data"]["presence"]["in_meeting"], home.called(event)))
    expected = {True: ["light.turn_on"], False: ["light.turn_off"], None: []}
    for subject, inside, actions in lights:
        mine = subject == f"default/{ANN}"
        checks.same(f"the light when {subject} is {inside}", actions, expected[inside] if mine else [])
    seen = {actions[0] for _, _, actions in lights if actions}
    checks.same("the light went on and off", seen, {"light.turn_on", "light.turn_off"})


def main(binary, folder):
    checks = Checks()
    with Children(folder) as children:
        inbox, flask_url, node_red_url = tell(binary, folder, children, checks)
        check_flask(checks, inbox, flask_url)
        check_node_red(checks, inbox, node_red_url)
        check_home_assistant(checks, inbox)
        inbox.save(folder / "deliveries.jsonl")
    return checks.failed


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(1 if main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()) else 0)
