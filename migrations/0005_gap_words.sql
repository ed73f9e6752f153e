-- The words for why nobody looked are fixed, and a gap that still goes on is shown as one.

DROP VIEW v_gaps;

CREATE TABLE gaps_new (
  -- When nobody looked, and why. A gap is written when it ends (a closed window when it closes, with the time of its
  -- opening); v_gaps also shows those that go on.
  gap_id        INTEGER PRIMARY KEY,                   -- in the order they were noted
  org           TEXT    NOT NULL,                      -- organisation
  person_id     INTEGER REFERENCES people (person_id) ON DELETE CASCADE,  -- NULL: everybody of the organisation
  from_ms       INTEGER NOT NULL,                      -- the last look before it
  to_ms         INTEGER NOT NULL CHECK (to_ms >= from_ms), -- the first look after it, or the window's opening
  why           TEXT    NOT NULL CHECK (why IN (       -- 'window closed', 'blackout': not meant to look; else nobody could
    'window closed', 'blackout',
    'restart',                                         -- the daemon was down
    'disk full',                                       -- what was seen could not have been written down
    'budget',                                          -- the month's calls were spent
    'throttled', 'banned', 'auth', 'upstream',         -- told to wait; address banned; credentials; DingTalk ill or unreachable
    'failed',                                          -- looks at this person failed, others did not
    'late')),                                          -- looks came too late: the machine slept, or had too much to do
  error         TEXT,                                  -- class of the error behind it, where there was one
  from_at       TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', from_ms / 1000.0, 'unixepoch')) VIRTUAL,
  to_at         TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', to_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
INSERT INTO gaps_new (gap_id, org, person_id, from_ms, to_ms, why)
  SELECT gap_id, org, person_id, from_ms, to_ms,
    CASE WHEN why IN ('window closed', 'blackout', 'restart', 'disk full', 'throttled') THEN why ELSE 'upstream' END
  FROM gaps;
DROP TABLE gaps;
ALTER TABLE gaps_new RENAME TO gaps;
CREATE INDEX gaps_by_person ON gaps (person_id, from_ms);
CREATE INDEX gaps_by_time ON gaps (from_ms);

CREATE VIEW v_gaps AS
  -- When nobody looked: what happened then is not known. who is empty when it was the whole organisation.
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
  -- Going on: the last look failed, or the next is overdue; while that is so of everybody, once for the organisation.
  SELECT
    CASE WHEN o.all_blind THEN NULL ELSE b.name END,
    b.org,
    strftime('%Y-%m-%dT%H:%M:%fZ', b.last_ok_ms / 1000.0, 'unixepoch'),
    NULL,
    round((unixepoch('now') * 1000 - b.last_ok_ms) / 60000.0, 1),
    CASE WHEN NOT b.failing THEN 'late' WHEN o.all_blind THEN 'upstream' ELSE 'failed' END,
    CASE WHEN b.failing THEN (SELECT e.class FROM poll_errors AS e WHERE e.person_id = b.person_id ORDER BY e.hour_ms DESC LIMIT 1) END,
    CASE WHEN o.all_blind THEN NULL ELSE b.union_id END,
    b.last_ok_ms,
    NULL
  FROM (
    SELECT person_id, org, name, union_id, last_ok_ms, coalesce(last_error_ms > last_ok_ms, 0) AS failing
    FROM people
    WHERE watched = 1 AND last_ok_ms < (unixepoch('now') - 300) * 1000
      AND (last_error_ms > last_ok_ms OR next_poll_ms < (unixepoch('now') - 300) * 1000)
  ) AS b
  JOIN (
    SELECT org, max(last_ok_ms) AS newest_ms,
      min(CASE WHEN last_ok_ms IS NULL THEN 1 ELSE last_ok_ms < (unixepoch('now') - 300) * 1000
        AND (coalesce(last_error_ms > last_ok_ms, 0) OR coalesce(next_poll_ms < (unixepoch('now') - 300) * 1000, 0)) END) AS all_blind
    FROM people WHERE watched = 1 GROUP BY org
  ) AS o USING (org)
  WHERE NOT o.all_blind OR b.person_id = (SELECT x.person_id FROM people AS x
    WHERE x.org = b.org AND x.watched = 1 AND x.last_ok_ms = o.newest_ms LIMIT 1);

DROP VIEW v_meetings;
CREATE VIEW v_meetings AS
  -- Meetings as far as watched people were in them. last_leave_at is empty while somebody is still in.
  -- Each meeting is its first visit, so that asking for some of them looks at these only.
  SELECT
    m.meeting                                                     AS meeting,
    m.first_join_at                                               AS first_join_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', m.last_leave_ms / 1000.0, 'unixepoch') AS last_leave_at,
    m.watched_people                                              AS watched_people,
    round((coalesce(m.last_leave_ms, unixepoch('now') * 1000) - m.first_join_ms) / 60000.0, 1) AS span_minutes,
    m.still_in                                                    AS still_in,
    m.org                                                         AS org,
    m.first_join_local                                            AS first_join_local,
    CASE WHEN m.last_leave_ms IS NOT NULL THEN m.last_leave_local END AS last_leave_local,
    m.first_join_ms                                               AS first_join_ms,
    m.last_leave_ms                                               AS last_leave_ms
  FROM (
    SELECT
      f.conference_id                                             AS meeting,
      f.org                                                       AS org,
      f.joined_ms                                                 AS first_join_ms,
      f.joined_at                                                 AS first_join_at,
      f.joined_local                                              AS first_join_local,
      (SELECT v.left_local FROM visits AS v
        WHERE v.conference_id = f.conference_id AND v.org = f.org ORDER BY v.left_ms DESC LIMIT 1) AS last_leave_local,
      (SELECT CASE WHEN count(*) = count(v.left_ms) THEN max(v.left_ms) END FROM visits AS v
        WHERE v.conference_id = f.conference_id AND v.org = f.org) AS last_leave_ms,
      (SELECT count(DISTINCT v.person_id) FROM visits AS v
        WHERE v.conference_id = f.conference_id AND v.org = f.org) AS watched_people,
      (SELECT count(DISTINCT v.person_id) FROM visits AS v
        WHERE v.conference_id = f.conference_id AND v.org = f.org AND v.left_ms IS NULL) AS still_in
    FROM visits AS f
    WHERE NOT EXISTS (SELECT 1 FROM visits AS v WHERE v.conference_id = f.conference_id AND v.org = f.org
      AND (v.joined_ms, v.visit_id) < (f.joined_ms, f.visit_id))
  ) AS m;

-- The answers fit a terminal of 80 columns.
UPDATE example_queries SET sql =
  'SELECT who, substr(joined_local, 12, 5) AS since, minutes, role, checked_s_ago, meeting FROM v_now ORDER BY joined_ms'
WHERE name = 'now';
UPDATE example_queries SET sql =
  'SELECT who, substr(joined_local, 12, 5) AS joined, substr(left_local, 12, 5) AS left, minutes, left_reason, meeting
FROM v_visits WHERE joined_ms > (SELECT max(joined_ms) - 2 * 86400000 FROM visits)
  AND day_local = (SELECT day_local FROM v_visits ORDER BY joined_ms DESC LIMIT 1) ORDER BY joined_ms'
WHERE name = 'today';
UPDATE example_queries SET sql =
  'SELECT substr(first_join_local, 1, 16) AS began, substr(last_leave_local, 12, 5) AS ended, span_minutes AS minutes,
  watched_people AS people, still_in, meeting
FROM v_meetings ORDER BY first_join_ms DESC LIMIT 50'
WHERE name = 'meetings';
UPDATE example_queries SET
  about = 'When nobody looked, the last 30 days: silence there proves nothing',
  sql = 'SELECT coalesce(who, ''everybody'') AS who, substr(from_at, 1, 16) || ''Z'' AS began,
  coalesce(substr(to_at, 1, 16) || ''Z'', ''goes on'') AS ended, minutes, why || coalesce('' ('' || error || '')'', '''') AS why
FROM v_gaps WHERE from_ms > (unixepoch(''now'') - 30 * 86400) * 1000 ORDER BY from_ms DESC LIMIT 100'
WHERE name = 'gaps';
UPDATE example_queries SET about = 'How late joins and leaves were noticed, the last 7 days' WHERE name = 'delay';
UPDATE example_queries SET about = 'Pairs of people by their minutes in one meeting, the last 7 days' WHERE name = 'together';

-- Instants as people read them, in the small tables too.
ALTER TABLE installation ADD COLUMN created_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', created_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE people ADD COLUMN next_poll_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', next_poll_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE people ADD COLUMN last_poll_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', last_poll_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE people ADD COLUMN last_ok_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', last_ok_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE people ADD COLUMN last_error_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', last_error_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE poll_errors ADD COLUMN hour_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', hour_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE webhooks ADD COLUMN down_since_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', down_since_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE webhooks ADD COLUMN probe_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', probe_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE lanes ADD COLUMN ready_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', ready_ms / 1000.0, 'unixepoch')) VIRTUAL;
ALTER TABLE lanes ADD COLUMN lease_at TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', lease_ms / 1000.0, 'unixepoch')) VIRTUAL;

PRAGMA user_version = 5;
