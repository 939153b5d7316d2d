//! Executables: ELF, PE, Mach-O, Java classes, WebAssembly, Lua bytecode, Windows shortcuts. No model is one,
//! llamafiles included: they are a program with a model inside.

use haris_domain::Severity;

use crate::context::Context;
use crate::face::Face;
use crate::finding::Verdict;
use crate::format::{Claim, Format};
use crate::part::Part;
use crate::refs;
use crate::unread::Unread;

static EXECUTABLE: Face = Face::new(
    "artifact.executable",
    Severity::Critical,
    Verdict::Blocked,
    "Executable",
    "The bytes are a program or a native library. Running it, or registering it with a framework, runs whatever its \
     author wrote.",
    "Reject it as a model. Libraries of operators come through the bank's own build.",
    refs!["CWE-506", "CWE-829", "MITRE-ATLAS:AML.T0011.000"],
);

/// The format.
pub(crate) struct Executable;

impl Format for Executable {
    fn name(&self) -> &'static str {
        "executable"
    }

    fn rules(&self) -> &'static [&'static Face] {
        static RULES: &[&Face] = &[&EXECUTABLE];
        RULES
    }

    fn claim(&self, part: &Part) -> Claim {
        if kind(part).is_some() { Claim::Yes } else { Claim::No }
    }

    fn scan(&self, part: &Part, context: &mut Context<'_>) -> Result<(), Unread> {
        if let Some(kind) = kind(part) {
            context.find(&EXECUTABLE, kind);
        }
        Ok(())
    }
}

fn kind(part: &Part) -> Option<&'static str> {
    let head = &part.head;
    if head.starts_with(b"\x7fELF") && matches!(head.get(4), Some(1 | 2)) {
        return Some(match head.get(if head.get(5) == Some(&2) { 17 } else { 16 }) {
            Some(3) => "a native library (ELF)",
            _ => "a program (ELF)",
        });
    }
    if head.starts_with(b"MZqFpD") {
        return Some("a program for several systems (APE), as llamafiles are");
    }
    if head.starts_with(b"MZ") {
        let at = head.get(0x3c..0x40).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)?;
        let signature = part.source.some(u64::from(at), 4).unwrap_or_default();
        // Without the signature it is a DOS program, which Windows starts as well.
        return Some(if signature.starts_with(b"PE") { "a Windows program or library (PE)" } else { "a DOS program" });
    }
    match head.get(..4)? {
        [0xfe, 0xed, 0xfa, 0xce | 0xcf] | [0xce | 0xcf, 0xfa, 0xed, 0xfe] => {
            Some("a macOS program or library (Mach-O)")
        }
        // A Java class has a version where a fat binary counts its architectures.
        [0xca, 0xfe, 0xba, 0xbe] => {
            let count = u32::from_be_bytes(head.get(4..8)?.try_into().ok()?);
            Some(if count < 20 { "a macOS program or library (fat Mach-O)" } else { "a Java class" })
        }
        [0, b'a', b's', b'm'] => Some("a WebAssembly module"),
        [0x1b, b'L', b'u', b'a'] => Some("Lua bytecode"),
        [0x1b, b'L', b'J', _] => Some("LuaJIT bytecode"),
        [b'd', b'e', b'x', b'\n'] => Some("an Android program (DEX)"),
        [0x4c, 0, 0, 0] if head.get(4..8) == Some(&[1, 0x14, 2, 0]) => Some("a Windows shortcut"),
        [0xd0, 0xcf, 0x11, 0xe0] => Some("an OLE container, as installers and macro documents are"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::Verdict;
    use crate::testing::{scan, verdict_of};

    #[test]
    fn programs_are_blocked() {
        let elf = [&b"\x7fELF\x02\x01\x01"[..], &[0; 60]].concat();
        assert_eq!(scan(elf.clone()).format, "executable");
        let mut pe = vec![0; 200];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe[0x80..0x84].copy_from_slice(b"PE\0\0");
        for bytes in [
            elf,
            pe,
            b"MZqFpD='\n".to_vec(),
            b"\xca\xfe\xba\xbe\0\0\0\x34abcdef".to_vec(),
            b"\xcf\xfa\xed\xfe\x07\0\0\x01".to_vec(),
            b"\x1bLua\x51".to_vec(),
            b"\0asm\x01\0\0\0".to_vec(),
        ] {
            assert_eq!(verdict_of(bytes), Verdict::Blocked);
        }
    }
}
