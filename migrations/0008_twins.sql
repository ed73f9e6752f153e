-- The RFC 3339 twins of instants are computed and cannot be of a wrong type. Declared ANY instead of TEXT they need not be:
-- of a TEXT column of a STRICT table SQLite's integrity check computes every value, which took most of its time. No row
-- changes; the way is the documented one for that (<https://sqlite.org/lang_altertable.html>, section 8), and who has the
-- file open meanwhile with the old words in mind reads the same.

PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, ' TEXT AS (strftime(', ' ANY AS (strftime(') WHERE type = 'table';
UPDATE sqlite_schema SET sql = replace(sql, 'every *_at the same instant as RFC 3339.',
  'every *_at the same instant as RFC 3339 text (ANY: computed, there is nothing to check).')
WHERE name = 'installation';
PRAGMA writable_schema = RESET;

-- A failed test is no dead letter, here as elsewhere.
UPDATE example_queries SET sql =
  'SELECT webhook, state, count(*) AS events, min(sequence) AS first_sequence, max(attempts) AS attempts,
  max(last_status) AS status, max(last_error) AS error
FROM (SELECT * FROM v_deliveries WHERE state = ''pending''
  UNION ALL SELECT * FROM v_deliveries WHERE state = ''dead'' AND trigger <> ''test'')
GROUP BY webhook, state ORDER BY webhook, state'
WHERE name = 'undelivered';

PRAGMA user_version = 8;
