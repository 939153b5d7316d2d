//! Where Haris keeps things: rows in SQLite or PostgreSQL, blobs in a folder.
//!
//! Nothing above this crate knows which engine is in use. SQL is written once, in the portable
//! subset: `$1` parameters, TEXT ids, INTEGER microseconds, JSON as TEXT, `ON CONFLICT`,
//! `RETURNING`. Schema text says `BLOB` and `INTEGER`; on PostgreSQL they read `BYTEA` and
//! `BIGINT` (see [`Engine::ddl`]). No other word differs.
//!
//! Writing on SQLite has one connection, which is the lock that SQLite would make us wait for
//! anyway, only fair and without busy errors; reading has a few of its own and never blocks it.

mod blobs;
mod engine;
mod failure;
mod folder;
mod insert;
mod kept;
mod migrate;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use blobs::{BlobError, Blobs, Put, ReadOnly};
pub use engine::Engine;
pub use failure::{is_damage, is_no_room};
pub use folder::Folder;
pub use insert::{ROWS_PER_STATEMENT, Value, insert};
pub use migrate::{Migrated, SCHEMA_VERSION, Schema};
pub use sqlx;
pub use store::{OpenError, SCHEMA_LOCK, Store, StoreOptions, Tx};
