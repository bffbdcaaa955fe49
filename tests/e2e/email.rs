//! Callbacks by mail, through real mail servers: swaks, Postfix, Dovecot, and a name server that knows the keys.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use ringback_tests::email::{Domain, Lmtp, write};
use ringback_tests::peers::dovecot::{Dovecot, PASSWORD};
use ringback_tests::peers::postfix::Postfix;
use ringback_tests::peers::unbound::Unbound;
use ringback_tests::phone::{Bank, Manner};
use ringback_tests::site::{Part, Running, Site};
use ringback_tests::story::{B, SOON, millis, secs};
use ringback_tests::{clock, net};

const ALICE: &str = "alice@example.test";
const CALL: &str = "call@gw.test";
/// Alice's first number: an account's calls begin there.
const HOME: &str = "+447700900001";
const ASKED: &str = "0370728#00442071838750";

/// A site with mail servers around it. Alice's provider signs; so does a forger's.
struct Post {
    site: Site,
    phones: Bank,
    ip: IpAddr,
    dovecot: Dovecot,
    names: Unbound,
    alice: Domain,
    forger: Domain,
    mute: Domain,
}

impl Post {
    /// Mail servers and a site that is not yet running; `can` is what Dovecot says it can do.
    fn stage(can: &str, prepare: impl FnOnce(&mut Site, &Dovecot)) -> Post {
        let [alice, forger, mute] = ["example.test", "evil.test", "mute.test"].map(Domain::new);
        let mut site = Site::small();
        let ip = net::own_address();
        let spf = ("example.test".to_owned(), "v=spf1 ip4:192.0.2.7 -all".to_owned());
        let names = Unbound::start(ip, &[alice.record(), forger.record(), mute.record(), spf]).expect("unbound");
        let dovecot = Dovecot::start(ip, can).expect("Dovecot");
        for (key, value) in [
            ("email.resolver", names.address().to_string()),
            ("email.imap.host", ip.to_string()),
            ("email.imap.port", dovecot.imap().port().to_string()),
            ("email.imap.tls", "none".to_owned()),
            ("email.imap.user", CALL.to_owned()),
            ("email.imap.password", PASSWORD.to_owned()),
            ("email.imap.poll", "1500".to_owned()),
            ("email.smtp.host", ip.to_string()),
            ("email.smtp.port", "21025".to_owned()),
            ("email.smtp.tls", "none".to_owned()),
            ("email.smtp.from", "gateway@gw.test".to_owned()),
        ] {
            site.set(key, &value);
        }
        prepare(&mut site, &dovecot);
        let phones = Bank::start(site.at(5070)).expect("the phones' address is free");
        phones.when(HOME, Manner::answers(millis(200)).plays(700));
        phones.when(B, Manner::answers(millis(300)).plays(1100).hangs_up_after(secs(1)));
        site.account("alice", "10.00");
        site.cli(&["account", "set", "alice", "--did", "+15810370728", "--email", ALICE], "");
        site.trunk("phones", &phones.uri(), "");
        Post { site, phones, ip, dovecot, names, alice, forger, mute }
    }

    fn postfix(&self, routes: &[(&str, SocketAddr)]) -> Postfix {
        Postfix::start(self.ip, self.dovecot.lmtp(), routes).expect("Postfix")
    }

    /// Signed by Alice's provider.
    fn signed(&self, id: &str) -> String {
        self.alice.sign(&write(id, ALICE, CALL, ASKED, "thanks"))
    }

    /// A site that mail is delivered to by LMTP, and nobody watches a mailbox.
    fn delivered(prepare: impl FnOnce(&mut Site)) -> Post {
        Post::stage("", |site, _| {
            let lmtp = site.at(8024).to_string();
            site.set("email.lmtp.listen", &lmtp);
            site.set("email.imap.host", "");
            prepare(site);
        })
    }

    /// What became of refused mails: the account whose history shows it, and the reason.
    fn refusals(&self) -> Vec<(String, String)> {
        let sql = "SELECT coalesce(a.name, ''), r.reason FROM refusals r LEFT JOIN accounts a ON a.id = r.account_id ORDER BY 2, 1";
        let rows = self.site.probe().rows(sql).expect("the tables are there");
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect()
    }

    /// Straight into the mailbox.
    fn put(&self, from: &str, mail: &str) {
        let said = Lmtp::connect(self.dovecot.lmtp()).and_then(|mut lmtp| lmtp.deliver(from, &[CALL], mail));
        assert!(said.as_ref().is_ok_and(|said| said[0].starts_with("250")), "{said:?}");
    }

    /// Waits until this mail of somebody's is answered; the ids of all mails that were, once for each answer. Answers are begun in the
    /// order of their mails, so with the last mail's all that there will ever be are written down, sent or not.
    fn answered(&self, who: &str, last: &str) -> Vec<String> {
        let reference = format!("In-Reply-To: <{last}@client.test>");
        clock::wait_for("the answer", SOON, || {
            self.dovecot.mails(who, "").iter().any(|(_, mail)| mail.contains(&reference)).then_some(())
        });
        let id = |mail: &str| {
            let line = mail.lines().find_map(|line| line.strip_prefix("In-Reply-To: <"))?;
            Some(line.split('@').next()?.to_owned())
        };
        let mut ids: Vec<String> = self.dovecot.mails(who, "").iter().filter_map(|(_, mail)| id(mail)).collect();
        ids.sort();
        let begun = self.site.probe().rows("SELECT job_id, kind FROM replies").expect("the table is there");
        assert_eq!(begun.len(), ids.len(), "answers that were begun: {begun:?}");
        ids
    }

    fn calls(&self) -> usize {
        self.phones.calls().len()
    }
}

fn wait_watched(gateway: &Running) {
    clock::wait_for("the mailbox to be watched", SOON, || {
        gateway.process.output().contains("the mailbox is watched").then_some(())
    });
}

#[test]
fn a_mail_through_postfix_and_dovecot_rings_the_phone_and_is_answered_and_forgeries_do_not() {
    let post = Post::stage("", |_, _| {});
    let postfix = post.postfix(&[]);
    let gateway = post.site.start(Part::All);
    wait_watched(&gateway);

    postfix.swaks(ALICE, CALL, &post.signed("m1"));
    post.phones.wait_call(B, "talks and hangs up", secs(30), |call| call.ended_us.is_some());
    assert_eq!(post.phones.calls_to(HOME).len(), 1, "her registered number was called first");
    post.site.wait_idle(1, SOON);
    post.dovecot.wait(CALL, "Done", 1, SOON);
    assert!(post.dovecot.mails(CALL, "").is_empty());

    let replies = post.dovecot.wait(ALICE, "", 2, SOON);
    for (_, reply) in &replies {
        for line in [
            "Return-Path: <>",
            "Auto-Submitted: auto-replied",
            "In-Reply-To: <m1@client.test>",
            "From: gateway@gw.test",
        ] {
            assert!(reply.contains(line), "{line} is missing in:\n{reply}");
        }
        assert!(reply.contains(&format!("Subject: Re: {ASKED}")), "{reply}");
    }
    assert!(replies.iter().any(|(_, reply)| reply.contains("We are calling you now")), "{replies:?}");
    assert!(replies.iter().any(|(_, reply)| reply.contains("Your call lasted")), "{replies:?}");

    let ask = |id: &str, from: &str| write(id, from, CALL, ASKED, "thanks");
    let broken = post.signed("m2").replace("thanks", "thankz");
    let cut = post.alice.sign_only(&["From", "Date"], &ask("m3", ALICE));
    let spoofed = post.forger.sign(&ask("m4", ALICE));
    let auto = post.alice.sign(&format!("Auto-Submitted: auto-replied\r\n{}", ask("m5", ALICE)));
    let twice = format!("Subject: 0370728#00442071838751\r\n{}", post.signed("m6"));
    let bounce = post.signed("m7");
    for (from, mail) in
        [(ALICE, &broken), (ALICE, &cut), ("x@evil.test", &spoofed), (ALICE, &auto), (ALICE, &twice), ("", &bounce)]
    {
        postfix.swaks(from, CALL, mail);
    }
    post.dovecot.wait(CALL, "Rejected", 6, SOON);
    postfix.swaks(ALICE, CALL, &post.alice.sign(&write("last", ALICE, CALL, "hello", "what now?")));
    let answered = post.answered(ALICE, "last");
    assert_eq!(
        answered,
        ["last", "m1", "m1", "m3"],
        "beside a mail with no form, only what her own provider signed, if badly"
    );
    assert_eq!(post.calls(), 2, "nobody else was called: {}", post.phones.log().ladder());
    assert_eq!(post.site.probe().requests().len(), 1);
    let reasons = post.site.probe().rows("SELECT reason FROM refusals ORDER BY reason").expect("the table is there");
    let reasons: Vec<String> = reasons.into_iter().flatten().flatten().collect();
    assert_eq!(reasons, ["dkim_broken", "dkim_misaligned", "dkim_uncovered", "no_form", "no_form"]);
}

#[test]
fn a_mail_server_delivers_straight_to_us_and_forms_with_a_password_need_no_signature() {
    let post = Post::delivered(|_| {});
    let ours = post.site.at(8024);
    let postfix = post.postfix(&[(CALL, ours)]);
    let _gateway = post.site.start(Part::All);
    postfix.swaks(ALICE, CALL, &post.signed("m1"));
    post.phones.wait_call(B, "is called", secs(30), |call| call.ended_us.is_some());
    postfix.wait_says("250 2.0.0 job", 1, SOON);
    post.site.wait_idle(1, SOON);

    let body = "alice s3cret 00447700900111 00442071838750";
    post.phones.when("+447700900111", Manner::answers(millis(200)));
    let form = write("m2", "somebody@elsewhere.test", CALL, "hello", body);
    let mut lmtp = Lmtp::connect(ours).unwrap();
    let said = lmtp.deliver("somebody@elsewhere.test", &[CALL, "call+x@other.test"], &form).unwrap();
    assert!(said.len() == 2 && said.iter().all(|line| line.starts_with("250 2.0.0 job")), "{said:?}");
    let again = lmtp.deliver("somebody@elsewhere.test", &[CALL], &form).unwrap();
    assert_eq!(again[0], said[0], "the same mail again is the same job");
    post.phones.wait_call("+447700900111", "is called", secs(30), |call| call.ended_us.is_some());
    post.site.wait_idle(2, SOON);

    let wrong = write("m3", ALICE, CALL, "hello", &body.replace("s3cret", "secret"));
    let said = lmtp.deliver(ALICE, &[CALL], &wrong).unwrap();
    assert!(said[0].starts_with("250 2.0.0 taken, no callback: bad_secret_or_user"), "{said:?}");
    post.site.cli(&["account", "set", "alice", "--mail-vouched", "on"], "");
    let said = lmtp.deliver("somebody@elsewhere.test", &[CALL], &form.replace("<m2@", "<m4@")).unwrap();
    assert!(said[0].contains("mail_not_vouched"), "{said:?}");
    assert_eq!(post.site.probe().requests().len(), 2);
}

#[test]
fn the_last_seven_digits_alone_ask_for_a_callback_without_a_destination() {
    let post = Post::delivered(|_| {});
    let _gateway = post.site.start(Part::All);
    let mut lmtp = Lmtp::connect(post.site.at(8024)).unwrap();
    let parties = |mail: &str| {
        let said = Lmtp::connect(post.site.at(8024)).and_then(|mut lmtp| lmtp.deliver(ALICE, &[CALL], mail)).unwrap();
        let job = said[0].trim_end().strip_prefix("250 2.0.0 job ").unwrap_or_else(|| panic!("{said:?}")).to_owned();
        clock::wait_for("the job to be taken", SOON, || {
            let sql = format!("SELECT a, b FROM callback_requests WHERE job_id = '{job}'");
            post.site.probe().rows(&sql).ok()?.pop()
        })
    };
    let mail = |id: &str, subject: &str| post.alice.sign(&write(id, ALICE, CALL, subject, "thanks"));
    assert_eq!(parties(&mail("m1", "0370728")), [Some(HOME.to_owned()), None], "the end of her DID");
    post.site.wait_idle(1, secs(30));
    assert_eq!(parties(&mail("m2", "Re: 0900001")), [Some(HOME.to_owned()), None], "the end of her number");
    let said = lmtp.deliver(ALICE, &[CALL], &mail("m3", "0370729")).unwrap();
    assert!(said[0].ends_with("no callback: not_your_account\r\n"), "nobody's digits: {said:?}");
}

#[test]
fn a_refusal_is_answered_only_where_spf_or_dkim_says_who_wrote() {
    let post = Post::delivered(|_| {});
    let postfix = post.postfix(&[]);
    let _gateway = post.site.start(Part::All);
    let mut lmtp = Lmtp::connect(post.site.at(8024)).unwrap();
    let received = |ip: &str| {
        format!(
            "Received: from mail.example.test (unknown [{ip}]) by mx.gw.test (Postfix) with ESMTP id 1; Sat, 21 Nov 2026 08:00:00 +0000\r\n"
        )
    };
    for (id, ip) in [("forged", "203.0.113.9"), ("real", "192.0.2.7")] {
        let mail = format!("{}{}", received(ip), write(id, ALICE, CALL, ASKED, "unsigned"));
        let said = lmtp.deliver(ALICE, &[CALL], &mail).unwrap();
        assert!(said[0].contains("no callback: dkim_missing"), "{said:?}");
    }
    let told = post.dovecot.wait(ALICE, "", 1, SOON);
    assert_eq!(post.answered(ALICE, "real"), ["real"]);
    assert!(told[0].1.contains("DKIM") && told[0].1.contains("0370728#0119281112222"), "why not, and how: {told:?}");
    let loud =
        format!("Reply-To: eve@evil.test\r\n{}{}", received("192.0.2.7"), write("m3", ALICE, CALL, "hi", "what?"));
    lmtp.deliver(ALICE, &[CALL], &loud).unwrap();
    assert_eq!(post.answered(ALICE, "m3"), ["m3", "real"], "who forged her address gave her nothing to read");
    assert_eq!(post.dovecot.mails("eve@evil.test", "").len(), 0);
    post.names.freeze(true);
    let signed = post.signed("m4");
    let said = lmtp.deliver(ALICE, &[CALL], &signed).unwrap();
    post.names.freeze(false);
    assert!(said[0].starts_with("451"), "without a name server nothing is decided: {said:?}");
    let said = lmtp.deliver(ALICE, &[CALL], &signed).unwrap();
    assert!(said[0].starts_with("250 2.0.0 job"), "{said:?}");
    drop(postfix);
}

#[test]
fn a_captured_mail_is_called_once_however_it_is_changed() {
    let post = Post::delivered(|_| {});
    let _gateway = post.site.start(Part::All);
    let mut lmtp = Lmtp::connect(post.site.at(8024)).unwrap();
    let mut says = |mail: &str| lmtp.deliver(ALICE, &[CALL], mail).unwrap().remove(0);
    let mail = post.signed("m1");
    let job = says(&mail);
    assert!(job.starts_with("250 2.0.0 job"), "{job}");
    post.phones.wait_call(B, "is called", secs(30), |call| call.ended_us.is_some());
    post.site.wait_idle(1, SOON);

    assert_eq!(says(&format!("{mail}\r\n\r\n")), job, "no signature covers empty lines at the end");
    assert_eq!(says(&mail.replace("\r\nthanks", "\r\nthanks \t")), job, "nor blanks at the end of a line");
    let old = "Date: Sat, 21 Nov 2026 08:00:00 +0000";
    for second in ["Message-ID: <m2@client.test>", old, "Content-Type: text/html"] {
        let said = says(&format!("{second}\r\n{mail}"));
        assert!(said.contains("no callback: malformed_header"), "{second}: {said}");
    }
    let loose = post.alice.sign_only(&["From", "To", "Subject"], &write("m3", ALICE, CALL, ASKED, "again"));
    let job = says(&loose);
    assert!(job.starts_with("250 2.0.0 job"), "its own t= says when it was written: {job}");
    post.site.wait_idle(2, SOON);
    let begin = loose.find("Date: ").expect("it has one");
    let end = begin + loose[begin..].find("\r\n").expect("a line ends");
    assert_eq!(says(&format!("{}{old}{}", &loose[..begin], &loose[end..])), job, "a Date that nobody signed");
    assert_eq!(says(&loose.replace("<m3@", "<m4@")), job, "nor is it another one by its Message-ID");
    assert_eq!(post.site.probe().requests().len(), 2);
    assert_eq!(post.phones.calls_to(B).len(), 2, "{}", post.phones.log().ladder());
}

#[test]
fn a_provider_that_leaves_to_open_is_believed_by_the_envelope_and_white_space_at_the_end_is_nothing() {
    let post = Post::delivered(|_| {});
    let _gateway = post.site.start(Part::All);
    let mut lmtp = Lmtp::connect(post.site.at(8024)).unwrap();
    let mut says = |mail: &str| lmtp.deliver(ALICE, &[CALL], mail).unwrap().remove(0);
    let outlook = ["From", "Date", "Subject", "Message-ID", "Content-Type", "MIME-Version"];
    let mail = post.alice.sign_only(&outlook, &write("m1", ALICE, CALL, ASKED, "thanks"));
    let job = says(&mail);
    assert!(job.starts_with("250 2.0.0 job"), "{job}");
    post.site.wait_idle(1, secs(30));
    assert_eq!(says(&mail.replace(&format!("To: {CALL}"), "To: bob@elsewhere.test")), job, "an open To says nothing");
    let said = says(&mail.replace("<m1@", "<m2@"));
    assert!(said.contains("no callback: dkim_broken"), "its Message-ID is not open: {said}");
    let bare = post.alice.sign_only(&["From", "Date", "Subject"], &write("m3", ALICE, CALL, ASKED, "thanks"));
    let said = says(&bare);
    assert!(said.contains("no callback: dkim_uncovered"), "{said}");

    let signed = post.signed("m4");
    let said = says(&format!("{signed} \r\n\t\r\n"));
    assert!(said.starts_with("250 2.0.0 job") && said != job, "{said}");
    post.site.wait_idle(2, secs(30));
    assert_eq!(post.site.probe().requests().len(), 2);
}

#[test]
fn a_name_server_that_is_away_refuses_nobody_and_a_slow_one_is_not_asked_for_what_is_known() {
    let post = Post::delivered(|_| {});
    post.site.cli(&["account", "set", "alice", "--mail-vouched", "on", "--email", "alice@mute.test"], "");
    let _gateway = post.site.start(Part::All);
    let mut lmtp = Lmtp::connect(post.site.at(8024)).unwrap();
    let received = "Received: from x (unknown [192.0.2.7]) by mx.gw.test (Postfix) with ESMTP id 1; ";
    let from = "alice@mute.test";
    let slow = format!("{received}\r\n{}", post.mute.sign(&write("m1", from, CALL, ASKED, "thanks")));
    let begun = Instant::now();
    let said = lmtp.deliver(from, &[CALL], &slow).unwrap();
    assert!(said[0].starts_with("250 2.0.0 job"), "the key is known, the senders' list never comes: {said:?}");
    assert!(begun.elapsed() < secs(4), "who may send was asked for all the same: {:?}", begun.elapsed());
    post.site.wait_idle(1, SOON);

    let body = "alice s3cret 00447700900111 00442071838750";
    let unknown = post.mute.sign(&write("m2", from, CALL, "hello", body)).replace("s=s1;", "s=s2;");
    for _ in 0..5 {
        let said = lmtp.deliver(from, &[CALL], &unknown).unwrap();
        assert!(said[0].starts_with("451"), "the account wants mail vouched for, and nobody knows: {said:?}");
    }
    assert_eq!(post.refusals(), [], "nothing was refused yet");
    post.site.cli(&["account", "set", "alice", "--mail-vouched", "off"], "");
    let said = lmtp.deliver(from, &[CALL], &unknown).unwrap();
    assert!(said[0].starts_with("250 2.0.0 job"), "{said:?}");
}

#[test]
fn what_is_too_much_stands_in_the_history_of_who_was_meant() {
    let post = Post::delivered(|site| {
        site.set("email.authserv_id", "mx.gw.test");
        site.set("email.per_sender", "1");
    });
    let _gateway = post.site.start(Part::All);
    let mut lmtp = Lmtp::connect(post.site.at(8024)).unwrap();
    for (id, reason) in [("m1", "not_authenticated"), ("m2", "too_many_mails")] {
        let said = lmtp.deliver(ALICE, &[CALL], &write(id, ALICE, CALL, ASKED, "me again")).unwrap();
        assert!(said[0].ends_with(&format!("no callback: {reason}\r\n")), "{said:?}");
    }
    let alices = |reason: &str| ("alice".to_owned(), reason.to_owned());
    assert_eq!(post.refusals(), [alices("not_authenticated"), alices("too_many_mails")]);
}

#[test]
fn a_crash_between_confirm_and_move_and_a_dead_mail_server_call_once() {
    let mut post = Post::stage("", |_, _| {});
    let mut dying = post.site.start_failing(Part::All, Some("mail.confirmed_not_moved"));
    dying.wait_ready_or_dead();
    post.put(ALICE, &post.signed("m1"));
    dying.process.wait_killed(secs(30));
    assert_eq!(post.dovecot.mails(CALL, "").len(), 1, "it was not moved");
    assert!(!post.dovecot.mails(CALL, "")[0].0, "and is unseen");

    let gateway = post.site.start(Part::All);
    post.dovecot.wait(CALL, "Done", 1, secs(30));
    post.phones.wait_call(B, "is called", secs(30), |call| call.ended_us.is_some());
    post.site.wait_idle(1, secs(30));
    assert_eq!(post.site.probe().requests().len(), 1);
    assert_eq!(post.phones.calls_to(B).len(), 1, "{}", post.phones.log().ladder());

    post.dovecot.kill9();
    clock::wait_for("the mailbox to be missed", SOON, || {
        gateway.process.output().contains("the mailbox is not watched, trying again").then_some(())
    });
    post.dovecot.renumber(CALL);
    post.dovecot.restart().expect("Dovecot starts again");
    post.put(ALICE, &post.signed("m2"));
    post.dovecot.wait(CALL, "Done", 2, secs(30));
    post.site.wait_idle(2, secs(30));
    assert_eq!(post.site.probe().requests().len(), 2);
    assert_eq!(post.phones.calls_to(B).len(), 2);
}

#[test]
fn mails_that_cannot_be_had_or_decided_let_the_others_pass() {
    let post = Post::stage("", |site, _| site.set("email.max_size", "20000"));
    post.put("", &write("bounce", ALICE, CALL, "to make the mailbox", "x"));
    let old = secs(60);
    post.dovecot.place(CALL, "", &post.signed("unreadable"), old, false);
    let big = "x".repeat(30_000);
    for (id, to) in [("theirs", "other@gw.test"), ("big", CALL)] {
        post.dovecot.place(CALL, "", &write(id, ALICE, to, ASKED, &big), old, true);
    }
    for id in ["1", "2", "3", "4"] {
        let mail = post.mute.sign(&write(id, "alice@mute.test", CALL, ASKED, "x")).replace("s=s1;", "s=s2;");
        post.put("alice@mute.test", &mail);
    }
    post.put(ALICE, &post.signed("last"));
    let gateway = post.site.start(Part::All);
    post.phones.wait_call(B, "is called", secs(60), |call| call.ended_us.is_some());
    let done = post.dovecot.wait(CALL, "Done", 1, SOON);
    assert!(done[0].1.contains("<last@"), "{done:?}");
    let rejected = post.dovecot.wait(CALL, "Rejected", 2, SOON);
    assert!(rejected.iter().all(|(_, mail)| mail.contains("<bounce@") || mail.contains("<big@")), "{rejected:?}");
    let waiting = post.dovecot.mails(CALL, "");
    assert_eq!(waiting.len(), 6, "what waits for a name server, cannot be read, or is not for us: {waiting:?}");
    assert!(waiting.iter().all(|(seen, _)| !seen));
    assert!(gateway.process.output().contains("the connection broke on a mail; it is put off"));
    assert_eq!(post.refusals(), [], "nobody was refused who has to wait");
}

#[test]
fn web_46_a_mail_that_was_put_away_is_deleted_after_a_day() {
    let post = Post::stage("", |_, _| {});
    let gateway = post.site.start(Part::All);
    wait_watched(&gateway);
    post.put(ALICE, &post.signed("m1"));
    post.put("x@evil.test", &post.forger.sign(&write("m2", ALICE, CALL, ASKED, "not me")));
    post.dovecot.wait(CALL, "Done", 1, SOON);
    post.dovecot.wait(CALL, "Rejected", 1, SOON);
    post.site.wait_idle(1, secs(30));
    drop(gateway);
    let body = "alice s3cret 00447700900111 00442071838750";
    for folder in ["Done", "Rejected"] {
        for (id, hours) in [("old", 25), ("older", 300), ("young", 23)] {
            let mail = write(id, ALICE, CALL, "hello", body);
            post.dovecot.place(CALL, folder, &mail, secs(hours * 3600), true);
        }
    }
    post.dovecot.place(CALL, "", &write("theirs", ALICE, "other@gw.test", "hello", body), secs(300 * 3600), true);
    let _gateway = post.site.start(Part::All);
    for folder in ["Done", "Rejected"] {
        clock::wait_for("old mail to go", SOON, || (post.dovecot.mails(CALL, folder).len() <= 2).then_some(()));
        let left = post.dovecot.mails(CALL, folder);
        let young = left.iter().filter(|(_, mail)| mail.contains("<young@")).count();
        assert_eq!((left.len(), young), (2, 1), "{folder}: what was put away now, and what is young: {left:?}");
    }
    assert_eq!(post.dovecot.mails(CALL, "").len(), 1, "somebody else's mail is not ours to delete");
    post.put(ALICE, &post.signed("m3"));
    post.dovecot.wait(CALL, "Done", 3, secs(30));
}

#[test]
fn a_plain_mail_server_over_tls_is_asked_now_and_then() {
    let post = Post::stage("IMAP4rev1 LITERAL+ SASL-IR LOGIN-REFERRALS ID ENABLE", |site, dovecot| {
        site.set("email.imap.port", &dovecot.imaps().port().to_string());
        site.set("email.imap.tls", "tls");
        site.set("email.imap.ca_file", &dovecot.certificate().display().to_string());
        site.set("email.imap.poll", "1");
    });
    post.put("x@evil.test", &post.forger.sign(&write("m1", ALICE, CALL, ASKED, "not me")));
    post.put(ALICE, &write("m2", ALICE, "other@gw.test", "0370728", "delivered here by a list of aliases"));
    let gateway = post.site.start(Part::All);
    wait_watched(&gateway);
    post.put(ALICE, &post.signed("m3"));
    post.phones.wait_call(B, "is called", secs(30), |call| call.ended_us.is_some());
    post.dovecot.wait(CALL, "Done", 1, SOON);
    post.dovecot.wait(CALL, "Rejected", 1, SOON);
    post.site.wait_idle(1, SOON);
    assert!(gateway.process.output().contains("idle=false"), "{}", gateway.process.tail(20));
}

#[test]
fn explain_tells_what_the_trigger_would_do() {
    let post = Post::stage("", |_, _| {});
    let told = "Authentication-Results: mx.gw.test; dkim=pass header.d=example.test header.s=s1\r\nReceived: x\r\n";
    let explain = |mail: &str, from: &str, rest: &[&str]| {
        let file = post.site.path("mail.eml");
        std::fs::write(&file, mail).expect("the folder is ours");
        let file = file.display().to_string();
        post.site.json(&[&["explain", "email", &file, "--mail-from", from, "--rcpt-to", CALL], rest].concat())
    };
    let by_server = ["--authserv", "mx.gw.test"];
    let plain = write("m1", ALICE, CALL, ASKED, "x");

    let job = explain(&format!("{told}{plain}"), ALICE, &by_server);
    assert_eq!((job["outcome"].as_str(), job["a"].as_str(), job["b"].as_str()), (Some("job"), Some(HOME), Some(B)));
    assert!(job["reason"].is_null());
    let asked = explain(&format!("{told}{}", plain.replace(ASKED, "0370728")), ALICE, &by_server);
    assert_eq!((asked["outcome"].as_str(), asked["a"].as_str()), (Some("job"), Some(HOME)));
    assert!(asked["b"].is_null(), "asked for by voice");
    let signed = post.signed("m2");
    assert_eq!(explain(&signed, ALICE, &[])["outcome"], "job", "the name server has the key");
    assert_eq!(explain(&signed.replace("\r\n", "\n"), ALICE, &[])["outcome"], "job", "a file of a Unix program");
    for (mail, from, rest, outcome, reason) in [
        (plain.clone(), ALICE, &by_server[..], "reject", "not_authenticated"),
        (format!("{told}{plain}"), "", &by_server, "ignore", "null_sender"),
        (
            format!("{told}{plain}").replace("header.d=example", "header.d=evil"),
            ALICE,
            &by_server,
            "reject",
            "dkim_misaligned",
        ),
        (format!("Received: y\r\n{told}{plain}"), ALICE, &by_server, "reject", "not_authenticated"),
        (plain.clone(), ALICE, &[], "reject", "dkim_missing"),
        (signed.replace("Subject: 0370728", "Subject: 0370729"), ALICE, &[], "reject", "dkim_broken"),
        (format!("{told}{}", plain.replace("0370728", "9999999")), ALICE, &by_server, "reject", "not_your_account"),
    ] {
        let told = explain(&mail, from, rest);
        assert_eq!((told["outcome"].as_str(), told["reason"].as_str()), (Some(outcome), Some(reason)), "{mail}");
    }
    assert_eq!(post.site.json(&["status"])["queued"], 0, "nothing was published");
}

#[test]
fn lmtp_keeps_its_manners_and_its_limits() {
    let mut site = Site::small();
    let ours = site.at(8024);
    let address = ours.to_string();
    for (key, value) in [
        ("email.lmtp.listen", address.as_str()),
        ("email.lmtp.connections", "2"),
        ("email.authserv_id", "mx.gw.test"),
        ("email.max_size", "10000"),
    ] {
        site.set(key, value);
    }
    let _gateway = site.start(Part::All);
    let mut lmtp = clock::wait_for("LMTP", SOON, || Lmtp::connect(ours).ok());
    let hello = lmtp.says("LHLO client.test").unwrap();
    for can in ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"] {
        assert!(hello.contains(can), "{hello}");
    }
    assert!(!hello.contains("SIZE"), "a server that knew would bounce what is longer: {hello}");
    for (says, code) in [
        ("EHLO client.test", "500"),
        ("RCPT TO:<call@gw.test>", "503"),
        ("DATA", "503"),
        ("MAIL FROM:<a@example.test> SIZE=99999999", "250"),
        ("RSET", "250"),
        ("STARTTLS", "502"),
        ("FROBNICATE", "500"),
        ("NOOP", "250"),
        ("VRFY call", "252"),
        ("MAIL FROM:<jösé@example.test> SMTPUTF8", "250"),
        ("MAIL FROM:<a@example.test>", "503"),
        ("RSET", "250"),
        ("MAIL FROM:<> BODY=8BITMIME SIZE=100", "250"),
        ("RCPT TO:<nobody@gw.test>", "550"),
        ("RCPT TO:<CALL+detail@gw.test>", "250"),
        ("RSET", "250"),
    ] {
        let said = lmtp.says(says).unwrap();
        assert!(said.starts_with(code), "{says} -> {said}");
    }
    let mail = write("m1", ALICE, CALL, "hello", "..dots\r\n.\r\nand more");
    let stuffed = mail.replace("\r\n.", "\r\n..");
    let whole = format!(
        "MAIL FROM:<{ALICE}>\r\nRCPT TO:<call@gw.test>\r\nRCPT TO:<nobody@gw.test>\r\nRCPT TO:<call@other.test>\r\nDATA\r\n{stuffed}.\r\n\
         MAIL FROM:<{ALICE}>\r\nRCPT TO:<call@gw.test>\r\nDATA\r\n.\r\nNOOP\r\n"
    );
    lmtp.raw(whole.as_bytes()).unwrap();
    let said: Vec<String> = (0..12).map(|_| lmtp.answer().unwrap()).collect();
    let codes: Vec<&str> = said.iter().map(|answer| &answer[..3]).collect();
    assert_eq!(codes, ["250", "250", "550", "250", "354", "250", "250", "250", "250", "354", "250", "250"], "{said:?}");
    assert!(said[5].contains("no_form") && said[5] == said[6], "one answer a recipient: {said:?}");
    assert!(said[10].contains("left alone"), "an empty mail is nobody's: {said:?}");

    let big = write("m2", ALICE, CALL, "hello", &"x".repeat(20_000));
    let said = lmtp.deliver(ALICE, &[CALL, "call@other.test"], &big).unwrap();
    assert!(said.iter().all(|answer| answer == "250 2.0.0 taken, no callback: too_large\r\n"), "{said:?}");
    lmtp.says("MAIL FROM:<a@example.test>").unwrap();
    let many: Vec<String> = (0..101).map(|n| lmtp.says(&format!("RCPT TO:<call+{n}@gw.test>")).unwrap()).collect();
    assert!(
        many[..100].iter().all(|answer| answer.starts_with("250")) && many[100].starts_with("452"),
        "{:?}",
        many[100]
    );

    let mut second = Lmtp::connect(ours).unwrap();
    let endless = second.says(&format!("NOOP {}", "x".repeat(100_000)));
    assert!(endless.is_err() || endless.is_ok_and(|said| said.starts_with("500")), "a line has an end");
    drop(second);
    let second = clock::wait_for("a free place", SOON, || Lmtp::connect(ours).ok());
    assert!(Lmtp::connect(ours).is_err(), "a third connection is asked to come back");
    drop(second);
    let closed = (0..40).find_map(|_| lmtp.says("FROBNICATE").err());
    assert!(closed.is_some(), "who only makes mistakes is not heard for ever");
}
