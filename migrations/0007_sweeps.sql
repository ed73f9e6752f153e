-- Whether sweeps of an organisation's meetings are believed: kept, so that a restart neither has to earn it anew nor forgets
-- a contradiction.

CREATE TABLE sweeps (
  -- One row for each organisation that was swept: how far its sweeps are trusted, and what they cost.
  org           TEXT    PRIMARY KEY,                   -- by the config's name
  agreed        INTEGER NOT NULL CHECK (agreed >= 0),  -- looks that agreed since the newest contradiction
  needed        INTEGER NOT NULL CHECK (needed >= 1),  -- so many earn trust
  compared_ms   INTEGER,                               -- the newest look that was compared with a sweep and said something
  id_kind       TEXT    CHECK (id_kind IN ('union_id', 'userid')), -- what sweeps name people by; NULL: not learned yet
  seen          INTEGER NOT NULL CHECK (seen >= 0),    -- thousandths of visits that looks and sweeps saw, older ones counting less
  unseen        INTEGER NOT NULL CHECK (unseen >= 0),  -- thousandths of visits that only looks saw
  cost          REAL    NOT NULL CHECK (cost >= 0),    -- calls that one sweep is thought to take
  swept_ms      INTEGER,                               -- the newest whole sweep
  month         TEXT    NOT NULL,                      -- 2026-11: of the calls beside it
  calls         INTEGER NOT NULL CHECK (calls >= 0),   -- calls of that month that sweeps took; part of usage.used
  compared_at   TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', compared_ms / 1000.0, 'unixepoch')) VIRTUAL,
  swept_at      TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', swept_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT, WITHOUT ROWID;

CREATE TABLE swept_people (
  -- What sweeps have taught about single people.
  person_id     INTEGER PRIMARY KEY REFERENCES people (person_id) ON DELETE CASCADE, -- whose
  userid        TEXT,                                  -- theirs in DingTalk's contacts; NULL: not asked for, or not there
  seen          INTEGER NOT NULL CHECK (seen >= 0),    -- thousandths of visits that looks and sweeps saw, older ones counting less
  unseen        INTEGER NOT NULL CHECK (unseen >= 0)   -- thousandths of visits that only looks saw: meetings of others, mostly
) STRICT;

PRAGMA user_version = 7;
