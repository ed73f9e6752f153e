// The official Node.js SDK gets a token and reads somebody's meetings from a simulator that plays
// tests/clients/scene.toml. Usage: node read_meetings.js BASE_URL. Ends with 0 when every check holds.
"use strict";

const { isDeepStrictEqual, inspect } = require("node:util");
const conference = require("@alicloud/dingtalk/conference_1_0");
const oauth = require("@alicloud/dingtalk/oauth2_1_0");
const { Config } = require("@alicloud/openapi-client");
const { RuntimeOptions } = require("@alicloud/tea-util");

const MEETING = "654058f2411fe90147e68780";
const [ANN, BEN, CLEO] = ["2iPOLbpUNMLzB5LuwggiiqiPwiEiE", "ben+/=iEiE", "cleo iEiE"];
const PATIENCE = new RuntimeOptions({ connectTimeout: 10_000, readTimeout: 10_000 });

let failed = 0;

function same(what, got, expected) {
  if (isDeepStrictEqual(got, expected)) {
    console.log(`ok   ${what}`);
  } else {
    failed += 1;
    console.log(`FAIL ${what}: ${inspect(got)} instead of ${inspect(expected)}`);
  }
}

async function refused(what, expectedCode, call) {
  let code = "no error";
  try {
    await call();
  } catch (error) {
    code = error.code;
  }
  same(what, code, expectedCode);
}

async function main(baseUrl) {
  const address = new URL(baseUrl);
  const config = new Config({ protocol: address.protocol.replace(":", ""), regionId: "central" });
  config.endpoint = address.host;
  const oauthClient = new oauth.default(config);
  const client = new conference.default(config);

  const internalToken = async (appSecret) =>
    (
      await oauthClient.getAccessTokenWithOptions(
        new oauth.GetAccessTokenRequest({ appKey: "app", appSecret }),
        {},
        PATIENCE,
      )
    ).body;
  const unifiedToken = async () =>
    (
      await oauthClient.getTokenWithOptions(
        "dingcorp",
        new oauth.GetTokenRequest({
          clientId: "app",
          clientSecret: "made-up",
          grantType: "client_credentials",
        }),
        {},
        PATIENCE,
      )
    ).body;
  const meetings = (unionId, token) =>
    client.queryUserOnGoingConferenceWithOptions(
      new conference.QueryUserOnGoingConferenceRequest({ unionId }),
      new conference.QueryUserOnGoingConferenceHeaders({ xAcsDingtalkAccessToken: token }),
      PATIENCE,
    );

  const internal = await internalToken("made-up");
  same("the internal token holds for two hours", internal.expireIn, 7200);
  same("it stays the same", (await internalToken("made-up")).accessToken, internal.accessToken);
  const unified = await unifiedToken();
  same("the unified token holds for two hours", unified.expiresIn, 7200);
  same("it is new each time", (await unifiedToken()).accessToken === unified.accessToken, false);

  const answer = await meetings(ANN, internal.accessToken);
  same("Ann is found", answer.body.onGoingConfIdList, [MEETING]);
  same("also with the unified token", (await meetings(ANN, unified.accessToken)).body.onGoingConfIdList, [MEETING]);
  same("the content type", answer.headers["content-type"], "application/json;charset=utf-8");
  same("a request id is there", answer.headers["x-acs-request-id"].length, 36);

  const ann = answer.body.memberModelMap[MEETING];
  same("her unionId", ann.unionId, ANN);
  same("her meeting", ann.conferenceId, MEETING);
  same("her name", ann.userNick, "Ann 安");
  same("she is inside", ann.attendStatus, 3);
  same("she is the host", [ann.host, ann.coHost], [true, false]);
  same("from outside, on no telephone", [ann.outerOrgMember, ann.pstnJoin], [true, false]);
  same("her device", ann.deviceType, "Mac");
  same("she has not left", [ann.leaveTime, ann.duration], [undefined, undefined]);
  same("her join is in milliseconds", ann.joinTime > 1_600_000_000_000, true);

  const ben = (await meetings(BEN, internal.accessToken)).body.memberModelMap[MEETING];
  same("Ben has left", [ben.attendStatus, ben.duration], [6, ben.leaveTime - ben.joinTime]);
  const cleo = (await meetings(CLEO, internal.accessToken)).body;
  same("Cleo has no meeting", [cleo.onGoingConfIdList, cleo.memberModelMap], [[], {}]);

  await refused("a bad token", "InvalidAuthentication", () => meetings(ANN, "nonsense"));
  await refused("a quoted token", "InvalidAuthentication", () => meetings(ANN, `"${internal.accessToken}"`));
  await refused("an unknown person", "param.error", () => meetings("nobody", internal.accessToken));
  await refused("an empty secret", "invalidClientIdOrSecret", () => internalToken(""));
}

main(process.argv[2]).then(
  () => process.exit(failed === 0 ? 0 : 1),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
