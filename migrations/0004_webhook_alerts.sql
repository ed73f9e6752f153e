-- What was told about a receiver's health, kept beside that health: a restart neither forgets nor repeats an alert.

ALTER TABLE webhooks ADD COLUMN alert TEXT NOT NULL DEFAULT 'silent' CHECK (alert IN ('silent', 'down', 'disabled')) /* the newest alert told about it */;

PRAGMA user_version = 4;
