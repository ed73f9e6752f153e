-- Comments stand inside the statements, because only those are kept by SQLite and shown by `.schema`.

PRAGMA application_id = 1886282596;                    -- "pncd"

CREATE TABLE installation (
  -- presenced: who was in which DingTalk meeting, as seen by polling.
  -- Look through the v_* views and at example_queries; the tables are the daemon's.
  -- Every *_ms is milliseconds since 1970-01-01 UTC, every *_at the same instant as RFC 3339.
  one           INTEGER PRIMARY KEY CHECK (one = 1),   -- there is one row
  source        TEXT    NOT NULL,                      -- urn:presenced:..., in every event
  created_ms    INTEGER NOT NULL,                      -- when this file was made
  time_zone     TEXT    NOT NULL DEFAULT 'UTC'         -- the daemon's, for *_local
) STRICT;

CREATE TABLE organisations (
  -- One row for each organisation ever watched.
  org           TEXT    PRIMARY KEY,                   -- by the config's name; '' for the daemon itself
  counts        TEXT    NOT NULL DEFAULT '{}'          -- system events so far by type, JSON: part of their ids
) STRICT, WITHOUT ROWID;

CREATE TABLE people (
  -- One row for each person ever watched.
  person_id     INTEGER PRIMARY KEY AUTOINCREMENT,     -- never given twice, also when somebody was erased
  org           TEXT    NOT NULL,                      -- organisation, by the config's name
  union_id      TEXT    NOT NULL,                      -- DingTalk unionId
  name          TEXT    NOT NULL,                      -- from the config; else the unionId
  watched       INTEGER NOT NULL DEFAULT 1 CHECK (watched IN (0, 1)), -- on the watch list now
  presence      TEXT    NOT NULL DEFAULT 'unknown' CHECK (presence IN ('inside', 'outside', 'unknown')), -- in a meeting?
  belief        TEXT    NOT NULL DEFAULT '{}',         -- what is believed, JSON; the daemon's own
  digest        INTEGER,                               -- of the newest answer; NULL: whatever comes next is new
  next_poll_ms  INTEGER,                               -- when the next look is due
  last_poll_ms  INTEGER,                               -- the last look, good or not
  last_ok_ms    INTEGER,                               -- the last good look
  last_error    TEXT,                                  -- class and text of the last failure
  last_error_ms INTEGER,                               -- when that was
  UNIQUE (org, union_id)
) STRICT;

CREATE TABLE poll_errors (
  -- Failures a person and hour: what "errors in the last 24 hours" is counted from.
  person_id     INTEGER NOT NULL REFERENCES people (person_id) ON DELETE CASCADE, -- who could not be looked at
  org           TEXT    NOT NULL,                      -- organisation
  hour_ms       INTEGER NOT NULL,                      -- start of the hour
  class         TEXT    NOT NULL,                      -- throttled, banned, unreachable, ...
  errors        INTEGER NOT NULL,                      -- how many in that hour
  PRIMARY KEY (person_id, hour_ms, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
  -- Answers, folded: an answer that repeats only stretches its row.
  snapshot_id   INTEGER PRIMARY KEY,                   -- in the order they came
  person_id     INTEGER NOT NULL REFERENCES people (person_id) ON DELETE CASCADE, -- whose
  org           TEXT    NOT NULL,                      -- organisation
  first_ms      INTEGER NOT NULL,                      -- first poll that gave this answer
  last_ms       INTEGER NOT NULL CHECK (last_ms >= first_ms), -- last poll that gave it
  polls         INTEGER NOT NULL CHECK (polls >= 1),   -- how many polls gave it
  meetings      INTEGER NOT NULL CHECK (meetings >= 0), -- how many meetings it lists
  digest        INTEGER NOT NULL,                      -- of the answer without what ticks
  body          TEXT    NOT NULL,                      -- the answer as JSON
  first_at      TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', first_ms / 1000.0, 'unixepoch')) VIRTUAL,
  last_at       TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', last_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
CREATE INDEX snapshots_by_person ON snapshots (person_id, first_ms); -- not last_ms: that one moves with every poll

CREATE TABLE visits (
  -- A visit: one continuous stay of one person in one meeting.
  visit_id      TEXT    NOT NULL UNIQUE,               -- vis_...; no primary key, so that rows are appended
  person_id     INTEGER NOT NULL REFERENCES people (person_id) ON DELETE CASCADE, -- who
  org           TEXT    NOT NULL,                      -- organisation
  conference_id TEXT    NOT NULL,                      -- DingTalk conferenceId: the meeting
  ordinal       INTEGER NOT NULL CHECK (ordinal >= 1), -- the n-th visit of this person to this meeting
  anchor_ms     INTEGER NOT NULL,                      -- joinTime as reported, else the poll that saw it
  joined_ms     INTEGER NOT NULL,                      -- when the stay began, as far as known
  joined_local  TEXT    NOT NULL,                      -- in the daemon's time_zone
  join_basis    TEXT    NOT NULL CHECK (join_basis IN ('reported', 'observed', 'inferred')), -- how that is known
  left_ms       INTEGER CHECK (left_ms >= joined_ms),  -- NULL while inside
  left_local    TEXT,                                  -- in the daemon's time_zone
  left_reason   TEXT    CHECK (left_reason IN ('left', 'removed', 'meeting_ended', 'vanished', 'rejoined', 'unobserved', 'unwatched')), -- why it ended
  leave_basis   TEXT    CHECK (leave_basis IN ('reported', 'observed', 'inferred')), -- how the leave is known
  leave_earliest_ms INTEGER,                           -- the leave lies between these two
  leave_latest_ms   INTEGER,                           -- see leave_earliest_ms
  role          TEXT    NOT NULL CHECK (role IN ('attendee', 'co_host', 'host')), -- the newest
  external      INTEGER NOT NULL CHECK (external IN (0, 1)), -- of another organisation
  by_phone      INTEGER NOT NULL CHECK (by_phone IN (0, 1)), -- by telephone
  device        TEXT,                                  -- the newest DingTalk named
  nick          TEXT,                                  -- in the meeting; NULL with privacy.store_nick = false
  joined_at     TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', joined_ms / 1000.0, 'unixepoch')) VIRTUAL,
  left_at       TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', left_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
CREATE INDEX visits_by_person ON visits (person_id, joined_ms);
CREATE INDEX visits_by_meeting ON visits (conference_id, joined_ms);
CREATE INDEX visits_by_time ON visits (joined_ms);
CREATE INDEX visits_open ON visits (person_id) WHERE left_ms IS NULL;

CREATE TABLE events (
  -- Events as sent: id and body never change.
  sequence      INTEGER PRIMARY KEY AUTOINCREMENT,     -- strictly growing, never given twice
  id            TEXT    NOT NULL UNIQUE,               -- evt_...
  org           TEXT,                                  -- NULL: about the daemon itself
  type          TEXT    NOT NULL,                      -- meeting.participant_joined, ...
  person_id     INTEGER REFERENCES people (person_id) ON DELETE CASCADE, -- NULL: about nobody
  conference_id TEXT,                                  -- the meeting; NULL: about none
  time_ms       INTEGER NOT NULL,                      -- when it happened, as far as known
  recorded_ms   INTEGER NOT NULL,                      -- when it was written down
  body          TEXT    NOT NULL,                      -- the bytes that are signed and sent
  time_at       TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', time_ms / 1000.0, 'unixepoch')) VIRTUAL,
  recorded_at   TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', recorded_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
CREATE INDEX events_by_person ON events (person_id, sequence) WHERE person_id IS NOT NULL;
CREATE INDEX events_by_time ON events (recorded_ms);

CREATE TABLE gaps (
  -- When nobody looked, and why.
  gap_id        INTEGER PRIMARY KEY,                   -- in the order they were noted
  org           TEXT    NOT NULL,                      -- organisation
  person_id     INTEGER REFERENCES people (person_id) ON DELETE CASCADE,  -- NULL: everybody of the organisation
  from_ms       INTEGER NOT NULL,                      -- the last look before it
  to_ms         INTEGER NOT NULL CHECK (to_ms >= from_ms), -- the first look after it, or the window's opening
  why           TEXT    NOT NULL,                      -- window, blackout: not meant to look; else the trouble
  from_at       TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', from_ms / 1000.0, 'unixepoch')) VIRTUAL,
  to_at         TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', to_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
CREATE INDEX gaps_by_person ON gaps (person_id, from_ms);
CREATE INDEX gaps_by_time ON gaps (from_ms);

CREATE TABLE usage (
  -- Calls spent, by organisation and calendar month of its month_time_zone.
  org           TEXT    NOT NULL,                      -- organisation
  month         TEXT    NOT NULL,                      -- 2026-11
  used          INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),      -- charged calls, reserved ones included
  throttled     INTEGER NOT NULL DEFAULT 0 CHECK (throttled >= 0), -- refused by a rate limit, not charged
  call_limit    INTEGER,                               -- NULL: no limit
  projected     INTEGER,                               -- by the end of the month, at the present pace
  PRIMARY KEY (org, month)
) STRICT, WITHOUT ROWID;

CREATE TABLE forgotten (
  -- Who was erased by `presenced db forget`: nobody can be told from it, but who is asked for can be recognised, and is not
  -- watched again before the config has been without them once.
  forgotten_id  INTEGER PRIMARY KEY,                   -- in the order they were erased
  org           TEXT    NOT NULL,                      -- organisation
  salt          TEXT    NOT NULL,                      -- a new one for everybody
  hash          TEXT    NOT NULL,                      -- SHA-256 of salt, organisation and unionId; hexadecimal
  forgotten_ms  INTEGER NOT NULL,                      -- when
  forgotten_at  TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', forgotten_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
