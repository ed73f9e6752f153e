"""The script many have instead of a daemon: the official SDK in a loop, everybody in turn, at an even rate.

usage: sdk.py HOST:PORT USERS RATE (runs until killed)

What it keeps of an answer is whether the person is in a meeting, in memory: no history, no webhook, no budget.
"""

import sys
import time

from alibabacloud_dingtalk.conference_1_0 import models
from alibabacloud_dingtalk.conference_1_0.client import Client
from alibabacloud_tea_openapi.models import Config
from alibabacloud_tea_util.models import RuntimeOptions


def main() -> None:
    address, users, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    config = Config(protocol="http")
    config.endpoint = address
    client, runtime = Client(config), RuntimeOptions()
    headers = models.QueryUserOnGoingConferenceHeaders(x_acs_dingtalk_access_token="bench-token")
    inside: dict[str, bool] = {}
    begin, calls = time.monotonic(), 0
    while True:
        union_id = f"bench{calls % users:0>20}iEiE"
        request = models.QueryUserOnGoingConferenceRequest(union_id=union_id)
        answer = client.query_user_on_going_conference_with_options(request, headers, runtime)
        now_inside = bool(answer.body.on_going_conf_id_list)
        if inside.get(union_id) != now_inside:
            inside[union_id] = now_inside
        calls += 1
        time.sleep(max(0.0, begin + calls / rate - time.monotonic()))


main()
