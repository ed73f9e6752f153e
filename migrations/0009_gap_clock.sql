-- v_gaps measures what is overdue by the newest poll in the database instead of the reader's clock: the same file shows
-- the same gaps whenever it is read. Only `minutes` of a gap that goes on is an age and grows with the reader's clock.

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
  -- Going on: the last poll failed, or the next is overdue; while that is so for every user of an organisation, once for it.
  SELECT
    CASE WHEN o.all_blind THEN NULL ELSE b.name END,
    b.org,
    b.last_ok_at,
    NULL,
    round(max(0, unixepoch('now') * 1000 - b.last_ok_ms) / 60000.0, 1),
    CASE WHEN NOT b.failing THEN 'late' WHEN o.all_blind THEN 'upstream' ELSE 'failed' END,
    CASE WHEN b.failing THEN (SELECT e.class FROM poll_errors AS e WHERE e.person_id = b.person_id ORDER BY e.hour_ms DESC LIMIT 1) END,
    CASE WHEN o.all_blind THEN NULL ELSE b.union_id END,
    b.last_ok_ms,
    NULL
  FROM (
    SELECT
      person_id, org, name, union_id, last_ok_ms, last_ok_at, failing,
      last_ok_ms < newest_ms - 300000 AND (failing OR next_poll_ms < newest_ms - 300000) AS blind
    FROM (
      SELECT *, coalesce(last_error_ms > last_ok_ms, 0) AS failing,
        (SELECT max(last_poll_ms) FROM people) AS newest_ms
      FROM people WHERE watched = 1
    )
  ) AS b
  JOIN (
    SELECT org, max(last_ok_ms) AS newest_ok_ms,
      min(CASE WHEN last_ok_ms IS NULL THEN 1 ELSE last_ok_ms < newest_ms - 300000
        AND (coalesce(last_error_ms > last_ok_ms, 0) OR coalesce(next_poll_ms < newest_ms - 300000, 0)) END) AS all_blind
    FROM (SELECT *, (SELECT max(last_poll_ms) FROM people) AS newest_ms FROM people WHERE watched = 1)
    GROUP BY org
  ) AS o USING (org)
  WHERE b.blind AND (NOT o.all_blind OR b.person_id = (SELECT x.person_id FROM people AS x
    WHERE x.org = b.org AND x.watched = 1 AND x.last_ok_ms = o.newest_ok_ms LIMIT 1));

PRAGMA user_version = 9;
