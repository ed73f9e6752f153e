"""The official Python stream client is pushed events by a simulator, and survives all ways to lose its connection.

usage: DINGTALK_OPENAPI_ENDPOINT=BASE_URL stream_events.py BASE_URL

Ends with 0 when every check holds; says each one. The simulator must play tests/clients/push.toml. The client waits ten
seconds after a failure, so this takes about a minute.
"""

import asyncio
import logging
import os
import sys

import dingtalk_stream
import requests

ANN = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE"
PATIENCE = 60


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


class Events(dingtalk_stream.EventHandler):
    """Keeps what comes, and refuses the first event about a meeting once."""

    def __init__(self):
        super().__init__()
        self.all = []
        self.came = asyncio.Condition()
        self.refused = None

    async def process(self, event):
        async with self.came:
            self.all.append(event)
            self.came.notify_all()
        if self.refused is None and event.headers.event_type == "meeting_status_change":
            self.refused = event.headers.message_id
            return dingtalk_stream.AckMessage.STATUS_SYSTEM_EXCEPTION, "not now"
        return dingtalk_stream.AckMessage.STATUS_OK, "OK"

    async def wait(self, wanted, after=0):
        """The first event after so many for which `wanted` holds."""

        def find():
            return next((event for event in self.all[after:] if wanted(event)), None)

        async with self.came:
            await asyncio.wait_for(self.came.wait_for(lambda: find() is not None), PATIENCE)
            return find()


class Simulator:
    """Its control API."""

    def __init__(self, base_url):
        self.base_url = base_url

    async def post(self, path, body=""):
        answer = await asyncio.to_thread(requests.post, f"{self.base_url}/_simulator/{path}", data=body, timeout=10)
        answer.raise_for_status()

    async def counts(self):
        answer = await asyncio.to_thread(requests.get, f"{self.base_url}/_simulator/counts", timeout=10)
        return answer.json()

    async def until(self, what, holds):
        """Asks again until the counts are as wanted."""

        async def ask():
            while not holds(await self.counts()):
                await asyncio.sleep(0.2)

        try:
            await asyncio.wait_for(ask(), PATIENCE)
        except asyncio.TimeoutError:
            sys.exit(f"waited in vain: {what}: {await self.counts()}")


async def main(base_url):
    checks, events, simulator = Checks(), Events(), Simulator(base_url)
    before = await simulator.counts()
    client = dingtalk_stream.DingTalkStreamClient(dingtalk_stream.Credential("python", "made-up"))
    client.logger.setLevel(logging.CRITICAL)
    # It would ask the routing table for the way to an address in the internet.
    client.get_host_ip = lambda: "127.0.0.1"
    client.register_all_event_handler(events)
    # Kept, so that it is not collected.
    running = asyncio.create_task(client.start())

    async def connected(times):
        await simulator.until(
            f"connection {times}",
            lambda counts: counts["push"].get("connected", 0) - before["push"].get("connected", 0) >= times,
        )

    await connected(1)
    await simulator.post("push/suite-ticket")
    ticket = await events.wait(lambda event: event.headers.event_type == "suite_ticket")
    checks.same("a suite ticket comes", ticket.data["suiteTicket"].startswith("suite"), True)
    checks.same("it names its organisation", ticket.headers.event_corp_id, "dingsimulator")

    created = await events.wait(lambda event: event.data.get("changeScene") == "conference_created")
    meeting = created.data["openConfModel"]["conferenceId"]
    joined = await events.wait(lambda event: event.data.get("changeScene") == "user_join")
    checks.same("Ann joins", joined.data["openMemberModels"][0]["userId"], ANN)
    closed = await events.wait(
        lambda event: event.data.get("changeScene") == "conference_closed"
        and event.data["openConfModel"]["conferenceId"] == meeting
    )
    numbers = [event.data["statusSeqNum"] for event in (created, joined, closed)]
    checks.same("the events of a meeting are numbered in order", numbers, sorted(numbers))
    again = await events.wait(
        lambda event: event.headers.message_id == events.refused,
        1 + [event.headers.message_id for event in events.all].index(events.refused),
    )
    checks.same("a refused event comes again", again.headers.message_id, events.refused)
    await simulator.until("acks", lambda counts: counts["push"].get("acked", 0) >= 3)
    await simulator.until("pings", lambda counts: counts["push"].get("system_answered", 0) >= 1)

    for number, (what, faults) in enumerate((("disconnect", ""), ("abort", ""), ("disconnect", "auth_failed"))):
        if faults:
            await simulator.post("faults", f'[[fault]]\nkind = "{faults}"\ntimes = 1\n')
        await simulator.post(f"push/{what}")
        await connected(number + 2)
        seen = len(events.all)
        await events.wait(lambda event: event.headers.event_type != "suite_ticket", seen)
        checks.same(f"events come again after {what} {faults}".strip(), True, True)
    counts = await simulator.counts()
    attempts = counts["refusals"].get("auth_failed", 0) - before["refusals"].get("auth_failed", 0)
    checks.same("the refused secret was one attempt", attempts, 1)
    checks.same("the client goes on", running.done(), False)
    # The client takes a cancelled task for a lost connection and goes on, so the event loop would never end.
    sys.stdout.flush()
    os._exit(1 if checks.failed else 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
