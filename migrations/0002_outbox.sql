-- What is to be sent where, and what became of it.

CREATE TABLE webhooks (
  -- A receiver's own state.
  webhook       TEXT    PRIMARY KEY,                   -- by the config's name
  state         TEXT    NOT NULL DEFAULT 'up' CHECK (state IN ('up', 'down', 'disabled', 'paused')), -- whether it is sent to
  failures      INTEGER NOT NULL DEFAULT 0,            -- unavailable in a row, over all lanes
  down_since_ms INTEGER,                               -- NULL: it is not down
  probe_ms      INTEGER,                               -- while down: when the next probe goes out
  probes        INTEGER NOT NULL DEFAULT 0,            -- while down: probes so far
  reason        TEXT                                   -- why disabled or paused
) STRICT, WITHOUT ROWID;

CREATE TABLE lanes (
  -- A lane is one receiver's queue for one person (person_id 0: events about nobody).
  -- Only its head is ever in flight, so order is kept; a lane without pending deliveries has no row.
  webhook       TEXT    NOT NULL,                      -- the receiver
  org           TEXT    NOT NULL,                      -- organisation; '' for the daemon itself
  person_id     INTEGER NOT NULL,                      -- whose events; 0: about nobody
  ready_ms      INTEGER NOT NULL,                      -- when its head may be tried (again)
  lease_ms      INTEGER,                               -- taken until then; NULL: free
  PRIMARY KEY (webhook, person_id, org)
) STRICT, WITHOUT ROWID;
CREATE INDEX lanes_ready ON lanes (webhook, ready_ms) WHERE lease_ms IS NULL;

CREATE TABLE deliveries (
  -- One row for each event and receiver.
  delivery_id   INTEGER PRIMARY KEY,                   -- in the order they were made
  webhook       TEXT    NOT NULL,                      -- the receiver
  org           TEXT    NOT NULL,                      -- organisation; '' for the daemon itself
  person_id     INTEGER NOT NULL,                      -- the lane; 0: events about nobody
  sequence      INTEGER NOT NULL REFERENCES events (sequence) ON DELETE CASCADE, -- the event
  trigger       TEXT    NOT NULL DEFAULT 'event' CHECK (trigger IN ('event', 'replay', 'test')), -- what made it
  state         TEXT    NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead', 'expired')), -- what became of it
  attempts      INTEGER NOT NULL DEFAULT 0,            -- requests sent so far
  strikes       INTEGER NOT NULL DEFAULT 0,            -- attempts that count towards giving it up
  next_ms       INTEGER NOT NULL,                      -- when it may be tried (again)
  last_status   INTEGER,                               -- HTTP status of the last attempt
  last_error    TEXT,                                  -- why the last attempt failed
  finished_ms   INTEGER,                               -- when it was delivered, given up or expired
  next_at       TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', next_ms / 1000.0, 'unixepoch')) VIRTUAL,
  finished_at   TEXT AS (strftime('%Y-%m-%dT%H:%M:%fZ', finished_ms / 1000.0, 'unixepoch')) VIRTUAL
) STRICT;
-- The head of a lane is its first pending row by (trigger <> 'event', sequence): live traffic before replays.
CREATE INDEX deliveries_pending ON deliveries (webhook, person_id, org, (trigger <> 'event'), sequence) WHERE state = 'pending';
CREATE INDEX deliveries_by_event ON deliveries (sequence);
CREATE INDEX deliveries_dead ON deliveries (webhook, finished_ms) WHERE state = 'dead';
