"""Takes presenced's webhooks: verified, each once, in order.

PRESENCED_SECRETS="whsec_..." flask --app flask_receiver run --port 5000

While a secret is being changed, put both into PRESENCED_SECRETS, separated by a space.
"""

import os
import sqlite3
from contextlib import closing

from flask import Flask, jsonify, request
from standardwebhooks import Webhook, WebhookVerificationError

DATABASE = os.environ.get("PRESENCED_RECEIVED", "received.db")
VERIFIERS = [Webhook(secret) for secret in os.environ["PRESENCED_SECRETS"].split()]

app = Flask(__name__)


def database():
    return closing(sqlite3.connect(DATABASE, timeout=10))


with database() as db, db:
    db.executescript("""
        CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, source TEXT, sequence TEXT, type TEXT, body TEXT);
        CREATE TABLE IF NOT EXISTS people (subject TEXT PRIMARY KEY, source TEXT, sequence TEXT, in_meeting INTEGER);
    """)


def verified(body, headers):
    """The event, or None if no secret fits."""
    for verifier in VERIFIERS:
        try:
            return verifier.verify(body, dict(headers))
        except (WebhookVerificationError, ValueError):
            continue
    return None


@app.post("/presenced")
def receive():
    body = request.get_data()  # the bytes as they came: they are what was signed
    event = verified(body, request.headers)
    if event is None:
        return "", 401
    with database() as db, db:  # kept before it is acknowledged
        row = (event["id"], event["source"], event["sequence"], event["type"], body.decode())
        fresh = db.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)", row).rowcount
        if fresh and "presence" in event["data"]:
            # A replay is older than what is known already: only a higher sequence of the same source counts.
            db.execute(
                """INSERT INTO people VALUES (?, ?, ?, ?) ON CONFLICT (subject) DO UPDATE
                   SET source = excluded.source, sequence = excluded.sequence, in_meeting = excluded.in_meeting
                   WHERE people.source <> excluded.source OR people.sequence < excluded.sequence""",
                (event["subject"], event["source"], event["sequence"], event["data"]["presence"]["in_meeting"]),
            )
    return "", 204


@app.get("/now")
def now():
    """All known users: true, false, or null for unknown."""
    with database() as db:
        rows = db.execute("SELECT subject, in_meeting FROM people ORDER BY subject").fetchall()
    return jsonify({subject: None if inside is None else bool(inside) for subject, inside in rows})


@app.get("/events")
def events():
    """What happened, in order."""
    with database() as db:
        rows = db.execute("SELECT sequence, type, id FROM events ORDER BY source, sequence").fetchall()
    return jsonify([{"sequence": sequence, "type": kind, "id": ident} for sequence, kind, ident in rows])
