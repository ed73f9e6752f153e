-- Who is in now is asked for along the few visits that are open, however it is sorted: left alone, SQLite would read a
-- year of visits in their order to spare itself the sorting of those.

DROP VIEW v_now;
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
  FROM visits AS v INDEXED BY visits_open JOIN people AS p USING (person_id)
  WHERE v.left_ms IS NULL;

PRAGMA user_version = 6;
