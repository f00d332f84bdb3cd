CREATE TABLE IF NOT EXISTS keys (
    device TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    record BLOB    NOT NULL,
    since  INTEGER NOT NULL,
    PRIMARY KEY (device, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_by_age ON keys (since);
