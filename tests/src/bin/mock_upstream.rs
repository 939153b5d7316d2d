//! The mock upstream as a process, for tests in Python and for benchmarks.
//!
//! `mock-upstream [ADDRESS] [--forgetful]`: prints `mock: http://ADDRESS/v1` and serves until killed.
#![allow(clippy::print_stdout, reason = "the address on stdout is what the caller waits for")]

use std::io::Write;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut address = "127.0.0.1:0".to_owned();
    let mut remember = true;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--forgetful" => remember = false,
            other => other.clone_into(&mut address),
        }
    }
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("mock: http://{}/v1", listener.local_addr()?);
    std::io::stdout().flush()?;
    haris_tests::upstream::serve(listener, remember).await
}
