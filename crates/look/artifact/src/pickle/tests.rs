//! The machine on small pickles written by hand, opcode by opcode.

use super::*;
use crate::budget::Limits;
use crate::knowledge::Knowledge;

fn notes(pickle: &[u8]) -> Vec<String> {
    let source = Source::memory(pickle.to_vec());
    let reading = read(&source, &Knowledge::built_in(), &Budget::new(Limits::default())).unwrap();
    reading.notes.iter().map(|note| note.face.rule.id.trim_start_matches("artifact.pickle-").to_owned()).collect()
}

#[track_caller]
fn check(pickle: &[u8], wanted: &[&str]) {
    assert_eq!(notes(pickle), wanted, "{}", pickle.escape_ascii());
}

#[test]
fn every_way_to_call_is_a_call() {
    check(b"cos\nsystem\n(S'id'\ntR.", &["dangerous-call"]);
    check(b"(S'id'\nios\nsystem\n.", &["dangerous-call"]);
    check(b"(cos\nsystem\nS'id'\no.", &["dangerous-call"]);
    check(b"\x80\x02cos\nsystem\nU\x02id\x85R.", &["dangerous-call"]);
    check(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.", &["dangerous-call"]);
    check(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85\x81.", &["dangerous-call"]);
    check(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85}\x92.", &["dangerous-call"]);
}

#[test]
fn names_hide_behind_escapes_memo_and_duplicates() {
    check(b"\x80\x04S'o\\x73'\nV\\u0073ystem\n\x93\x8c\x02id\x85R.", &["dangerous-call"]);
    check(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x02id\x85R.", &["dangerous-call"]);
}

#[test]
fn paths_getters_and_partials_are_followed() {
    check(b"\x80\x04crandom\n_os.system\n\x8c\x02id\x85R.", &["dangerous-call"]);
    check(
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'id'\ntR.",
        &["dangerous-call", "dangerous-call"],
    );
    let partial = b"cfunctools\npartial\n(cos\nsystem\nS'id'\ntR)R.";
    check(partial, &["dangerous-call"]);
    check(b"coperator\nmethodcaller\n(S'system'\nS'id'\ntR(cos\nos\ntR.", &["dangerous-name", "dangerous-call"]);
}

#[test]
fn what_breaks_is_said_and_what_ran_before_is_not_forgotten() {
    check(b"cos\nsystem\n(S'id'\ntR\xff\xff", &["dangerous-call", "broken"]);
    check(b"\x80\x04K\x01", &["broken"]);
    check(b"\x80\x04h\x07.", &["broken"]);
}

#[test]
fn plain_data_is_clean() {
    check(b"\x80\x04\x95\x08\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01K\x02e.", &[]);
    check(b"(dp0\nS'a'\np1\nI1\ns.", &[]);
    check(b"\x80\x02ccollections\nOrderedDict\n)R.", &[]);
}

#[test]
fn the_unknown_is_never_silently_clean() {
    check(b"\x80\x02cbankmodels.credit\nScore\n)\x81.", &["unknown-class"]);
    check(b"\x80\x02cbankmodels.credit\nload\n)R.", &["unknown-call"]);
    check(b"\x80\x02cbankmodels.credit\nload\nU\x0bcurl http:/\x85R.", &["payload-call"]);
    check(b"\x80\x02cbankmodels.credit\nload\n.", &["unknown-name"]);
}

#[test]
fn second_pickles_and_what_follows_are_seen() {
    check(b"\x80\x02K\x01.\x80\x02cos\nsystem\nU\x02id\x85R.", &["dangerous-call"]);
    check(b"\x80\x02K\x01.cos\nsystem\n(S'id'\ntR.", &["dangerous-call"]);
    check(b"\x80\x02K\x01.hello there", &["trailing-data"]);
}

#[test]
fn text_is_no_pickle_and_a_pickle_without_a_header_is() {
    let knowledge = Knowledge::built_in();
    let is =
        |bytes: &[u8]| is_pickle(&Source::memory(bytes.to_vec()), &knowledge, &Budget::new(Limits::default())).unwrap();
    assert!(is(b"cos\nsystem\n(S'id'\ntR."));
    assert!(is(b"(dp0\nS'a'\np1\nI1\ns."));
    assert!(is(b"I1\ncos\nsystem\n(S'id'\ntR\xff"));
    for text in
        ["import os\nimport sys\n", "class Model:\n    pass\n", "N. American sales\n", "Name,age\n", "K. Smith", ""]
    {
        assert!(!is(text.as_bytes()), "{text}");
    }
}
