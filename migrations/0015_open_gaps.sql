-- A gap that goes on has the reason that the daemon itself gives for it, instead of one that is deduced from when users were
-- polled last: v_gaps says what `presenced status` says, and v_webhooks says the same of deliveries.

CREATE TABLE open_gaps (
  -- Why users are not polled at this moment. A row is removed when polling resumes; what is over stands in gaps.
  gap_id        INTEGER PRIMARY KEY,                   -- in the order they were noticed
  org           TEXT    NOT NULL,                      -- organisation
  person_id     INTEGER REFERENCES people (person_id) ON DELETE CASCADE,  -- NULL: everybody of the organisation
  from_ms       INTEGER NOT NULL,                      -- the last good poll before it
  why           TEXT    NOT NULL CHECK (why IN (       -- the words of gaps.why that can go on
    'disk full', 'budget', 'throttled', 'banned', 'auth', 'upstream', 'failed', 'late')),
  error         TEXT,                                  -- class of the error behind it, where there is one
  from_at       ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', from_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
CREATE UNIQUE INDEX open_gaps_by_person ON open_gaps (org, coalesce(person_id, 0));
CREATE INDEX open_gaps_of_person ON open_gaps (person_id);

DROP VIEW v_gaps;
CREATE VIEW v_gaps AS
  -- Time without polls: what happened then is not known. who is empty when it was the whole organisation.
  -- to_at is empty while it goes on. error: the class of the failure behind it, where there was one.
  SELECT
    p.name                                                        AS who,
    g.org                                                         AS org,
    g.from_at                                                     AS from_at,
    g.to_at                                                       AS to_at,
    round((g.to_ms - g.from_ms) / 60000.0, 1)                     AS minutes,
    g.why                                                         AS why,
    g.error                                                       AS error,
    p.union_id                                                    AS union_id,
    g.from_ms                                                     AS from_ms,
    g.to_ms                                                       AS to_ms
  FROM gaps AS g LEFT JOIN people AS p USING (person_id)
  UNION ALL
  -- Only minutes of a gap that goes on is an age and grows with the reader's clock.
  SELECT
    p.name,
    o.org,
    o.from_at,
    NULL,
    round(max(0, unixepoch('now') * 1000 - o.from_ms) / 60000.0, 1),
    o.why,
    o.error,
    p.union_id,
    o.from_ms,
    NULL
  FROM open_gaps AS o LEFT JOIN people AS p USING (person_id);

CREATE VIEW v_webhooks AS
  -- Webhooks that anything was ever for. blocked is empty while all that waits is sent as it comes; else it is the state, or
  -- 'refusing' (accepts nothing), or 'retrying' (a user's events wait after a failed attempt; those of others are sent).
  SELECT
    k.webhook                                                     AS webhook,
    coalesce(w.state, 'up')                                       AS state,
    CASE WHEN w.state <> 'up' THEN w.state WHEN w.reason IS NOT NULL THEN 'refusing'
      WHEN r.ready_ms IS NOT NULL THEN 'retrying' END             AS blocked,
    coalesce(w.reason, (SELECT d.last_error FROM deliveries AS d
      WHERE d.webhook = k.webhook AND d.person_id = r.person_id AND d.org = r.org AND d.state = 'pending'
      ORDER BY (d.trigger <> 'event'), d.sequence LIMIT 1))       AS reason,
    (SELECT count(*) FROM deliveries AS d WHERE d.webhook = k.webhook AND d.state = 'pending') AS waiting,
    strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(w.probe_ms, r.ready_ms) / 1000.0, 'unixepoch') AS next_at,
    w.down_since_at                                               AS down_since_at,
    coalesce(w.probe_ms, r.ready_ms)                              AS next_ms,
    w.down_since_ms                                               AS down_since_ms
  FROM (SELECT webhook FROM webhooks UNION SELECT webhook FROM lanes) AS k
  LEFT JOIN webhooks AS w USING (webhook)
  LEFT JOIN (SELECT webhook, min(ready_ms) AS ready_ms, person_id, org FROM lanes
    WHERE lease_ms IS NULL AND ready_ms > unixepoch('now') * 1000 GROUP BY webhook) AS r USING (webhook);

PRAGMA user_version = 15;
