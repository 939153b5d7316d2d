-- What lets persons in: not folds, for no event may carry a name, a secret or a function of one. None of it means
-- anything without the account or token that events made.

-- `login` is how a person names their account, folded to lower case. The one-time codes' secret is made from `totp`
-- and a key that is not here. `totp_step` is the newest code's step: a code counts once.
CREATE TABLE access_credential (
    account TEXT PRIMARY KEY,
    login TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    passphrase TEXT NOT NULL,
    totp BLOB NOT NULL,
    totp_step INTEGER NOT NULL
);

CREATE TABLE access_recovery_code (
    code BLOB PRIMARY KEY,
    account TEXT NOT NULL
);
CREATE INDEX access_recovery_code_account ON access_recovery_code (account);

CREATE TABLE access_session (
    secret BLOB PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    agent TEXT NOT NULL
);
CREATE INDEX access_session_account ON access_session (account);

-- Devices that logged in before: they are slowed apart from strangers.
CREATE TABLE access_device (
    secret BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    seen_at INTEGER NOT NULL
);

CREATE TABLE access_token (
    secret BLOB PRIMARY KEY,
    token TEXT NOT NULL UNIQUE
);

-- Links by which a person sets the credentials of an account that was made for them.
CREATE TABLE access_invitation (
    secret BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    starts INTEGER NOT NULL,
    expires INTEGER NOT NULL
);
