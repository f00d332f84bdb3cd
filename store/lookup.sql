-- Where each object lies. A cache: everything here can be read again from the packs themselves.
PRAGMA user_version = 1;
CREATE TABLE packs (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE objects (
    kind    INTEGER NOT NULL,
    address BLOB    NOT NULL,
    pack    TEXT    NOT NULL,
    start   INTEGER NOT NULL,
    length  INTEGER NOT NULL,
    PRIMARY KEY (kind, address, pack)
) WITHOUT ROWID;
CREATE INDEX objects_by_pack ON objects (pack);
