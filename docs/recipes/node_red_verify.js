// Outputs: 1 verified, 2 refused. Setup tab: module `crypto` as `crypto`. The http-in node skips body parsing.
// While a secret is being changed, put both into PRESENCED_SECRETS, separated by a space.
const headers = msg.req.headers;
const id = headers["webhook-id"] || "";
const timestamp = headers["webhook-timestamp"] || "";
const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), msg.payload]);

function matches(secret) {
    const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
    const mine = Buffer.from("v1," + crypto.createHmac("sha256", key).update(signed).digest("base64"));
    return (headers["webhook-signature"] || "").split(" ").some((text) => {
        const theirs = Buffer.from(text);
        return theirs.length === mine.length && crypto.timingSafeEqual(theirs, mine);
    });
}

const fresh = Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300;
if (!fresh || !env.get("PRESENCED_SECRETS").split(/\s+/).some(matches)) {
    return [null, msg];
}
msg.payload = JSON.parse(msg.payload.toString("utf8"));
return [msg, null];
