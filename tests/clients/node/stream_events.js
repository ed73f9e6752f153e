// The official Node.js stream client is pushed events by a simulator that plays tests/clients/push.toml, and survives all
// ways to lose its connection. Usage: node stream_events.js BASE_URL. Ends with 0 when every check holds.
"use strict";

const { isDeepStrictEqual, inspect } = require("node:util");
const axios = require("axios");
const { DWClient, EventAck } = require("dingtalk-stream");

const ANN = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE";
const PATIENCE_MS = 60_000;

let failed = 0;

function same(what, got, expected) {
  if (isDeepStrictEqual(got, expected)) {
    console.log(`ok   ${what}`);
  } else {
    failed += 1;
    console.log(`FAIL ${what}: ${inspect(got)} instead of ${inspect(expected)}`);
  }
}

// Asks again until `look` gives something.
async function until(what, look) {
  for (let waited = 0; waited < PATIENCE_MS; waited += 200) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`waited in vain: ${what}`);
}

async function main(baseUrl) {
  // The client's address is a constant.
  axios.interceptors.request.use((config) => {
    config.url = config.url.replace("https://api.dingtalk.com", baseUrl);
    config.proxy = false;
    return config;
  });
  const control = async (path, body = "") => {
    const answer = await fetch(`${baseUrl}/_simulator/${path}`, { method: "POST", body });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  };
  const counts = async () => (await fetch(`${baseUrl}/_simulator/counts`)).json();
  const before = await counts();
  const grown = async (of, name) => ((await counts())[of][name] ?? 0) - (before[of][name] ?? 0);
  const connected = (times) => until(`connection ${times}`, async () => (await grown("push", "connected")) >= times);

  const events = [];
  let refused;
  const client = new DWClient({ clientId: "node", clientSecret: "made-up", keepAlive: true });
  client.registerAllEventListener((message) => {
    events.push({ headers: message.headers, data: JSON.parse(message.data) });
    if (refused === undefined && message.headers.eventType === "meeting_status_change") {
      refused = message.headers.messageId;
      return { status: EventAck.LATER };
    }
    return { status: EventAck.SUCCESS };
  });
  const event = (what, wanted, after = 0) => until(what, () => events.slice(after).find(wanted));
  const scene = (name) => event(name, ({ data }) => data.changeScene === name);
  client.connect();

  await connected(1);
  await control("push/suite-ticket");
  const ticket = await event("a suite ticket", ({ headers }) => headers.eventType === "suite_ticket");
  same("a suite ticket comes", ticket.data.suiteTicket.startsWith("suite"), true);
  same("it names its organisation", ticket.headers.eventCorpId, "dingsimulator");

  await scene("conference_created");
  same("Ann joins", (await scene("user_join")).data.openMemberModels[0].userId, ANN);
  await scene("conference_closed");
  const repeated = () => events.filter(({ headers }) => headers.messageId === refused).length > 1;
  same("an event that is to come later comes again", await until("a repeat", repeated), true);
  await until("acks", async () => (await grown("push", "acked")) >= 3);
  await until("pings", async () => (await grown("push", "system_answered")) >= 1);

  let connections = 1;
  for (const [what, fault] of [["disconnect"], ["abort"], ["disconnect", "auth_failed"]]) {
    if (fault) await control("faults", `[[fault]]\nkind = "${fault}"\ntimes = 1\n`);
    await control(`push/${what}`);
    connections += 1;
    await connected(connections);
    const seen = events.length;
    await event("another event", ({ headers }) => headers.eventType !== "suite_ticket", seen);
    same(`events come again after ${what} ${fault ?? ""}`.trim(), true, true);
  }
  same("the refused secret was one attempt", await grown("refusals", "auth_failed"), 1);
  client.disconnect();
}

main(process.argv[2]).then(
  () => process.exit(failed === 0 ? 0 : 1),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
