-- What has been delivered to an operator's sink, and when last: not a fold, for it tells of the world outside.
CREATE TABLE outbox_delivery (
    message TEXT PRIMARY KEY,
    at INTEGER NOT NULL
);
