//! Invented identifiers that pass the checks real ones pass, and secrets shaped like real ones.

/// A Qatari identity number: century, year of birth, country, serial.
pub const QID: &str = "28463400123";
/// A Qatari IBAN, mod 97 = 1.
pub const IBAN: &str = "QA41HRPB000000000310452077193";
/// A payment card that passes Luhn.
pub const CARD: &str = "4539982044170638";
/// A cloud provider's access-key id by its shape.
pub const SECRET: &str = "AKIAHARISPRACTICE234";
/// An e-mail address.
pub const EMAIL: &str = "noora.alhaddad@example.qa";

/// The marks that a leak must never carry through, with the label that replaces each.
pub const LEAKS: [(&str, &str); 4] =
    [(QID, "[REDACTED:QID]"), (IBAN, "[REDACTED:IBAN]"), (CARD, "[REDACTED:CARD]"), (SECRET, "[REDACTED:SECRET]")];

/// A sentence with every mark in it.
#[must_use]
pub fn leaking_text() -> String {
    format!(
        "The customer's QID is {QID}, her account {IBAN}, her card {CARD}; the vault opens with {SECRET} as before. \
         Good day."
    )
}

/// A text of about a kibibyte of ordinary English, for questions and answers without findings.
pub const PROSE: &str = "The branch on the corniche opens at half past seven on working days, and the queue is \
    shortest before nine. Bring the document that you were sent, and the clerk will compare it with what is on file \
    before anything is changed. If a signature is needed from somebody else, a form can be taken home and returned \
    within a week; it is also possible to sign in the app, which asks for the same confirmation. Savings accounts \
    earn interest at the end of every quarter. A standing order may be stopped until the evening before it is due. \
    Travellers should say where they are going, so that a payment abroad is not mistaken for theft and held. When a \
    statement seems wrong, write to the complaints desk and name the line that surprised you; an answer comes within \
    five working days, and the disputed sum is set aside until then. The desk keeps a record of each question, and a \
    second person reads every answer before it leaves. Children may hold an account together with a parent, with a \
    limit that the parent chooses.";
