"""64 readers of the stream, one of which stops to read: polls and deliveries go on as before.

What it guards: a reader more than 64 is refused; the stopped one holds nobody up; `Last-Event-ID` misses nothing.
"""

import json
import socket
import sys
import threading
import time

from daemon import TOKEN, Daemon

READERS = 64


def request(daemon, more=""):
    host = daemon.base.removeprefix("http://")
    name, port = host.split(":")
    stream = socket.create_connection((name, int(port)), timeout=60)
    stream.sendall(f"GET /api/v1/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n".encode())
    return stream


def read(stream, into):
    try:
        for line in stream.makefile():
            if line.startswith("id: "):
                into.append((time.time(), int(line[4:])))
    except (OSError, ValueError):
        pass  # The daemon stopped.


def begin(stream, end):
    """The answer up to a sign."""
    answer = b""
    while end not in answer and (part := stream.recv(1000)):
        answer += part
    return answer.decode()


def delays(daemon, since, until):
    """Seconds from the record of an event to its delivery."""
    found = []
    for at, body in list(daemon.receiver.bodies):
        if since <= at < until and body["type"].startswith("meeting."):
            recorded = __import__("datetime").datetime.fromisoformat(body["recordedtime"].replace("Z", "+00:00"))
            found.append(at - recorded.timestamp())
    return sorted(found)


def polls(daemon):
    return daemon.json("/api/v1/budget")["budget"][0]["used"]


with Daemon(sys.argv[1], speed=4.0) as daemon:
    daemon.until(lambda: daemon.json("/api/v1/now")["counts"]["inside"] >= 1, "no user is inside")
    span = 15
    began, first = time.time(), polls(daemon)
    time.sleep(span)
    alone, alone_polls = delays(daemon, began, began + span), polls(daemon) - first

    seen = [[] for _ in range(READERS - 1)]
    streams = [request(daemon) for _ in range(READERS)]
    for stream, into in zip(streams, seen):
        threading.Thread(target=read, args=(stream, into), daemon=True).start()
    # The last one is opened and never read.
    time.sleep(1)
    refused = begin(request(daemon), b"}")
    assert " 503 " in refused and "too_many_readers" in refused, refused

    began, first = time.time(), polls(daemon)
    time.sleep(span)
    crowded, crowded_polls = delays(daemon, began, began + span), polls(daemon) - first
    print(f"polls in {span} s: {alone_polls} alone, {crowded_polls} with {READERS} readers; "
          f"deliveries: {len(alone)} and {len(crowded)}, the slowest {max(alone):.3f} and {max(crowded):.3f} s")
    assert crowded_polls >= 0.8 * alone_polls, (alone_polls, crowded_polls)
    assert crowded and max(crowded) < 2 * max(alone) + 0.5, (alone, crowded)
    ids = [[id for _, id in into] for into in seen]
    assert all(one == sorted(set(one)) and one for one in ids), "ids repeat, or are not in order"
    assert len({tuple(one[-3:]) for one in ids}) <= 2, "readers differ"

    for stream in streams:
        stream.close()
    start = ids[0][0]
    daemon.until(lambda: " 200 " in begin(request(daemon), b"\r\n"), "a free place is not given to the next reader")
    again = []
    threading.Thread(target=read, args=(request(daemon, f"Last-Event-ID: {start}\r\n"), again), daemon=True).start()
    daemon.until(lambda: len(again) >= len(ids[0]) - 1, "the events after the last one do not come")
    wanted = [event["sequence"] for event in daemon.json(f"/api/v1/events?after={start}&limit=1000")["events"]]
    got = [id for _, id in again]
    assert got == [int(sequence) for sequence in wanted][:len(got)], (got, wanted)
    print(f"{len(got)} events after Last-Event-ID, none missing")
