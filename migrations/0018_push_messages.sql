-- DingTalk meters what it pushes to an organisation's apps. Each event that arrives is counted here, repeats included.

CREATE TABLE push_messages (
    org TEXT NOT NULL, -- name in the config
    month TEXT NOT NULL CHECK (length(month) = 7), -- 2026-11, in the month's time zone of the organisation
    messages INTEGER NOT NULL CHECK (messages >= 0), -- that arrived, repeats included
    PRIMARY KEY (org, month)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 18;
