-- A disk can change a stored event without SQLite's notice. Each event now has a checksum, and one that does not match it
-- is not sent.

ALTER TABLE events ADD COLUMN checksum INTEGER /* CRC-32 of id and body; NULL: written by a release that had none */;

PRAGMA user_version = 16;
