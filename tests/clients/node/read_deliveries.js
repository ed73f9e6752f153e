// The official Node.js libraries read what the daemon delivered: signatures and CloudEvents.
// Usage: node read_deliveries.js DELIVERIES.jsonl. Ends with 0 when every check holds.
"use strict";

const { readFileSync } = require("node:fs");
const { isDeepStrictEqual, inspect } = require("node:util");
const { HTTP } = require("cloudevents");
const { Webhook } = require("standardwebhooks");

const NEW = "whsec_bmV3IGtleSB3aXRoIHR3ZW50eS1mb3VyK2J5dGVz";
const OLD = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER = "whsec_c29tZWJvZHkgZWxzZSdzIGtleSwgMzAgYnl0ZXM=";
const NAMES = [
  "id", "source", "type", "specversion", "subject", "datacontenttype", "time",
  "timestamp", "recordedtime", "sequence", "partitionkey", "data",
];

let failed = 0;

function same(what, got, expected) {
  if (isDeepStrictEqual(got, expected)) {
    console.log(`ok   ${what}`);
  } else {
    failed += 1;
    console.log(`FAIL ${what}: ${inspect(got)} instead of ${inspect(expected)}`);
  }
}

function verifies(secret, { body, headers }) {
  try {
    return isDeepStrictEqual(new Webhook(secret).verify(body, headers), JSON.parse(body));
  } catch {
    return false;
  }
}

function main(file) {
  const deliveries = readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .map((delivery) => ({ ...delivery, body: Buffer.from(delivery.body, "base64").toString("utf8") }));

  const signed = deliveries.filter(({ headers }) => "webhook-signature" in headers);
  same("there are signed ones", signed.length > 0, true);
  for (const [name, secret, expected] of [["the new", NEW, true], ["the old", OLD, true], ["another", OTHER, false]]) {
    const wrong = signed.filter((delivery) => verifies(secret, delivery) !== expected);
    same(`${signed.length} with ${name} secret verify: ${expected}`, wrong, []);
  }
  const changed = signed.map((delivery) => ({ ...delivery, body: `${delivery.body} ` }));
  same("not with other bytes", changed.filter((delivery) => verifies(NEW, delivery)), []);

  for (const path of ["/standard", "/cloudevents"]) {
    const mine = deliveries.filter((delivery) => delivery.path === path);
    const wrong = mine.filter(({ body, headers }) => {
      const announced = { ...headers, "content-type": "application/cloudevents+json" };
      const event = HTTP.toEvent({ headers: announced, body });
      const expected = JSON.parse(body);
      event.validate();
      return !NAMES.every((name) => isDeepStrictEqual(event[name], expected[name]));
    });
    same(`${mine.length} CloudEvents at ${path}`, mine.length > 0 && wrong.length === 0, true);
  }
  const announced = deliveries.filter(({ path }) => path === "/cloudevents");
  same("they are announced as such", announced.every((delivery) => HTTP.isEvent(delivery)), true);
  return failed;
}

process.exit(main(process.argv[2]) === 0 ? 0 : 1);
