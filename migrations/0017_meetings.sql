-- Meetings get a title, users their groups, deliveries their attempts, and every instant in a view its local time.

CREATE TABLE meetings (
  -- Meetings that a watched user was in, with what DingTalk's answers said of them. Nothing is stored about other meetings.
  org           TEXT    NOT NULL,                      -- organisation
  conference_id TEXT    NOT NULL,                      -- DingTalk conferenceId: the meeting
  title         TEXT,                                  -- NULL: not known, or privacy.titles = "off"; '(hidden)': privacy.title_hide
  creator_union_id TEXT,                               -- who created it, if that user is watched
  started_ms    INTEGER,                               -- when it began, as reported
  ended_ms      INTEGER,                               -- when it ended, as reported; NULL: not known, or it goes on
  basis         TEXT    NOT NULL DEFAULT 'visits' CHECK (basis IN ( -- the newest source of title, creator and times
    'visits', 'sweep', 'confirmation', 'info', 'push')), -- 'visits': no answer said anything of the meeting itself
  first_seen_ms INTEGER NOT NULL,                      -- the first join of a watched user
  last_seen_ms  INTEGER NOT NULL,                      -- the newest join, leave or answer
  started_at    ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', started_ms / 1000.0, 'unixepoch')) VIRTUAL,
  ended_at      ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', ended_ms / 1000.0, 'unixepoch')) VIRTUAL,
  first_seen_at ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', first_seen_ms / 1000.0, 'unixepoch')) VIRTUAL,
  last_seen_at  ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', last_seen_ms / 1000.0, 'unixepoch')) VIRTUAL,
  PRIMARY KEY (org, conference_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX meetings_by_time ON meetings (first_seen_ms);
CREATE INDEX meetings_by_last ON meetings (last_seen_ms);
CREATE INDEX meetings_by_creator ON meetings (creator_union_id) WHERE creator_union_id IS NOT NULL;
INSERT INTO meetings (org, conference_id, first_seen_ms, last_seen_ms)
  SELECT org, conference_id, min(joined_ms), max(coalesce(left_ms, joined_ms)) FROM visits GROUP BY org, conference_id;

ALTER TABLE people ADD COLUMN groups TEXT NOT NULL DEFAULT '[]' /* -- of the config, a JSON array: groups LIKE '%"ops"%' */;

CREATE TABLE attempts (
  -- Every request that was sent for a delivery. Deleted with it.
  delivery_id   INTEGER NOT NULL REFERENCES deliveries (delivery_id) ON DELETE CASCADE, -- the delivery
  nth           INTEGER NOT NULL,                      -- the n-th request, from 1
  sent_ms       INTEGER NOT NULL,                      -- when it was sent
  took_s        REAL    NOT NULL,                      -- seconds until its result
  status        INTEGER,                               -- HTTP status; NULL: no answer
  error         TEXT,                                  -- why it failed, with the beginning of the answer; NULL: accepted
  sent_at       ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', sent_ms / 1000.0, 'unixepoch')) VIRTUAL,
  PRIMARY KEY (delivery_id, nth)
) STRICT, WITHOUT ROWID;

CREATE TABLE local_offsets (
  -- The daemon's time_zone: from each instant on, local time is UTC plus offset_s. Written at every start, for *_local.
  from_ms       INTEGER PRIMARY KEY,                   -- since when
  offset_s      INTEGER NOT NULL,                      -- seconds east of UTC
  from_at       ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', from_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;

DROP VIEW v_now;
CREATE VIEW v_now AS
  -- Who is in a meeting now, as far as known. checked_s_ago: seconds since the last good poll.
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
    m.title                                                       AS title,
    p.groups                                                      AS groups,    -- a JSON array: groups LIKE '%"ops"%'
    p.presence                                                    AS presence,  -- 'unknown': not polled for too long
    p.union_id                                                    AS union_id,
    v.visit_id                                                    AS visit_id,
    v.joined_ms                                                   AS joined_ms,
    p.last_ok_ms                                                  AS checked_ms
  FROM visits AS v INDEXED BY visits_open JOIN people AS p USING (person_id)
    LEFT JOIN meetings AS m ON m.org = v.org AND m.conference_id = v.conference_id
  WHERE v.left_ms IS NULL;

DROP VIEW v_visits;
CREATE VIEW v_visits AS
  -- Every visit of every user to every meeting. leave_error_s: the leave is known to so many seconds.
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
    m.title                                                       AS title,
    p.groups                                                      AS groups,  -- the user's groups now, a JSON array
    v.nick                                                        AS nick,
    v.ordinal                                                     AS ordinal,
    v.join_basis                                                  AS join_basis,
    v.leave_basis                                                 AS leave_basis,
    v.joined_ms                                                   AS joined_ms,
    v.left_ms                                                     AS left_ms
  FROM visits AS v JOIN people AS p USING (person_id)
    LEFT JOIN meetings AS m ON m.org = v.org AND m.conference_id = v.conference_id;

DROP VIEW v_events;
CREATE VIEW v_events AS
  -- Events as sent. noticed_after_s: from the time of the event until it was recorded.
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
    m.title                                                       AS title,
    datetime(e.time_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= e.time_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS time_local,
    datetime(e.recorded_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= e.recorded_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS recorded_local,
    p.union_id                                                    AS union_id,
    e.time_ms                                                     AS time_ms,
    e.recorded_ms                                                 AS recorded_ms,
    e.body                                                        AS body
  FROM events AS e LEFT JOIN people AS p USING (person_id)
    LEFT JOIN meetings AS m ON m.org = e.org AND m.conference_id = e.conference_id;

DROP VIEW v_meetings;
CREATE VIEW v_meetings AS
  -- Meetings as far as watched users were in them. last_leave_at is empty while a user is still in.
  -- Each meeting is its first visit, so that a query for some of them reads these only.
  SELECT
    f.meeting                                                     AS meeting,
    f.first_join_at                                               AS first_join_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', f.last_leave_ms / 1000.0, 'unixepoch') AS last_leave_at,
    f.watched_people                                              AS watched_people,
    round((coalesce(f.last_leave_ms, unixepoch('now') * 1000) - f.first_join_ms) / 60000.0, 1) AS span_minutes,
    f.still_in                                                    AS still_in,
    f.org                                                         AS org,
    m.title                                                       AS title,
    (SELECT c.name FROM people AS c WHERE c.org = m.org AND c.union_id = m.creator_union_id) AS creator,  -- if watched
    m.started_at                                                  AS started_at,  -- as DingTalk reports it
    m.ended_at                                                    AS ended_at,    -- as DingTalk reports it
    f.first_join_local                                            AS first_join_local,
    CASE WHEN f.last_leave_ms IS NOT NULL THEN f.last_leave_local END AS last_leave_local,
    datetime(m.started_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= m.started_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS started_local,
    datetime(m.ended_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= m.ended_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS ended_local,
    f.first_join_ms                                               AS first_join_ms,
    f.last_leave_ms                                               AS last_leave_ms,
    m.started_ms                                                  AS started_ms,
    m.ended_ms                                                    AS ended_ms
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
  ) AS f LEFT JOIN meetings AS m ON m.org = f.org AND m.conference_id = f.meeting;

CREATE VIEW v_people AS
  -- Users who are or were watched, with their groups, a JSON array: groups LIKE '%"ops"%'.
  SELECT
    p.name                                                        AS who,
    p.org                                                         AS org,
    p.union_id                                                    AS union_id,
    p.groups                                                      AS groups,
    p.watched                                                     AS watched,
    p.presence                                                    AS presence,  -- 'inside', 'outside' or 'unknown'
    p.last_ok_at                                                  AS last_ok_at,
    datetime(p.last_ok_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= p.last_ok_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS last_ok_local,
    p.last_ok_ms                                                  AS last_ok_ms
  FROM people AS p;

DROP VIEW v_snapshots;
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
    datetime(s.first_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= s.first_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS first_local,
    datetime(s.last_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= s.last_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS last_local,
    p.union_id                                                    AS union_id,
    s.first_ms                                                    AS first_ms,
    s.last_ms                                                     AS last_ms
  FROM snapshots AS s JOIN people AS p USING (person_id);

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
    datetime(g.from_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= g.from_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS from_local,
    datetime(g.to_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= g.to_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS to_local,
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
    datetime(o.from_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= o.from_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch'),
    NULL,
    p.union_id,
    o.from_ms,
    NULL
  FROM open_gaps AS o LEFT JOIN people AS p USING (person_id);

DROP VIEW v_deliveries;
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
    CASE WHEN d.state = 'pending' THEN d.next_at END              AS next_at,
    CASE WHEN d.state = 'delivered' THEN (d.finished_ms - e.recorded_ms) / 1000.0 END AS delivered_after_s,
    d.delivery_id                                                 AS delivery_id,
    d.trigger                                                     AS trigger,
    d.sequence                                                    AS sequence,
    CASE WHEN d.state = 'pending' THEN datetime(d.next_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z
      WHERE z.from_ms <= d.next_ms ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch') END AS next_local,
    datetime(d.finished_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= d.finished_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS finished_local,
    CASE WHEN d.state = 'pending' THEN d.next_ms END              AS next_ms,
    d.finished_at                                                 AS finished_at,
    d.finished_ms                                                 AS finished_ms
  FROM deliveries AS d JOIN events AS e USING (sequence) LEFT JOIN people AS p ON p.person_id = d.person_id;

CREATE VIEW v_attempts AS
  -- Every request to a receiver. id is the event's; nth counts the requests of one delivery.
  SELECT
    e.id                                                          AS id,
    d.webhook                                                     AS webhook,
    a.nth                                                         AS nth,
    a.sent_at                                                     AS sent_at,
    a.took_s                                                      AS took_s,
    a.status                                                      AS status,  -- empty: no answer
    a.error                                                       AS error,   -- empty: accepted
    d.state                                                       AS state,   -- of the delivery
    e.type                                                        AS type,
    p.name                                                        AS who,
    nullif(d.org, '')                                             AS org,
    datetime(a.sent_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= a.sent_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS sent_local,
    a.delivery_id                                                 AS delivery_id,
    d.trigger                                                     AS trigger,
    d.sequence                                                    AS sequence,
    a.sent_ms                                                     AS sent_ms
  FROM attempts AS a JOIN deliveries AS d USING (delivery_id) JOIN events AS e USING (sequence)
    LEFT JOIN people AS p ON p.person_id = d.person_id;

DROP VIEW v_health;
CREATE VIEW v_health AS
  -- How well each user can be observed. errors_24h counts whole hours.
  SELECT
    p.name                                                        AS who,
    p.org                                                         AS org,
    p.watched                                                     AS watched,
    p.last_poll_at                                                AS last_poll_at,
    p.last_ok_at                                                  AS last_ok_at,
    (SELECT coalesce(sum(x.errors), 0) FROM poll_errors AS x
      WHERE x.person_id = p.person_id AND x.hour_ms > (unixepoch('now') - 86400) * 1000) AS errors_24h,
    p.last_error                                                  AS last_error,
    p.last_error_at                                               AS last_error_at,
    p.next_poll_at                                                AS next_poll_at,
    datetime(p.last_poll_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= p.last_poll_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS last_poll_local,
    datetime(p.last_ok_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= p.last_ok_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS last_ok_local,
    datetime(p.last_error_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= p.last_error_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS last_error_local,
    datetime(p.next_poll_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= p.next_poll_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS next_poll_local,
    p.union_id                                                    AS union_id,
    p.last_poll_ms                                                AS last_poll_ms,
    p.last_ok_ms                                                  AS last_ok_ms,
    p.last_error_ms                                               AS last_error_ms,
    p.next_poll_ms                                                AS next_poll_ms
  FROM people AS p;

DROP VIEW v_webhooks;
CREATE VIEW v_webhooks AS
  -- Webhooks that anything was ever for. blocked is empty while all that waits is sent as it comes; else it is the state, or
  -- 'refusing' (accepts nothing), or 'retrying' (a user's events wait after a failed attempt; those of others are sent).
  SELECT
    k.*,
    datetime(k.next_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= k.next_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS next_local,
    datetime(k.down_since_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= k.down_since_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS down_since_local
  FROM (
    SELECT
      k.webhook                                                   AS webhook,
      coalesce(w.state, 'up')                                     AS state,
      CASE WHEN w.state <> 'up' THEN w.state WHEN w.reason IS NOT NULL THEN 'refusing'
        WHEN r.ready_ms IS NOT NULL THEN 'retrying' END           AS blocked,
      coalesce(w.reason, (SELECT d.last_error FROM deliveries AS d
        WHERE d.webhook = k.webhook AND d.person_id = r.person_id AND d.org = r.org AND d.state = 'pending'
        ORDER BY (d.trigger <> 'event'), d.sequence LIMIT 1))     AS reason,
      (SELECT count(*) FROM deliveries AS d WHERE d.webhook = k.webhook AND d.state = 'pending') AS waiting,
      strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(w.probe_ms, r.ready_ms) / 1000.0, 'unixepoch') AS next_at,
      w.down_since_at                                             AS down_since_at,
      coalesce(w.probe_ms, r.ready_ms)                            AS next_ms,
      w.down_since_ms                                             AS down_since_ms
    FROM (SELECT webhook FROM webhooks UNION SELECT webhook FROM lanes) AS k
    LEFT JOIN webhooks AS w USING (webhook)
    LEFT JOIN (SELECT webhook, min(ready_ms) AS ready_ms, person_id, org FROM lanes
      WHERE lease_ms IS NULL AND ready_ms > unixepoch('now') * 1000 GROUP BY webhook) AS r USING (webhook)
  ) AS k;

CREATE VIEW v_days AS
  -- Users by local day: minutes in meetings (two at once count once; a visit over midnight is split), and minutes that were
  -- not observed although they were to be. A day with neither has no row. first_join_at and last_leave_at are midnight for a
  -- visit that goes over it. Reads all visits: for a few days of a long history use `presenced report`.
  WITH RECURSIVE
    span (person_id, inside, from_ms, to_ms) AS (
      -- An open visit lasts until now, or until the last good poll if the next one is overdue.
      SELECT v.person_id, 1, v.joined_ms, coalesce(v.left_ms, CASE
        WHEN p.next_poll_ms >= (unixepoch('now') - 300) * 1000 THEN max(unixepoch('now') * 1000, v.joined_ms)
        ELSE max(coalesce(p.last_ok_ms, v.joined_ms), v.joined_ms) END)
      FROM visits AS v JOIN people AS p USING (person_id)
      UNION ALL
      SELECT p.person_id, 0, g.from_ms, g.to_ms FROM gaps AS g
        JOIN people AS p ON p.org = g.org AND (g.person_id IS NULL OR p.person_id = g.person_id)
        WHERE g.why NOT IN ('window closed', 'blackout')
          -- Not before the user was watched.
          AND g.to_ms > (SELECT min(at_ms) FROM (
            SELECT min(s.first_ms) AS at_ms FROM snapshots AS s WHERE s.person_id = p.person_id
            UNION ALL SELECT min(v.joined_ms) FROM visits AS v WHERE v.person_id = p.person_id))
      UNION ALL
      SELECT p.person_id, 0, g.from_ms, unixepoch('now') * 1000 FROM open_gaps AS g
        JOIN people AS p ON p.org = g.org AND p.watched = 1 AND (g.person_id IS NULL OR p.person_id = g.person_id)
      UNION ALL
      -- The next poll is overdue: the daemon is down, or the machine is.
      SELECT p.person_id, 0, p.last_ok_ms, unixepoch('now') * 1000 FROM people AS p
        WHERE p.watched = 1 AND p.last_ok_ms IS NOT NULL AND p.next_poll_ms < (unixepoch('now') - 300) * 1000
    ),
    first_day (person_id, inside, from_ms, to_ms, day) AS (
      SELECT s.person_id, s.inside, s.from_ms, s.to_ms, (s.from_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z
        WHERE z.from_ms <= s.from_ms ORDER BY z.from_ms DESC LIMIT 1)) / 86400
      FROM span AS s WHERE s.from_ms <= s.to_ms
    ),
    -- midnight_ms: the end of the day, by the offset that is in force then.
    part (person_id, inside, from_ms, to_ms, day, midnight_ms) AS (
      SELECT d.person_id, d.inside, d.from_ms, d.to_ms, d.day, ((d.day + 1) * 86400 - (SELECT z.offset_s FROM local_offsets AS z
        WHERE z.from_ms <= (d.day + 2) * 86400000 AND z.from_ms / 1000 + z.offset_s <= (d.day + 1) * 86400
        ORDER BY z.from_ms DESC LIMIT 1)) * 1000
      FROM first_day AS d
      UNION ALL
      SELECT d.person_id, d.inside, d.midnight_ms, d.to_ms, d.day + 1, ((d.day + 2) * 86400 - (SELECT z.offset_s
        FROM local_offsets AS z
        WHERE z.from_ms <= (d.day + 3) * 86400000 AND z.from_ms / 1000 + z.offset_s <= (d.day + 2) * 86400
        ORDER BY z.from_ms DESC LIMIT 1)) * 1000
      FROM part AS d WHERE d.midnight_ms < d.to_ms
    ),
    -- Of overlapping parts each counts from the end of those before it: of all parts, and of those in meetings alone.
    counted (person_id, day, inside, from_ms, to_ms, any_until_ms, inside_until_ms) AS (
      SELECT d.person_id, d.day, d.inside, d.from_ms, min(d.to_ms, d.midnight_ms),
        max(min(d.to_ms, d.midnight_ms)) OVER before,
        max(CASE WHEN d.inside THEN min(d.to_ms, d.midnight_ms) END) OVER before
      FROM part AS d
      WINDOW before AS (PARTITION BY d.person_id, d.day ORDER BY d.from_ms, d.to_ms
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ),
    summed (person_id, day, in_ms, any_ms, first_join_ms, last_leave_ms, meetings) AS (
      SELECT c.person_id, c.day,
        sum(CASE WHEN c.inside THEN max(0, c.to_ms - max(c.from_ms, coalesce(c.inside_until_ms, c.from_ms))) ELSE 0 END),
        sum(max(0, c.to_ms - max(c.from_ms, coalesce(c.any_until_ms, c.from_ms)))),
        min(CASE WHEN c.inside THEN c.from_ms END),
        max(CASE WHEN c.inside THEN c.to_ms END),
        sum(c.inside)
      FROM counted AS c GROUP BY c.person_id, c.day
    )
  SELECT
    p.name                                                        AS who,
    p.org                                                         AS org,
    date(d.day * 86400, 'unixepoch')                              AS day_local,
    round(d.in_ms / 60000.0, 1)                                   AS minutes,
    strftime('%Y-%m-%dT%H:%M:%fZ', d.first_join_ms / 1000.0, 'unixepoch') AS first_join_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', d.last_leave_ms / 1000.0, 'unixepoch') AS last_leave_at,
    round((d.any_ms - d.in_ms) / 60000.0, 1)                      AS minutes_unknown,
    d.meetings                                                    AS visits,
    datetime(d.first_join_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= d.first_join_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS first_join_local,
    datetime(d.last_leave_ms / 1000 + (SELECT z.offset_s FROM local_offsets AS z WHERE z.from_ms <= d.last_leave_ms
      ORDER BY z.from_ms DESC LIMIT 1), 'unixepoch')              AS last_leave_local,
    p.groups                                                      AS groups,
    p.union_id                                                    AS union_id,
    d.first_join_ms                                               AS first_join_ms,
    d.last_leave_ms                                               AS last_leave_ms
  FROM summed AS d JOIN people AS p USING (person_id);

-- A title says more than an id.
UPDATE example_queries SET sql =
  'SELECT who, substr(joined_local, 12, 5) AS since, minutes, role, checked_s_ago, coalesce(title, meeting) AS meeting
FROM v_now ORDER BY joined_ms'
WHERE name = 'now';
UPDATE example_queries SET sql =
  'SELECT who, substr(joined_local, 12, 5) AS joined, substr(left_local, 12, 5) AS left, minutes, left_reason,
  coalesce(title, meeting) AS meeting
FROM v_visits WHERE joined_ms > (SELECT max(joined_ms) - 2 * 86400000 FROM visits)
  AND day_local = (SELECT day_local FROM v_visits ORDER BY joined_ms DESC LIMIT 1) ORDER BY joined_ms'
WHERE name = 'today';
UPDATE example_queries SET sql =
  'SELECT substr(first_join_local, 1, 16) AS began, substr(last_leave_local, 12, 5) AS ended, span_minutes AS minutes,
  watched_people AS people, still_in, coalesce(title, meeting) AS meeting
FROM v_meetings ORDER BY first_join_ms DESC LIMIT 50'
WHERE name = 'meetings';

PRAGMA user_version = 17;
