//! `haris db migrate`: the database's schema before a new version serves. A start does the same by itself; this says
//! beforehand what it would do, and lets a person do it at a time of their own.

use std::process::ExitCode;

use haris_store::{Migrated, OpenError, SCHEMA_VERSION, Schema, Store};
use serde_json::json;

use crate::config::Config;
use crate::home::{Folders, lock, not_as_root_for_others};
use crate::output::{self, Format};
use crate::progress::Waiting;
use crate::remote::{block_on, installed};
use crate::{Failure, Place};

/// `haris db migrate`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Say what would run, and on which database; change nothing.
    #[arg(long)]
    check: bool,
    /// Keep no copy of the database from before: for whoever made one.
    #[arg(long, conflicts_with = "check")]
    without_copy: bool,
    #[command(flatten)]
    place: Place,
    /// How to print [default: table on a terminal].
    #[arg(long)]
    format: Option<Format>,
}

/// With `--check`, exit code 1 when something would run.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let folders = Folders::of(&arguments.place)?;
    installed(&folders, folders.installed())?;
    let config = Config::read(arguments.place.config.as_deref())?;
    let sql = config.sql(&folders.data)?;
    // Whoever only looks may do so while an older version serves.
    let _lock = if arguments.check {
        None
    } else {
        not_as_root_for_others(&folders.data)?;
        Some(lock(&folders.data)?)
    };
    let (schema, migrated) = block_on(async {
        let failed = |error: OpenError| Failure::because("storage", &error);
        let Some(schema) = Schema::of(&sql).await.map_err(failed)? else {
            return Err(Failure::usage(format!(
                "there is no database in {}: restore it, or start `haris serve` with the configuration that names it",
                folders.data.display()
            )));
        };
        if arguments.check || schema.pending.is_empty() {
            return Ok((schema, Migrated::default()));
        }
        let _waiting = Waiting::while_("db.migrate");
        let migrated = Store::migrate(&sql, !arguments.without_copy).await.map_err(failed)?;
        Ok((schema, migrated))
    })?;
    if Format::or_by_terminal(arguments.format) == Format::Json {
        let pending = if arguments.check { schema.pending.as_slice() } else { &[] };
        output::json(&json!({
            "schema": "haris.migrate/1", "engine": schema.engine.name(), "database": schema.database,
            "found": schema.found, "known": SCHEMA_VERSION, "pending": pending, "ran": migrated.ran,
            "copy": migrated.copy,
        }))?;
    } else {
        print(arguments, &schema, &migrated)?;
    }
    Ok(ExitCode::from(u8::from(arguments.check && !schema.pending.is_empty())))
}

fn print(arguments: &Arguments, schema: &Schema, migrated: &Migrated) -> Result<(), Failure> {
    let database = format!("{} database {}", schema.engine.name(), schema.database);
    if schema.pending.is_empty() {
        return output::line(&format!("{database} has schema {}: nothing is to be done", schema.found));
    }
    let names = schema.pending.join(", ");
    if arguments.check {
        return output::line(&format!("{database} has schema {}; a start would run {names}", schema.found));
    }
    output::line(&format!("{database} had schema {} and has {SCHEMA_VERSION}: {names}", schema.found))?;
    match &migrated.copy {
        Some(copy) => output::line(&format!("a copy from before is kept in {copy} until something is erased")),
        None => Ok(()),
    }
}
