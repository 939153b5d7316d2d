//! Root with the log's key, who writes another history: before a witness has seen the first, and after.

use std::fs;

use haris_tests::server::eventually;

use crate::support::{
    Auditor, Watched, Witness, ask, config, configure, copy_folder, export, policy, put_back, refuses_to_start, stop,
};

/// Delete, insert, reorder, back-date, truncate: whoever holds the key can do all of them by going back to an early
/// copy and going on differently. That is what these tests do.
#[tokio::test]
async fn without_a_witness_another_history_is_possible_and_said_to_be() {
    let mut bank = Watched::start("");
    let client = bank.haris.client("tests");
    stop(&mut bank.haris);
    configure(&bank.haris, &config(&[], ""));
    let early = bank.haris.home().join("early");
    copy_folder(&bank.haris.data(), &early);
    bank.haris.launch();
    ask(&client.at(&bank.haris.base()), 3).await;
    stop(&mut bank.haris);

    put_back(&early, &bank.haris.data());
    bank.haris.launch();
    ask(&client.at(&bank.haris.base()), 1).await;
    let bundle = fs::read(export(&bank.haris, "rewritten.zip")).unwrap();
    let auditor = Auditor::new(&[
        ("b.zip", &bundle),
        ("keys", bank.logs.join("\n").as_bytes()),
        ("policy", bank.policy().as_bytes()),
    ]);
    let (proven, said) = auditor.verify(&["b.zip", "--key", "keys"]);
    assert!(proven && said.starts_with("signed by the operator only"), "{said}");
    assert!(said.contains("not witnessed: the operator can still change it"), "{said}");
    // Whoever asks for witnesses is not taken in, and whoever asks the witness itself sees why.
    let (proven, said) = auditor.verify(&["b.zip", "--policy", "policy"]);
    assert!(!proven && said.contains("quorum of witnesses has not signed"), "{said}");
    let url = bank.witness.url();
    let (proven, said) = auditor.verify(&["b.zip", "--policy", "policy", "--witness", &url]);
    assert!(!proven && said.contains("witness"), "{said}");
}

#[tokio::test]
async fn after_witnessing_an_old_copy_does_not_start_and_another_history_is_a_fork() {
    let mut bank = Watched::start("");
    let client = bank.haris.client("tests");
    ask(&client, 2).await;
    stop(&mut bank.haris);
    let early = bank.haris.home().join("early");
    copy_folder(&bank.haris.data(), &early);
    bank.haris.launch();
    ask(&client.at(&bank.haris.base()), 4).await;
    bank.settled();
    let honest = fs::read(export(&bank.haris, "honest.zip")).unwrap();
    stop(&mut bank.haris);
    let mirror = bank.haris.home().join("mirror");
    copy_folder(&bank.haris.data().join("blobs"), &mirror);

    // Restored: the start is refused before anything is signed, and so is every command that would sign.
    put_back(&early, &bank.haris.data());
    let said = refuses_to_start(&bank.haris);
    assert!(said.contains("older copy") && said.contains("Nothing was signed"), "{said}");
    let refused =
        bank.haris.run(&["callers", "add", "eve", "--data", "{data}", "--keys", "{keys}", "--config", "haris.toml"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("older copy"));
    assert!(!refused.status.success());

    // With the witness taken out of the configuration it starts, and makes a bundle. That bundle convicts it.
    let url = bank.witness.url();
    let honest_config = fs::read_to_string(bank.haris.home().join("haris.toml")).unwrap();
    configure(&bank.haris, &config(&[], ""));
    bank.haris.launch();
    ask(&client.at(&bank.haris.base()), 9).await;
    let forged = fs::read(export(&bank.haris, "forged.zip")).unwrap();
    let policy = bank.policy();
    let auditor = Auditor::new(&[("honest.zip", &honest), ("forged.zip", &forged), ("policy", policy.as_bytes())]);
    let (proven, said) = auditor.verify(&["forged.zip", "--policy", "policy"]);
    assert!(!proven && said.contains("quorum of witnesses has not signed"), "{said}");
    assert!(said.contains("changed configuration (witnesses)"), "the change itself is on record: {said}");
    // The witness does not confirm it; with the tiles of what it has seen, the fork is proven.
    let (proven, said) = auditor.verify(&["forged.zip", "--policy", "policy", "--witness", &url]);
    assert!(!proven && said.contains(&format!("witness `{}`", url.trim_end_matches('/'))), "{said}");
    let tiles = mirror.display().to_string();
    let with_tiles = ["forged.zip", "--policy", "policy", "--witness", &url, "--tiles", &tiles];
    let (proven, said) = auditor.verify(&with_tiles);
    assert!(!proven && said.contains("FORK"), "{said}");
    let (proven, said) = auditor.verify(&["honest.zip", "--policy", "policy", "--witness", &url]);
    assert!(proven && said.starts_with("signed by the operator and witnessed by witness.example/w1"), "{said}");
    assert!(said.contains("changeable until"), "{said}");
    stop(&mut bank.haris);

    // And with the witness put back it is found out at once.
    configure(&bank.haris, &honest_config);
    let said = refuses_to_start(&bank.haris);
    assert!(said.contains("another history"), "{said}");
}

#[tokio::test]
async fn of_a_cloned_machine_one_goes_on_and_the_other_stops_signing() {
    let mut bank = Watched::start("");
    let client = bank.haris.client("tests");
    ask(&client, 1).await;
    stop(&mut bank.haris);
    // The clone: same keys, same data, same configuration, its own folder.
    let mut clone = haris_tests::Haris::prepare(&fs::read_to_string(bank.haris.home().join("haris.toml")).unwrap());
    copy_folder(&bank.haris.data(), &clone.data());
    copy_folder(&bank.haris.home().join("keys"), &clone.home().join("keys"));
    permit(&clone);
    bank.haris.launch();
    ask(&client.at(&bank.haris.base()), 2).await;
    bank.settled();
    // Started later it does not come up; started at the same moment it would stop at its first submission.
    let said = refuses_to_start(&clone);
    assert!(said.contains("older copy") || said.contains("another history"), "{said}");
    bank.witness.kill();
    clone.launch();
    ask(&client.at(&clone.base()), 5).await;
    bank.witness.launch();
    eventually("the clone is found out", || {
        let status = clone.admin_json(&["status"]);
        status["witnesses"]["contradicted"].as_str().map(str::to_owned)
    });
    let attention = clone.admin_json(&["status"])["attention"].to_string();
    assert!(attention.contains("nothing is signed any more"), "{attention}");
    let refused = clone.run(&["ledger", "export", "--output", "x.zip", "--data", "{data}"]);
    assert!(!refused.status.success(), "nothing can be exported that would have to be signed");
    // The first one goes on.
    ask(&client.at(&bank.haris.base()), 1).await;
    bank.settled();
    // What the clone signed is kept where the bank cannot reach it.
    let shown = bank.witness.show();
    let refused: usize =
        shown["logs"].as_array().unwrap().iter().map(|log| log["refused"].as_array().unwrap().len()).sum();
    assert!(refused > 0, "{shown}");
}

fn permit(haris: &haris_tests::Haris) {
    use std::os::unix::fs::PermissionsExt as _;
    for folder in ["keys", "data"] {
        fs::set_permissions(haris.home().join(folder), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

/// Root of the bank, and whoever runs the witness, together: what one witness says is worth what it is worth.
#[tokio::test]
async fn a_colluding_witness_deceives_alone_and_not_in_a_quorum() {
    let mut bank = Watched::start("");
    let mut second = Witness::start("other.example/w2", &bank.logs);
    let second_keys = second.keys();
    stop(&mut bank.haris);
    let both = config(&[(&bank.witness, &bank.witness_keys), (&second, &second_keys)], "");
    configure(&bank.haris, &both);
    bank.haris.launch();
    let client = bank.haris.client("tests");
    stop(&mut bank.haris);
    bank.witness.kill();
    let early = bank.haris.home().join("early");
    copy_folder(&bank.haris.data(), &early);
    copy_folder(&bank.witness.dir.path().join("witness"), &bank.witness.dir.path().join("early"));
    bank.witness.launch();
    bank.haris.launch();
    ask(&client.at(&bank.haris.base()), 3).await;
    stop(&mut bank.haris);
    let mirror = bank.haris.home().join("mirror");
    copy_folder(&bank.haris.data().join("blobs"), &mirror);

    // The first witness forgets, on purpose; the bank leaves the second out.
    put_back(&early, &bank.haris.data());
    bank.witness.kill();
    put_back(&bank.witness.dir.path().join("early"), &bank.witness.dir.path().join("witness"));
    bank.witness.launch();
    configure(&bank.haris, &config(&[(&bank.witness, &bank.witness_keys)], ""));
    bank.haris.launch();
    ask(&client.at(&bank.haris.base()), 1).await;
    let forged = fs::read(export(&bank.haris, "forged.zip")).unwrap();
    let one = bank.policy();
    let two = policy(&bank.logs, &[("w1", &bank.witness_keys[0]), ("w2", &second_keys[0])], "all-of-them");
    let auditor = Auditor::new(&[("b.zip", &forged), ("one", one.as_bytes()), ("two", two.as_bytes())]);
    let (proven, said) = auditor.verify(&["b.zip", "--policy", "one"]);
    assert!(proven, "one witness that lies is enough where one is asked for: {said}");
    let (proven, said) = auditor.verify(&["b.zip", "--policy", "two"]);
    assert!(!proven && said.contains("quorum"), "{said}");
    let url = second.url();
    let tiles = mirror.display().to_string();
    let asked = ["b.zip", "--policy", "one", "--key", &second_keys[0], "--witness", &url, "--tiles", &tiles];
    let (proven, said) = auditor.verify(&asked);
    assert!(!proven && said.contains("FORK"), "{said}");
}
