-- Run on SQLite as it stands; on PostgreSQL BLOB reads BYTEA and INTEGER reads BIGINT.
-- All times are microseconds since 1970 in UTC. All event ids are lower-case UUIDs.

-- One row per log. `next_index` is locked and moved by every append: leaf indices have no gaps and
-- follow the order of commits, which no SQL sequence promises.
CREATE TABLE ledger_log (
    log TEXT PRIMARY KEY,
    origin TEXT NOT NULL,
    verifier_keys TEXT NOT NULL,
    next_index INTEGER NOT NULL
);

-- The leaves. Once sealed, the entry bundles are the truth and these rows a cache.
CREATE TABLE ledger_event (
    log TEXT NOT NULL,
    leaf_index INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    leaf_hash BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (log, leaf_index)
);

-- The truth of a checkpoint; the published object is a copy of `note`.
CREATE TABLE ledger_checkpoint (
    log TEXT NOT NULL,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    at INTEGER NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (log, size)
);

-- Moves in the transaction that appends what a spool shipped.
CREATE TABLE ledger_spool_position (
    spool TEXT PRIMARY KEY,
    segment INTEGER NOT NULL,
    byte_offset INTEGER NOT NULL
);

-- Wrapped by the key-encryption key, which is not here.
CREATE TABLE ledger_day_key (
    id TEXT PRIMARY KEY,
    day TEXT NOT NULL UNIQUE,
    wrapped BLOB NOT NULL
);

CREATE TABLE ledger_index_key (
    month TEXT PRIMARY KEY,
    wrapped BLOB NOT NULL
);

-- One row per payload; deleting it erases the payload. `interaction` is the request that an event
-- belongs to, so that question and answer are erased together. The ciphertext lies in a pack:
-- `pack` is NULL where nothing was stored.
CREATE TABLE ledger_payload_key (
    event_id TEXT NOT NULL,
    name TEXT NOT NULL,
    interaction TEXT NOT NULL,
    at INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    pack TEXT,
    pack_offset INTEGER NOT NULL,
    pack_length INTEGER NOT NULL,
    PRIMARY KEY (event_id, name)
);
CREATE INDEX ledger_payload_key_interaction ON ledger_payload_key (interaction);
CREATE INDEX ledger_payload_key_pack ON ledger_payload_key (pack);

-- HMACs of normalised identifiers under the month's index key.
CREATE TABLE ledger_search_term (
    term BLOB NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (term, event_id)
);
CREATE INDEX ledger_search_term_event ON ledger_search_term (event_id);

-- What an erasure that is on record has still to destroy. Empty but for moments, or after a crash.
CREATE TABLE ledger_erasure_target (
    erasure_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (erasure_id, event_id)
);

-- Which fold wrote the projected tables.
CREATE TABLE ledger_projection (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL
);
