"""The official libraries read what the daemon delivered: signatures, CloudEvents, JSON Schemas.

usage: read_deliveries.py DELIVERIES.jsonl

Verifies each request with the old and with the new secret (`standardwebhooks`), parses each as a CloudEvent
(`cloudevents`), and validates each body, and every sample under src/presence/tests, against docs/events (`jsonschema`).
"""

import base64
import copy
import json
import sys
from pathlib import Path

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from jsonschema import Draft202012Validator, FormatChecker
from standardwebhooks import Webhook, WebhookVerificationError

from deliver import NEW, OLD, Checks

ROOT = Path(__file__).resolve().parents[3]
OTHER = "whsec_c29tZWJvZHkgZWxzZSdzIGtleSwgMzAgYnl0ZXM="
ATTRIBUTES = ["id", "source", "type", "specversion", "subject", "datacontenttype"]
EXTENSIONS = ["timestamp", "recordedtime", "sequence", "partitionkey"]


def load(file):
    for line in Path(file).read_text().splitlines():
        delivery = json.loads(line)
        yield {**delivery, "body": base64.b64decode(delivery["body"])}


def verifies(secret, delivery):
    try:
        return Webhook(secret).verify(delivery["body"], delivery["headers"]) == json.loads(delivery["body"])
    except WebhookVerificationError:
        return False


def check_signatures(checks, deliveries):
    signed = [delivery for delivery in deliveries if "webhook-signature" in delivery["headers"]]
    tokens = {len(delivery["headers"]["webhook-signature"].split(" ")) for delivery in signed}
    checks.same("each has two signatures", tokens, {2})
    for name, secret, expected in [("the new", NEW, True), ("the old", OLD, True), ("another", OTHER, False)]:
        checks.same(f"{len(signed)} with {name} secret verify: {expected}",
                    {verifies(secret, delivery) for delivery in signed}, {expected})  # fmt: skip
    changed = [{**delivery, "body": delivery["body"] + b" "} for delivery in signed]
    checks.same("not with other bytes", {verifies(NEW, delivery) for delivery in changed}, {False})


def check_cloudevents(checks, deliveries):
    for path, content_type in [("/standard", "application/json"), ("/cloudevents", "application/cloudevents+json")]:
        mine = [delivery for delivery in deliveries if delivery["path"] == path]
        checks.same(f"{path} has its content type", {d["headers"]["content-type"] for d in mine}, {content_type})
        wrong = []
        for delivery in mine:
            body = json.loads(delivery["body"])
            # A structured event is announced by its content type; the standard format holds the same body.
            headers = {"content-type": "application/cloudevents+json"}
            event = from_http_event(HTTPMessage(headers=headers, body=delivery["body"]))
            found = {name: event.get_attributes()[name] for name in ATTRIBUTES}
            found.update({name: event.get_extension(name) for name in EXTENSIONS})
            same_time = event.get_time().isoformat(timespec="milliseconds").replace("+00:00", "Z") == body["time"]
            if found != {name: body[name] for name in found} or event.get_data() != body["data"] or not same_time:
                wrong.append(body["id"])
        checks.same(f"{len(mine)} CloudEvents at {path}", wrong, [])
    bodies = [{d["headers"]["webhook-id"]: d["body"] for d in deliveries if d["path"] == path}
              for path in ("/standard", "/cloudevents")]  # fmt: skip
    checks.same("both formats have the same bytes", bodies[0] == bodies[1], True)


def closed(schema):
    """The schema with members that are not named forbidden: what is sent must be documented."""
    schema = copy.deepcopy(schema)
    stack = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if "properties" in node:
                node.setdefault("additionalProperties", False)
            if node.get("type") == "string" and "examples" in node:
                node["enum"] = node["examples"]
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return schema


def check_schemas(checks, deliveries):
    validators = {}
    for file in sorted((ROOT / "docs" / "events").glob("*.schema.json")):
        schema = json.loads(file.read_text())
        Draft202012Validator.check_schema(schema)
        for strict in (schema, closed(schema)):
            validator = Draft202012Validator(strict, format_checker=FormatChecker())
            validators.setdefault(schema["title"], []).append(validator)
    samples = [
        json.loads(file.read_text().split("\n---\n", 1)[1])
        for file in sorted((ROOT / "src" / "presence" / "tests" / "snapshots").glob("*.snap"))
    ]
    checks.same("there is a sample of every schema", {sample["type"] for sample in samples}, set(validators))
    for name, events in [("samples", samples), ("deliveries", [json.loads(d["body"]) for d in deliveries])]:
        wrong = [
            f"{event['type']} {error.json_path}: {error.message}"
            for event in events
            for validator in validators[event["type"]]
            for error in validator.iter_errors(event)
        ]
        checks.same(f"{len(events)} {name} fit their schemas", wrong, [])
    # A validator that accepts anything would be no check.
    sample = next(sample for sample in samples if sample["type"] == "meeting.participant_joined")
    for path, value in [(["data", "visit", "ordinal"], 0), (["sequence"], "1"), (["time"], "yesterday"),
                        (["data", "presence"], None), (["data", "v"], 2)]:  # fmt: skip
        bad = copy.deepcopy(sample)
        place = bad
        for member in path[:-1]:
            place = place[member]
        place[path[-1]] = value
        checks.same(f"{'.'.join(path)} = {value!r} fits no schema", validators[sample["type"]][0].is_valid(bad), False)


def main(file):
    checks, deliveries = Checks(), list(load(file))
    check_signatures(checks, deliveries)
    check_cloudevents(checks, deliveries)
    check_schemas(checks, deliveries)
    return checks.failed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(1 if main(sys.argv[1]) else 0)
