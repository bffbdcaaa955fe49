//! Broker and database away: mail stays with whoever has it, and becomes a callback afterwards, once.

use ringback_tests::email::{Lmtp, write};
use ringback_tests::peers::Peers;
use ringback_tests::peers::dovecot::{Dovecot, PASSWORD};
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{Part, Site};
use ringback_tests::story::{millis, secs};
use ringback_tests::{clock, net};

const CALL: &str = "call@gw.test";
/// Whoever wrote this mail: nobody writes more than one.
fn from(id: &str) -> String {
    format!("somebody{id}@elsewhere.test")
}

/// Asks for a call to a number of its own, so that each mail is another call.
fn form(id: &str) -> String {
    write(id, &from(id), CALL, "callback", &format!("alice s3cret 0044100000000{id} 0044200000000{id}"))
}

#[test]
fn mail_waits_where_it_is_until_broker_and_database_are_back() {
    let mut peers = Peers::start();
    let mut site = Site::beside(&peers);
    let ip = net::own_address();
    let dovecot = Dovecot::start(ip, "").expect("Dovecot");
    for (key, value) in [
        ("email.authserv_id", "mx.gw.test"),
        ("email.imap.host", &ip.to_string()),
        ("email.imap.port", &dovecot.imap().port().to_string()),
        ("email.imap.tls", "none"),
        ("email.imap.user", CALL),
        ("email.imap.password", PASSWORD),
        ("email.lmtp.listen", &site.at(8024).to_string()),
        ("email.per_sender", "2"),
    ] {
        site.set(key, value);
    }
    let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
    phones.when("44100*", Manner::answers(millis(200)));
    phones.when("44200*", Manner::answers(millis(200)).hangs_up_after(secs(1)));
    site.account("alice", "100.00");
    site.trunk("phones", &phones.uri(), "");
    let _engine = site.start(Part::Engine(1));
    let _trigger = site.start(Part::Email(1));
    let deliver =
        |id: &str| Lmtp::connect(site.at(8024)).and_then(|mut lmtp| lmtp.deliver(&from(id), &[CALL], &form(id)));
    let put = |id: &str| Lmtp::connect(dovecot.lmtp()).and_then(|mut lmtp| lmtp.deliver(&from(id), &[CALL], &form(id)));
    let says = |answer: std::io::Result<Vec<String>>, code: &str| {
        let answer = answer.expect("somebody listens");
        assert!(answer[0].starts_with(code), "{answer:?}\n{}", site.logs());
    };
    says(deliver("1"), "250 2.0.0 job");

    peers.rabbit.kill9();
    says(deliver("2"), "451");
    put("3").expect("Dovecot takes it");
    for _ in 0..3 {
        says(deliver("2"), "451"); // however often it is tried, it is one mail of its sender's two
    }
    assert_eq!(dovecot.mails(CALL, "").len(), 1, "it stays where it is");
    assert!(dovecot.mails(CALL, "").iter().all(|(seen, _)| !seen));
    peers.rabbit.restart().expect("RabbitMQ starts again");
    dovecot.wait(CALL, "Done", 1, secs(60));
    says(deliver("2"), "250 2.0.0 job");

    peers.postgres.kill9();
    says(deliver("4"), "451");
    put("5").expect("Dovecot takes it");
    says(deliver("4"), "451");
    assert_eq!(dovecot.mails(CALL, "").len(), 1);
    peers.postgres.restart().expect("PostgreSQL starts again");
    dovecot.wait(CALL, "Done", 2, secs(60));
    says(deliver("4"), "250 2.0.0 job");
    says(deliver("4"), "250 2.0.0 job");

    for id in ["1", "2", "3", "4", "5"] {
        let b = format!("+44200000000{id}");
        phones.wait_call(&b, "is called", secs(60), |call| call.ended_us.is_some());
        assert_eq!(phones.calls_to(&b).len(), 1, "{b}: {}", phones.log().ladder());
    }
    let over = |count: usize| (count == 5).then_some(());
    let finished = || site.probe().requests().iter().filter(|request| request.status == "Finished").count();
    clock::wait_for("all five callbacks to be over", secs(60), || over(finished()));
    assert_eq!(site.probe().requests().len(), 5);
}
