//! A program that reads the message as JSON on its standard input; exit code 0 is delivery.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use super::{BadSink, NotDelivered};
use crate::Message;

/// A program of the operator's.
#[derive(Debug)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
}

impl Command {
    /// A program by its full path, and its arguments. No shell is in between.
    ///
    /// # Errors
    /// When nothing is named, or not by its full path.
    pub fn new(words: &[String]) -> Result<Self, BadSink> {
        match words.split_first() {
            Some((program, arguments)) if program.starts_with('/') => {
                Ok(Self { program: program.clone(), arguments: arguments.to_vec() })
            }
            _ => Err(BadSink(
                "name the command as a list that begins with its full path, like [\"/usr/local/bin/page\"]".to_owned(),
            )),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("command {}", self.program)
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), NotDelivered> {
        let failed = |error: std::io::Error| NotDelivered::Unreachable { sink: self.name(), why: error.to_string() };
        // A clean environment: ours holds the providers' keys.
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            let body = format!("{}\n", message.body);
            match stdin.write_all(body.as_bytes()).await {
                // One that does not read its input may still have done its work.
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(failed(error)),
                _ => {}
            }
        }
        let status = child.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        Err(NotDelivered::Refused { sink: self.name(), why: status.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_named_by_its_full_path() {
        assert!(Command::new(&["/bin/cat".into(), "-n".into()]).is_ok());
        for bad in [vec![], vec!["cat".to_owned()], vec![String::new()]] {
            assert!(Command::new(&bad).is_err(), "{bad:?}");
        }
    }
}
