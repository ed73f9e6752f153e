-- What one looks at by hand. Nothing newer than SQLite 3.40 may stand here: the reader's own shell runs it.
-- Comments stand inside the statements, because only those are kept by SQLite and shown by `.schema`.

CREATE VIEW v_now AS
  -- Who is in a meeting now, as far as known. checked_s_ago: seconds since the last good look.
  SELECT
    p.name                                                        AS who,
    v.org                                                         AS org,
    v.conference_id                                               AS meeting,
    v.joined_at                                                   AS joined_at,
    v.joined_local                                                AS joined_local,
    CAST(max(0, unixepoch('now') - v.joined_ms / 1000) / 60 AS INTEGER) AS minutes,
    v.role                                                        AS role,
    v.device                                                      AS device,
    max(0, unixepoch('now') - p.last_ok_ms / 1000)                AS checked_s_ago,
    p.presence                                                    AS presence,  -- 'unknown': not looked at for too long
    p.union_id                                                    AS union_id,
    v.visit_id                                                    AS visit_id,
    v.joined_ms                                                   AS joined_ms,
    p.last_ok_ms                                                  AS checked_ms
  FROM visits AS v JOIN people AS p USING (person_id)
  WHERE v.left_ms IS NULL;

CREATE VIEW v_visits AS
  -- Every stay of every person in every meeting. leave_error_s: the leave is known to so many seconds.
  SELECT
    v.visit_id                                                    AS id,
    p.name                                                        AS who,
    v.org                                                         AS org,
    p.union_id                                                    AS union_id,
    v.conference_id                                               AS meeting,
    v.joined_at                                                   AS joined_at,
    v.left_at                                                     AS left_at,
    v.joined_local                                                AS joined_local,
    v.left_local                                                  AS left_local,
    substr(v.joined_local, 1, 10)                                 AS day_local,
    round((coalesce(v.left_ms, unixepoch('now') * 1000) - v.joined_ms) / 60000.0, 1) AS minutes,
    v.left_ms IS NULL                                             AS ongoing,
    v.left_reason                                                 AS left_reason,
    coalesce(v.leave_basis, v.join_basis)                         AS basis,  -- reported, observed or inferred; of the leave, once there is one
    (v.leave_latest_ms - v.leave_earliest_ms) / 1000.0            AS leave_error_s,
    v.role                                                        AS role,
    v.external                                                    AS external,
    v.by_phone                                                    AS by_phone,
    v.device                                                      AS device,
    v.nick                                                        AS nick,
    v.ordinal                                                     AS ordinal,
    v.join_basis                                                  AS join_basis,
    v.leave_basis                                                 AS leave_basis,
    v.joined_ms                                                   AS joined_ms,
    v.left_ms                                                     AS left_ms
  FROM visits AS v JOIN people AS p USING (person_id);

CREATE VIEW v_events AS
  -- What was told to others. noticed_after_s: from the instant itself to its being written down.
  SELECT
    e.sequence                                                    AS sequence,
    e.id                                                          AS id,
    e.type                                                        AS type,
    p.name                                                        AS who,
    e.org                                                         AS org,
    e.conference_id                                               AS meeting,
    e.time_at                                                     AS time,
    e.recorded_at                                                 AS recorded_at,
    (e.recorded_ms - e.time_ms) / 1000.0                          AS noticed_after_s,
    p.union_id                                                    AS union_id,
    e.time_ms                                                     AS time_ms,
    e.recorded_ms                                                 AS recorded_ms,
    e.body                                                        AS body
  FROM events AS e LEFT JOIN people AS p USING (person_id);

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
    m.first_join_ms                                               AS first_join_ms,
    m.last_leave_ms                                               AS last_leave_ms
  FROM (
    SELECT
      f.conference_id                                             AS meeting,
      f.org                                                       AS org,
      f.joined_ms                                                 AS first_join_ms,
      f.joined_at                                                 AS first_join_at,
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

CREATE VIEW v_snapshots AS
  -- Answers as they came. One that repeats is one row: first_at to last_at, seen `polls` times.
  SELECT
    p.name                                                        AS who,
    s.org                                                         AS org,
    s.first_at                                                    AS first_at,
    s.last_at                                                     AS last_at,
    s.polls                                                       AS polls,
    s.meetings                                                    AS meetings,
    s.body                                                        AS body,
    p.union_id                                                    AS union_id,
    s.first_ms                                                    AS first_ms,
    s.last_ms                                                     AS last_ms
  FROM snapshots AS s JOIN people AS p USING (person_id);

CREATE VIEW v_gaps AS
  -- When nobody looked: what happened then is not known. who is empty when it was the whole organisation.
  SELECT
    p.name                                                        AS who,
    g.org                                                         AS org,
    g.from_at                                                     AS from_at,
    g.to_at                                                       AS to_at,
    round((g.to_ms - g.from_ms) / 60000.0, 1)                     AS minutes,
    g.why                                                         AS why,
    g.from_ms                                                     AS from_ms,
    g.to_ms                                                       AS to_ms
  FROM gaps AS g LEFT JOIN people AS p USING (person_id);

CREATE VIEW v_deliveries AS
  -- What became of each event at each receiver. id is the event's, as the receiver sees it in `webhook-id`.
  SELECT
    e.id                                                          AS id,
    d.webhook                                                     AS webhook,
    d.state                                                       AS state,
    d.attempts                                                    AS attempts,
    d.last_status                                                 AS last_status,
    d.last_error                                                  AS last_error,
    e.type                                                        AS type,
    p.name                                                        AS who,
    nullif(d.org, '')                                             AS org,
    CASE WHEN d.state = 'pending' THEN d.next_at END AS next_at,
    CASE WHEN d.state = 'delivered' THEN (d.finished_ms - e.recorded_ms) / 1000.0 END AS delivered_after_s,
    d.delivery_id                                                 AS delivery_id,
    d.trigger                                                     AS trigger,
    d.sequence                                                    AS sequence,
    CASE WHEN d.state = 'pending' THEN d.next_ms END              AS next_ms,
    d.finished_at                                                 AS finished_at,
    d.finished_ms                                                 AS finished_ms
  FROM deliveries AS d JOIN events AS e USING (sequence) LEFT JOIN people AS p ON p.person_id = d.person_id;

CREATE VIEW v_budget AS
  -- Calls spent a month, calls reserved for the next minutes included. call_limit is empty when there is none.
  SELECT org, month, used, call_limit, projected, throttled FROM usage;

CREATE VIEW v_health AS
  -- How well each person can be seen. errors_24h counts whole hours.
  SELECT
    p.name                                                        AS who,
    p.org                                                         AS org,
    p.watched                                                     AS watched,
    strftime('%Y-%m-%dT%H:%M:%fZ', p.last_poll_ms / 1000.0, 'unixepoch') AS last_poll_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', p.last_ok_ms / 1000.0, 'unixepoch')   AS last_ok_at,
    (SELECT coalesce(sum(x.errors), 0) FROM poll_errors AS x
      WHERE x.person_id = p.person_id AND x.hour_ms > (unixepoch('now') - 86400) * 1000) AS errors_24h,
    p.last_error                                                  AS last_error,
    strftime('%Y-%m-%dT%H:%M:%fZ', p.last_error_ms / 1000.0, 'unixepoch') AS last_error_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', p.next_poll_ms / 1000.0, 'unixepoch')  AS next_poll_at,
    p.union_id                                                    AS union_id,
    p.last_poll_ms                                                AS last_poll_ms,
    p.last_ok_ms                                                  AS last_ok_ms,
    p.last_error_ms                                               AS last_error_ms,
    p.next_poll_ms                                                AS next_poll_ms
  FROM people AS p;

CREATE TABLE example_queries (
  -- Questions one may have, ready to run: SELECT sql FROM example_queries WHERE name = 'today';
  name          TEXT    PRIMARY KEY,                   -- as in `presenced db sql @NAME`
  about         TEXT    NOT NULL,                      -- the question
  sql           TEXT    NOT NULL                       -- the answer: one statement
) STRICT, WITHOUT ROWID;

INSERT INTO example_queries (name, about, sql) VALUES
  ('now', 'Who is in a meeting at this moment, and for how long',
   'SELECT who, org, meeting, joined_local, minutes, role, device, checked_s_ago FROM v_now ORDER BY joined_ms'),
  ('today', 'Visits of the newest day there is, by the daemon''s wall clock',
   'SELECT who, meeting, joined_local, left_local, minutes, left_reason FROM v_visits
WHERE joined_ms > (SELECT max(joined_ms) - 2 * 86400000 FROM visits)
  AND day_local = (SELECT day_local FROM v_visits ORDER BY joined_ms DESC LIMIT 1) ORDER BY joined_ms'),
  ('hours', 'Hours in meetings by person and day, the last 30 days',
   'SELECT day_local, who, round(sum(minutes) / 60.0, 1) AS hours, count(*) AS visits FROM v_visits
WHERE joined_ms > (unixepoch(''now'') - 30 * 86400) * 1000 GROUP BY day_local, who, org, union_id ORDER BY day_local DESC, hours DESC'),
  ('meetings', 'The last 50 meetings: when, how long, how many watched people',
   'SELECT meeting, first_join_at, last_leave_at, span_minutes, watched_people, still_in FROM v_meetings
ORDER BY first_join_ms DESC LIMIT 50'),
  ('together', 'Pairs of people by the minutes they were in the same meeting at the same time, the last 7 days',
   'SELECT a.who AS one, b.who AS other,
  round(sum(min(coalesce(a.left_ms, unixepoch(''now'') * 1000), coalesce(b.left_ms, unixepoch(''now'') * 1000))
    - max(a.joined_ms, b.joined_ms)) / 60000.0, 1) AS minutes
FROM v_visits AS a JOIN v_visits AS b ON a.meeting = b.meeting AND a.org = b.org AND a.union_id < b.union_id
  AND a.joined_ms < coalesce(b.left_ms, unixepoch(''now'') * 1000) AND b.joined_ms < coalesce(a.left_ms, unixepoch(''now'') * 1000)
WHERE a.joined_ms > (unixepoch(''now'') - 7 * 86400) * 1000
GROUP BY a.org, a.union_id, b.union_id ORDER BY minutes DESC LIMIT 50'),
  ('delay', 'How late joins and leaves were noticed, by kind of event, the last 7 days',
   'SELECT type, count(*) AS events, round(avg(noticed_after_s), 1) AS average_s, max(noticed_after_s) AS longest_s FROM v_events
WHERE recorded_ms > (unixepoch(''now'') - 7 * 86400) * 1000 AND who IS NOT NULL GROUP BY type ORDER BY events DESC'),
  ('undelivered', 'Events that wait for a receiver or were given up',
   'SELECT webhook, state, count(*) AS events, min(sequence) AS first_sequence, max(attempts) AS attempts,
  max(last_status) AS status, max(last_error) AS error
FROM (SELECT * FROM v_deliveries WHERE state = ''pending'' UNION ALL SELECT * FROM v_deliveries WHERE state = ''dead'')
GROUP BY webhook, state ORDER BY webhook, state'),
  ('trouble', 'People who could not be looked at in the last 24 hours',
   'SELECT who, org, errors_24h, last_ok_at, last_error FROM v_health WHERE watched AND errors_24h > 0 ORDER BY errors_24h DESC'),
  ('gaps', 'When nobody looked, newest first: silence there proves nothing',
   'SELECT coalesce(who, ''everybody'') AS who, org, from_at, to_at, minutes, why FROM v_gaps ORDER BY from_ms DESC LIMIT 100'),
  ('budget', 'Calls spent by organisation and month',
   'SELECT org, month, used, call_limit, round(100.0 * used / call_limit, 1) AS percent, projected, throttled FROM v_budget
ORDER BY month DESC, org');

PRAGMA user_version = 3;
