//! What an auditor runs, with nothing else at hand.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = std::env::args_os().skip(1);
    let status = haris_verify::cli::main_with(args, &mut io::stdout().lock(), &mut io::stderr().lock());
    ExitCode::from(u8::try_from(status).unwrap_or(2))
}
