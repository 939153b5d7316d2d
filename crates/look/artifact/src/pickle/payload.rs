//! Whether a text handed to an unknown callable reads like a payload.
//!
//! A known callable never comes here, so these words need not tell prose from attack in general, only
//! an argument of a constructor (`'linear'`, `'utf-8'`, `'Layer.3'`) from a command, code, path or address.

/// Beginnings of commands, as a word of their own.
const COMMANDS: &[&str] = &[
    "sh",
    "bash",
    "zsh",
    "dash",
    "cmd",
    "cmd.exe",
    "powershell",
    "pwsh",
    "python",
    "python3",
    "perl",
    "ruby",
    "node",
    "curl",
    "wget",
    "nc",
    "ncat",
    "netcat",
    "socat",
    "ssh",
    "scp",
    "rm",
    "cp",
    "mv",
    "chmod",
    "chown",
    "touch",
    "mkdir",
    "cat",
    "echo",
    "printf",
    "id",
    "whoami",
    "uname",
    "hostname",
    "env",
    "ls",
    "ps",
    "kill",
    "crontab",
    "nohup",
    "sudo",
    "calc",
    "calc.exe",
    "notepad",
    "notepad.exe",
    "xcalc",
    "open",
    "start",
    "sleep",
    "ping",
    "nslookup",
    "dig",
    "base64",
    "tar",
    "eval",
    "exec",
    "true",
    "xterm",
];

/// Parts that no identifier, label or option has.
const TELLING: &[&str] = &[
    "://",
    "/etc/",
    "/tmp/",
    "/bin/",
    "/dev/",
    "/proc/",
    concat!("/ro", "ot/"),
    "/var/",
    "/usr/",
    "../",
    "..\\",
    "~/",
    "c:\\",
    "$(",
    "`",
    "&&",
    "||",
    " | ",
    "; ",
    ">&",
    ">/",
    "> ",
    "__import__",
    "__builtins__",
    "__globals__",
    "__class__",
    "__subclasses__",
    "import os",
    "import sys",
    "import subprocess",
    "import socket",
    "os.system",
    "os.popen",
    "subprocess",
    "socket.",
    "exec(",
    "eval(",
    "compile(",
    "open(",
    "system(",
    "popen(",
    "getattr(",
    "print(",
    "lambda ",
    "<script",
    "/c ",
    "-c ",
];

/// Whether a text reads like a command, code, a path or an address.
pub(crate) fn is_payload(text: &str) -> bool {
    let lower = text.trim().to_lowercase();
    if TELLING.iter().any(|part| lower.contains(part)) {
        return true;
    }
    let word = lower.split(|c: char| c.is_whitespace() || c == ';' || c == '|').next().unwrap_or_default();
    COMMANDS.contains(&word) || lower.starts_with('/') && lower.len() > 1
}

/// Names in a function's code that no model needs.
const IN_CODE: &[&str] = &[
    "system",
    "popen",
    "Popen",
    "subprocess",
    "check_output",
    "check_call",
    "getoutput",
    "exec",
    "execve",
    "execvp",
    "spawn",
    "fork",
    "__import__",
    "import_module",
    "ctypes",
    "CDLL",
    "socket",
    "urlopen",
    "urllib",
    "requests",
    "marshal",
    "b64decode",
    "setuid",
    "rmtree",
    "os.system",
    "pty",
    "exec_module",
    "compile",
];

/// Whether a name or constant in a function's code says that it runs programs or other code.
pub(crate) fn is_danger_in_code(text: &str) -> bool {
    IN_CODE.contains(&text) || (text.len() > 3 && text.contains(' ') && is_payload(text) && has_command_form(text))
}

/// Constants of honest functions are prose (docstrings); a command has an operator or a path in it.
fn has_command_form(text: &str) -> bool {
    ["/bin/", "/etc/", "curl ", "wget ", "bash -", "sh -c", "os.system", "subprocess", "__import__", "powershell"]
        .iter()
        .any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_read_like_payloads_and_options_do_not() {
        for text in
            ["id", "touch /tmp/x", "http://evil.example/x", "__import__('os').system('id')", "/etc/passwd", "calc.exe"]
        {
            assert!(is_payload(text), "{text}");
        }
        for text in ["linear", "utf-8", "latin1", "Layer.3", "mean_squared_error", "f8", "cuda:0", "feature 1", "l2"] {
            assert!(!is_payload(text), "{text}");
        }
    }
}
