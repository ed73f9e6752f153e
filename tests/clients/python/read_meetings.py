"""The official Python SDK gets a token and reads somebody's meetings, and the organisation's, from a simulator.

usage: read_meetings.py BASE_URL

Ends with 0 when every check holds; says each one. The simulator must play tests/clients/scene.toml, where Ann is in
a meeting from the first moment on, Ben has left it and Cleo never was in one.
"""

import sys
from urllib.parse import urlsplit

from alibabacloud_dingtalk.conference_1_0 import models as conference
from alibabacloud_dingtalk.conference_1_0.client import Client as ConferenceClient
from alibabacloud_dingtalk.oauth2_1_0 import models as oauth
from alibabacloud_dingtalk.oauth2_1_0.client import Client as OauthClient
from alibabacloud_tea_openapi.models import Config
from alibabacloud_tea_util.models import RuntimeOptions

MEETING = "654058f2411fe90147e68780"
ANN, BEN, CLEO = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE", "ben+/=iEiE", "cleo iEiE"
PATIENCE = RuntimeOptions(connect_timeout=10_000, read_timeout=10_000)


class Checks:
    """Counts what does not hold, and says so."""

    def __init__(self):
        self.failed = 0

    def same(self, what, got, expected):
        if got == expected:
            print(f"ok   {what}")
        else:
            self.failed += 1
            print(f"FAIL {what}: {got!r} instead of {expected!r}")

    def refused(self, what, expected_code, call):
        try:
            call()
        except Exception as error:  # the SDK has several kinds, all with `code`
            self.same(what, getattr(error, "code", None), expected_code)
        else:
            self.same(what, "no error", expected_code)


def settings(base_url):
    """The SDK's way to be told of another host: scheme and host apart, and a region so that it looks up none."""
    address = urlsplit(base_url)
    found = Config(protocol=address.scheme, endpoint=address.netloc)
    found.region_id = "central"
    return found


def tokens(client):
    """One token by each of the three calls, as (token, seconds)."""
    internal = client.get_access_token_with_options(
        oauth.GetAccessTokenRequest(app_key="app", app_secret="made-up"), {}, PATIENCE
    ).body
    unified = client.get_token_with_options(
        "dingcorp",
        oauth.GetTokenRequest(client_id="app", client_secret="made-up", grant_type="client_credentials"),
        {},
        PATIENCE,
    ).body
    suite = client.get_corp_access_token_with_options(
        oauth.GetCorpAccessTokenRequest(
            suite_key="app", suite_secret="made-up", auth_corp_id="dingcorp", suite_ticket="ticket"
        ),
        {},
        PATIENCE,
    ).body
    return {
        "internal": (internal.access_token, internal.expire_in),
        "unified": (unified.access_token, unified.expires_in),
        "suite": (suite.access_token, suite.expire_in),
    }


def organisation(checks, client, token):
    """The calls about meetings: which go on, who is in them, one, its members."""

    def told(call, headers, *request):
        headers.x_acs_dingtalk_access_token = token
        return getattr(client, f"query_{call}_with_options")(*request, headers, PATIENCE).body

    going_on = told(
        "org_conference_list",
        conference.QueryOrgConferenceListHeaders(),
        conference.QueryOrgConferenceListRequest(next_token="0", max_results=10),
    )
    listed = [(one.conference_id, one.status, one.biz_type) for one in going_on.on_going_conf_list]
    checks.same("the organisation has one meeting", listed, [(MEETING, 2, "0")])
    checks.same("on one page", (going_on.has_more, going_on.total_count, going_on.next_token), (False, 1, None))
    checks.same("Ann made it", going_on.on_going_conf_list[0].creator_id, ANN)

    batch = told(
        "conference_info_batch",
        conference.QueryConferenceInfoBatchHeaders(),
        conference.QueryConferenceInfoBatchRequest(conference_id_list=[MEETING, "no-such-meeting"]),
    )
    users = [(user.user_id, user.attend_status) for info in batch.infos for user in info.user_list]
    checks.same("the batch has its people", users, [(ANN, 3), (BEN, 6)])

    info = told("conference_info", conference.QueryConferenceInfoHeaders(), MEETING).conf_info
    checks.same("the meeting goes on", (info.conference_id, info.status, info.end_time), (MEETING, 2, None))
    checks.same("with one of two", (info.active_num, info.attend_num), (1, 2))

    members = told(
        "conference_members",
        conference.QueryConferenceMembersHeaders(),
        MEETING,
        conference.QueryConferenceMembersRequest(max_results=20),
    )
    found = {one.union_id: (one.attend_status, one.outer_org_member) for one in members.member_models}
    checks.same("its members", found, {ANN: (3, True), BEN: (6, None)})
    checks.same("how many", (members.total_count, members.next_token), (2, None))
    checks.refused(
        "a meeting nobody knows",
        "roomNotFound",
        lambda: told("conference_info", conference.QueryConferenceInfoHeaders(), "nowhere"),
    )


def main(base_url):
    checks = Checks()
    config = settings(base_url)
    oauth_client, client = OauthClient(config), ConferenceClient(config)

    def meetings(union_id, token):
        headers = conference.QueryUserOnGoingConferenceHeaders(x_acs_dingtalk_access_token=token)
        query = conference.QueryUserOnGoingConferenceRequest(union_id=union_id)
        return client.query_user_on_going_conference_with_options(query, headers, PATIENCE)

    found = tokens(oauth_client)
    for name, (_, seconds) in found.items():
        checks.same(f"the {name} token holds for two hours", seconds, 7200)
    again = tokens(oauth_client)
    checks.same("an internal token stays the same", again["internal"][0], found["internal"][0])
    checks.same("a unified token is new each time", again["unified"][0] == found["unified"][0], False)

    for name, (token, _) in found.items():
        answer = meetings(ANN, token)
        checks.same(f"Ann is found with the {name} token", answer.body.on_going_conf_id_list, [MEETING])
    headers = {name.lower(): value for name, value in answer.headers.items()}
    checks.same("the content type", headers["content-type"], "application/json;charset=utf-8")
    checks.same("a request id is there", len(headers["x-acs-request-id"]), 36)

    ann = answer.body.member_model_map[MEETING]
    checks.same("her unionId", ann.union_id, ANN)
    checks.same("her meeting", ann.conference_id, MEETING)
    checks.same("her name", ann.user_nick, "Ann 安")
    checks.same("she is inside", ann.attend_status, 3)
    checks.same("she is the host", (ann.host, ann.co_host), (True, False))
    checks.same("from outside, on no telephone", (ann.outer_org_member, ann.pstn_join), (True, False))
    checks.same("her device", ann.device_type, "Mac")
    checks.same("she has not left", (ann.leave_time, ann.duration), (None, None))
    checks.same("her join is in milliseconds", ann.join_time > 1_600_000_000_000, True)

    token = found["internal"][0]
    ben = meetings(BEN, token).body.member_model_map[MEETING]
    checks.same("Ben has left", (ben.attend_status, ben.duration), (6, ben.leave_time - ben.join_time))
    cleo = meetings(CLEO, token).body
    checks.same("Cleo has no meeting", (cleo.on_going_conf_id_list, cleo.member_model_map), ([], {}))

    organisation(checks, client, token)

    checks.refused("a bad token", "InvalidAuthentication", lambda: meetings(ANN, "nonsense"))
    checks.refused("a quoted token", "InvalidAuthentication", lambda: meetings(ANN, f'"{token}"'))
    checks.refused("an unknown person", "param.error", lambda: meetings("nobody", token))
    checks.refused("no person", "param.error", lambda: meetings("", token))
    checks.refused(
        "an empty secret",
        "invalidClientIdOrSecret",
        lambda: oauth_client.get_access_token_with_options(
            oauth.GetAccessTokenRequest(app_key="app", app_secret=""), {}, PATIENCE
        ),
    )
    return checks.failed


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(1 if main(sys.argv[1]) else 0)
