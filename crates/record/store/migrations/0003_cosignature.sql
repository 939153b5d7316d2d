-- What witnesses answered: the truth of a cosignature; the published checkpoint carries copies of
-- `line`. `signer` is `name+id` of the witness's key, `at` the POSIX seconds that it signed.
CREATE TABLE ledger_cosignature (
    log TEXT NOT NULL,
    size INTEGER NOT NULL,
    signer TEXT NOT NULL,
    at INTEGER NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (log, size, signer)
);
