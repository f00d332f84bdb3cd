-- What was read of one chain: a cache that can be rebuilt from the ledger at any time.
CREATE TABLE IF NOT EXISTS position (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    height INTEGER NOT NULL,        -- the block that is read next
    snapshot BLOB NOT NULL          -- ChainStateSnapshot without its primes (they are in element)
);
CREATE TABLE IF NOT EXISTS element (
    number INTEGER PRIMARY KEY,
    block INTEGER NOT NULL,
    position INTEGER NOT NULL,      -- in the block
    code INTEGER NOT NULL,
    envelope_hash BLOB NOT NULL,
    payload BLOB NOT NULL,
    function TEXT NOT NULL,
    tx TEXT NOT NULL,
    prime BLOB NOT NULL,            -- the canonical prime representative, 33 bytes big-endian
    certificate INTEGER NOT NULL    -- its offset
);
CREATE INDEX IF NOT EXISTS element_by_tx ON element (tx);
CREATE TABLE IF NOT EXISTS statement (
    number INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    statement BLOB NOT NULL,
    append_only BLOB                -- the proof, once somebody asked for it
);
CREATE INDEX IF NOT EXISTS statement_by_last ON statement (last);
CREATE TABLE IF NOT EXISTS lookup (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (kind, key, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS membership_witness (
    number INTEGER PRIMARY KEY,
    anchor INTEGER NOT NULL,
    witness BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS membership_witness_by_anchor ON membership_witness (anchor);
