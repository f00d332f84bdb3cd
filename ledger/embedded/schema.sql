-- One chain a file. The block is the truth; transactions and state follow from it and are checked by verify().
CREATE TABLE chain (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    format INTEGER NOT NULL,
    name TEXT NOT NULL,
    height INTEGER NOT NULL,
    header_hash BLOB NOT NULL,
    -- number of the newest configuration block
    configuration INTEGER NOT NULL
) STRICT;

CREATE TABLE blocks (
    number INTEGER PRIMARY KEY,
    -- SHA-256 of raw: SQLite keeps no checksums of its pages
    digest BLOB NOT NULL,
    raw BLOB NOT NULL
) STRICT;

CREATE TABLE transactions (
    id TEXT PRIMARY KEY,
    block INTEGER NOT NULL,
    position INTEGER NOT NULL,
    code INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Text is compared byte by byte (collation BINARY), which is the order of Fabric's keys.
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    block INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- CRC-32 of key, value and version, against flipped bits
    checksum INTEGER NOT NULL
) STRICT;
