//! Payloads: opened, found, held, and erased for good.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use haris_domain::{Actor, DetectionKind, Event, EventId, Log, kind};
use haris_ledger::{Erase, EraseBy, EraseError, HoldScope, Ledger, Payload, ProofState};
use haris_spool::{Position, Record};
use haris_store::sqlx::{self, Row};
use haris_store::testing::ENGINES;
use haris_store::{Blobs, Engine};
use support::{Failing, Place, Traffic, assert_sealed, at, tamper};

const FATIMA: &str = "28463400123";
const NOORA: &str = "28763400999";

/// Three interactions, two of them Fatima's, in two batches.
async fn three(ledger: &Ledger) -> [[Record; 2]; 3] {
    let mut traffic = Traffic::new("g1");
    let one = traffic.asked(ledger, at(10), "MARKER-one about Fatima", FATIMA);
    let two = traffic.asked(ledger, at(20), "MARKER-two about Noora", NOORA);
    let three = traffic.asked(ledger, at(30), "MARKER-three about Fatima", FATIMA);
    let first: Vec<_> = one.iter().chain(&two).cloned().collect();
    ledger.ingest("s", &first, Position { segment: 1, offset: 1 }).await.unwrap();
    ledger.ingest("s", &three, Position { segment: 1, offset: 2 }).await.unwrap();
    [one, two, three]
}

fn request(by: EraseBy) -> Erase {
    Erase {
        by,
        reason: "asked by the customer".into(),
        legal_basis: "QA-law-13-2016:art-5".into(),
        actor: Actor::local(0),
    }
}

fn subject(identifier: &str) -> EraseBy {
    EraseBy::Subject { kind: None, identifier: identifier.into() }
}

async fn text(ledger: &Ledger, id: EventId, name: &str) -> String {
    match ledger.open_payload(id, name).await.unwrap() {
        Payload::Text { text, .. } => String::from_utf8(text.to_vec()).unwrap(),
        other => format!("{other:?}"),
    }
}

/// The text of each question.
async fn texts(ledger: &Ledger, all: &[[Record; 2]; 3]) -> [String; 3] {
    let mut texts = [const { String::new() }; 3];
    for (slot, [request, _]) in texts.iter_mut().zip(all) {
        *slot = text(ledger, request.leaf.id, "request").await;
    }
    texts
}

#[tokio::test]
async fn a_payload_opens_and_matches_its_commitment() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let [one, two, _] = three(&ledger).await;
        // A later start has to unwrap the day's key first.
        for ledger in [ledger, place.open("b2").await] {
            assert_eq!(text(&ledger, one[0].leaf.id, "request").await, "MARKER-one about Fatima");
            assert_eq!(text(&ledger, two[1].leaf.id, "response").await, "answer to MARKER-two about Noora");
            assert_eq!(text(&ledger, two[1].leaf.id, "raw").await, "NotStored");
            assert_eq!(text(&ledger, one[0].leaf.id, "nothing").await, "Unknown");
            assert_eq!(text(&ledger, EventId::now(at(0)), "request").await, "Unknown");
        }
    }
}

#[tokio::test]
async fn damaged_or_exchanged_payloads_do_not_open() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let [one, two, three] = three(&ledger).await;
        tamper(&ledger, "UPDATE ledger_payload_key SET pack_offset = pack_offset + 1 WHERE name = 'request'").await;
        assert!(ledger.open_payload(one[0].leaf.id, "request").await.is_err());
        // A key moved from another event is no key.
        tamper(
            &ledger,
            "UPDATE ledger_payload_key SET wrapped = (SELECT wrapped FROM ledger_payload_key WHERE name = 'request' \
             ORDER BY event_id LIMIT 1)",
        )
        .await;
        assert!(ledger.open_payload(two[1].leaf.id, "response").await.is_err());
        for pack in place.blobs().list("payloads").unwrap() {
            place.blobs().delete(&pack).unwrap();
        }
        assert!(ledger.open_payload(three[1].leaf.id, "response").await.is_err());
    }
}

#[tokio::test]
async fn an_identifier_finds_its_events_in_any_spelling() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let all = three(&ledger).await;
        let found = async |kind, identifier| ledger.search(kind, identifier).await.unwrap();
        let hers = [all[0][0].leaf.id, all[2][0].leaf.id];
        assert_eq!(found(Some(DetectionKind::Qid), FATIMA).await, hers);
        assert_eq!(found(None, "٢٨٤٦٣٤٠٠١٢٣").await, hers);
        assert_eq!(found(None, "284-634-00123").await, hers);
        assert_eq!(found(Some(DetectionKind::Iban), FATIMA).await, []);
        assert_eq!(found(None, "28463400124").await, []);
        // Each month has a key of its own; a search asks them all.
        let mut traffic = Traffic::new("g2");
        let later = at(60 * 86_400);
        ledger.ensure_day_keys(later).await.unwrap();
        let records = traffic.asked(&ledger, later, "later", FATIMA);
        ledger.ingest("t", &records, Position { segment: 1, offset: 1 }).await.unwrap();
        assert_eq!(found(None, FATIMA).await, [hers[0], hers[1], records[0].leaf.id]);
        let rows = sqlx::query("SELECT term FROM ledger_search_term").fetch_all(ledger.sql()).await.unwrap();
        let terms: std::collections::BTreeSet<Vec<u8>> = rows.iter().map(|row| row.get("term")).collect();
        assert_eq!((rows.len(), terms.len()), (4, 3));
    }
}

#[tokio::test]
async fn erasing_a_subject_takes_question_and_answer_and_nobody_elses() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let all = three(&ledger).await;
        let erased = ledger.erase(request(subject("284 634 00123")), &[], at(100)).await.unwrap();
        assert_eq!((erased.events, erased.payloads, erased.records.len()), (4, 8, 1));
        assert_eq!(texts(&ledger, &all).await, ["Erased", "MARKER-two about Noora", "Erased"]);
        assert_eq!(text(&ledger, all[0][1].leaf.id, "response").await, "Erased", "the answer goes with the question");
        assert_eq!(ledger.search(None, FATIMA).await.unwrap(), []);
        assert_eq!(ledger.search(None, NOORA).await.unwrap(), [all[1][0].leaf.id]);
        let again = ledger.erase(request(subject(FATIMA)), &[], at(101)).await;
        assert!(matches!(again, Err(EraseError::Nothing)));

        let record = ledger.find(erased.records[0]).await.unwrap().unwrap();
        assert!(matches!(ledger.proof_state(record.log, record.index).await.unwrap(), ProofState::Sealed { .. }));
        let event = Event::parse(&record.bytes).unwrap();
        assert_eq!(event.data["legal_basis"], "QA-law-13-2016:art-5");
        assert_eq!(event.data["events"].as_array().unwrap().len(), 4);
        assert!(!String::from_utf8(record.bytes).unwrap().contains("customer"), "the reason is a payload");
        assert_eq!(text(&ledger, event.id, "reason").await, "asked by the customer");
        ledger.seal(at(102)).await.unwrap();
        assert_sealed(&ledger).await;
    }
}

#[tokio::test]
async fn erasing_by_event_and_by_date() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let all = three(&ledger).await;
        // Naming the answer takes the question too.
        ledger.erase(request(EraseBy::Event(all[1][1].leaf.id)), &[], at(100)).await.unwrap();
        assert_eq!(texts(&ledger, &all).await, ["MARKER-one about Fatima", "Erased", "MARKER-three about Fatima"]);
        let erased = ledger.erase(request(EraseBy::Before(at(30))), &[], at(101)).await.unwrap();
        assert_eq!(erased.events, 2);
        assert_eq!(texts(&ledger, &all).await, ["Erased", "Erased", "MARKER-three about Fatima"]);
        let late = ledger.erase(request(EraseBy::Before(at(1000))), &[], at(1002)).await.unwrap();
        assert_eq!(late.events, 2, "reasons of erasures are not traffic");
        assert_eq!(text(&ledger, erased.records[0], "reason").await, "asked by the customer");
        let unknown = EventId::now(at(0));
        let refused = ledger.erase(request(EraseBy::Event(unknown)), &[], at(1003)).await;
        assert!(matches!(refused, Err(EraseError::NoEvent { id }) if id == unknown));
        let mut prose = request(EraseBy::Before(at(1000)));
        prose.legal_basis = "because Fatima asked".into();
        assert!(matches!(ledger.erase(prose, &[], at(1004)).await, Err(EraseError::LegalBasis)));
        assert!(place.blobs().list("payloads").unwrap().len() <= 3, "packs without living payloads are gone");
    }
}

#[tokio::test]
async fn a_hold_blocks_what_it_covers_and_names_itself() {
    for engine in ENGINES {
        let place = Place::new(engine);
        let ledger = place.open("b1").await;
        let all = three(&ledger).await;
        let subject_of = |identifier: &str| HoldScope::Subject { kind: None, identifier: identifier.into() };
        let scopes = [
            (HoldScope::Everything, [true, true]),
            (HoldScope::Events(vec![all[0][1].leaf.id]), [true, false]),
            (HoldScope::Range { from: at(19), to: at(29) }, [false, true]),
            (subject_of("284 634 001 23"), [true, false]),
            (subject_of("29999999999"), [false, false]),
        ];
        for (scope, [blocks_fatima, blocks_noora]) in scopes {
            let hold = ledger.hold(scope.clone(), "a court asks", Actor::local(0), at(200)).await.unwrap();
            assert_eq!(ledger.holds().await.unwrap()[0].id, hold);
            for (identifier, blocks) in [(FATIMA, blocks_fatima), (NOORA, blocks_noora)] {
                if !blocks {
                    continue;
                }
                let refused = ledger.erase(request(subject(identifier)), &[], at(201)).await;
                assert!(
                    matches!(refused, Err(EraseError::Held { hold: by, .. }) if by == hold),
                    "{scope:?} {refused:?}"
                );
            }
            ledger.lift(hold, "the court is done", Actor::local(0), at(202)).await.unwrap();
            assert_eq!(ledger.holds().await.unwrap(), []);
            assert!(matches!(ledger.lift(hold, "", Actor::local(0), at(203)).await, Err(EraseError::NoHold { .. })));
        }
        assert_eq!(texts(&ledger, &all).await[0], "MARKER-one about Fatima", "nothing was erased meanwhile");
        let noora = ledger.hold(subject_of(NOORA), "a court asks", Actor::local(0), at(204)).await.unwrap();
        ledger.erase(request(subject(FATIMA)), &[], at(205)).await.unwrap();
        assert_eq!(texts(&ledger, &all).await, ["Erased", "MARKER-two about Noora", "Erased"]);
        // The leaf of a hold does not say whom it is about.
        let leaf = ledger.find(noora).await.unwrap().unwrap().bytes;
        assert!(!String::from_utf8(leaf).unwrap().contains(NOORA));
    }
}

/// The process dies at every change of the blob store: the erasure is on record or nothing happened, and the next
/// start finishes what is on record.
#[tokio::test]
async fn an_erasure_that_was_cut_short_is_finished_at_the_next_start() {
    for died_after in 0.. {
        let place = Place::new(Engine::Sqlite);
        let ledger = place.open("b1").await;
        let all = three(&ledger).await;
        ledger.seal(at(50)).await.unwrap();
        drop(ledger);
        let failing = Failing { inner: place.blobs(), changes_left: AtomicUsize::new(died_after) };
        let ledger = place.open_with("b2", Arc::new(failing)).await.unwrap();
        let done = ledger.erase(request(subject(FATIMA)), &[], at(100)).await.is_ok();
        let rows = ledger.read(Log::Evidence, 0, 100).await.unwrap();
        drop(ledger);
        let on_record = rows.iter().any(|row| *Event::parse(&row.bytes).unwrap().kind == kind::PAYLOAD_ERASED);
        let ledger = place.open("b3").await;
        let expected = if on_record { "Erased" } else { "MARKER-one about Fatima" };
        let [one, two, _] = texts(&ledger, &all).await;
        assert_eq!(
            (one.as_str(), two.as_str()),
            (expected, "MARKER-two about Noora"),
            "died after {died_after} changes"
        );
        assert_eq!(ledger.status().await.unwrap().erasures_unfinished, 0);
        if done {
            assert!(on_record && died_after > 4);
            break;
        }
    }
}

fn bytes_under(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            bytes.extend(bytes_under(&entry.path()));
        } else {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Every byte under the data directory is searched, database, write-ahead log and blobs alike.
#[tokio::test]
async fn after_an_erasure_neither_key_nor_ciphertext_nor_term_is_left_on_the_disk() {
    let place = Place::new(Engine::Sqlite);
    let ledger = place.open("b1").await;
    let [one, two, _] = three(&ledger).await;
    let before = bytes_under(place.scratch.path());
    assert!(!contains(&before, b"MARKER") && !contains(&before, FATIMA.as_bytes()), "nothing lies in clear");
    let gone = &one[0].payloads[0];
    let stays = &two[0].payloads[0];
    let term = sqlx::query("SELECT term FROM ledger_search_term WHERE event_id = $1").bind(one[0].leaf.id.to_string());
    let term: Vec<u8> = term.fetch_one(ledger.sql()).await.unwrap().get("term");
    for part in [&gone.wrapped_key, &gone.ciphertext, &term, &stays.wrapped_key, &stays.ciphertext] {
        assert!(contains(&before, part), "the test looks in the right places");
    }
    ledger.erase(request(subject(FATIMA)), &[], at(100)).await.unwrap();
    let after = bytes_under(place.scratch.path());
    for part in [&gone.wrapped_key, &gone.ciphertext, &term] {
        assert!(!contains(&after, part));
    }
    for part in [&stays.wrapped_key, &stays.ciphertext] {
        assert!(contains(&after, part), "nobody else's is touched");
    }
}
