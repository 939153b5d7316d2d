//! Manual pages, made from the same words as `--help`: packages bring them along.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use clap::CommandFactory as _;

use crate::{Arguments, Failure};

/// Writes a page for each command into `folder`, which is made where it is missing, and one for `haris-verify`.
pub(crate) fn run(folder: &Path) -> Result<(), Failure> {
    let wrote = fs::create_dir_all(folder).and_then(|()| {
        clap_mangen::generate_to(Arguments::command(), folder)?;
        let mut page = BufWriter::new(File::create(folder.join("haris-verify.1"))?);
        verifier(&mut page)?;
        page.flush()
    });
    wrote.map_err(|error| Failure::because(&format!("could not write manual pages to `{}`", folder.display()), &error))
}

/// `haris-verify` reads its arguments without clap, so as to depend on nothing; its page is its `--help`, line by line.
fn verifier(page: &mut impl Write) -> io::Result<()> {
    writeln!(page, ".TH haris-verify 1 \"\" \"haris-verify {}\"", env!("CARGO_PKG_VERSION"))?;
    page.write_all(b".SH NAME\nharis\\-verify \\- checks an evidence bundle, a proof or a receipt offline\n")?;
    page.write_all(b".SH DESCRIPTION\n.nf\n")?;
    for line in haris_verify::cli::HELP.lines() {
        // Without the mark before it, a line that begins with a point or an apostrophe would be a request.
        writeln!(page, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    page.write_all(b".fi\n.SH SEE ALSO\n.BR haris (1)\n")
}
