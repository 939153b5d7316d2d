-- SHA-256 of callers' keys: not a fold, for no event may carry a function of a secret. A hash means
-- nothing until the event that issued the key is folded into the callers table.
CREATE TABLE caller_credential (
    caller_id TEXT PRIMARY KEY,
    key_hash BLOB NOT NULL UNIQUE
);
