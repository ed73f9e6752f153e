-- What is known of an erasure is kept for good: an older copy of the database can be restored at any time, and a person who
-- was erased since must not come back with it.

ALTER TABLE forgotten RENAME TO forgotten_before;
CREATE TABLE forgotten (
  -- Who was erased by `presenced db forget`: the rows name no person, but a unionId can be compared with them. Such a person
  -- is not watched again before the config has been without them once, and is erased from every older copy that is restored.
  forgotten_id  INTEGER PRIMARY KEY,                   -- in the order they were erased
  org           TEXT    NOT NULL,                      -- organisation
  salt          TEXT    NOT NULL,                      -- a new one for each row
  hash          TEXT    NOT NULL,                      -- SHA-256 of salt, organisation and unionId; hexadecimal
  forgotten_ms  INTEGER NOT NULL,                      -- when
  lifted_ms     INTEGER,                               -- since when the person may be watched again; NULL: not yet
  forgotten_at  ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', forgotten_ms / 1000.0, 'unixepoch')) VIRTUAL,
  lifted_at     ANY AS (strftime('%Y-%m-%dT%H:%M:%fZ', lifted_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
INSERT INTO forgotten (forgotten_id, org, salt, hash, forgotten_ms)
  SELECT forgotten_id, org, salt, hash, forgotten_ms FROM forgotten_before;
DROP TABLE forgotten_before;

PRAGMA user_version = 14;
