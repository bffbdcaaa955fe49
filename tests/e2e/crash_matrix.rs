//! Every failpoint there is, restarted at once and after every SIP transaction is over: `./test --long`.
//!
//! `crash` holds the points whose stories are told one by one; here only what must hold after any crash is asked.

use std::time::Duration;

use ringback_tests::crash::Crash;
use ringback_tests::phone::Manner;
use ringback_tests::story::{millis, secs};

/// A point of the plan, and how the phones behave so that it is reached.
fn crash(point: &'static str, restart_after: Duration) -> Crash {
    let crash = Crash::at(point, restart_after).orphans_end_within(secs(40));
    match point {
        "leg_a.failed_stored" | "leg_a.retry_scheduled" => {
            crash.a(vec![Manner::refuses(millis(300), 486), Manner::answers(millis(300)).plays(700)])
        }
        "leg_a.got_401_not_stored" => crash.behind_a_password(),
        "leg_a.got_180" | "leg_a.got_100" => {
            crash.a(vec![Manner::answers(secs(5)).plays(700), Manner::answers(millis(300)).plays(700)])
        }
        "talk.reservation_extended" => crash.set("engine.hold_seconds", "6"),
        "talk.reservation_refused" => crash
            .set("engine.hold_seconds", "6")
            .set("tariff.a", "0.00")
            .set("tariff.b", "100.00")
            .b(vec![Manner::answers(millis(600)).plays(1100).hangs_up_after(secs(20))]),
        "recovery.mid" => Crash::at("talk.bridged", restart_after).and_again_at(point).orphans_end_within(secs(40)),
        _ => crash,
    }
}

macro_rules! points {
    ($($name:ident: $point:literal,)*) => {
        mod restarted_after_1_s {
            $(#[test] fn $name() { super::crash($point, super::secs(1)).happens(); })*
        }
        mod on_the_big_shape_restarted_after_1_s {
            $(#[test] fn $name() { super::crash($point, super::secs(1)).on_the_big_shape().happens(); })*
        }
        mod restarted_after_40_s {
            $(#[test] fn $name() { super::crash($point, super::secs(40)).happens(); })*
        }
    };
}

points! {
    eng_delivered: "eng.delivered",
    eng_job_row: "eng.job_row",
    eng_reserved: "eng.reserved",
    leg_a_invite_sent: "leg_a.invite_sent",
    leg_a_got_100: "leg_a.got_100",
    leg_a_got_180: "leg_a.got_180",
    leg_a_got_200_not_stored: "leg_a.got_200_not_stored",
    leg_a_got_401_not_stored: "leg_a.got_401_not_stored",
    leg_a_answered_stored: "leg_a.answered_stored",
    leg_a_acked: "leg_a.acked",
    leg_a_failed_stored: "leg_a.failed_stored",
    leg_b_intent: "leg_b.intent",
    leg_b_invite_sent: "leg_b.invite_sent",
    leg_b_ringing: "leg_b.ringing",
    leg_b_got_200_not_stored: "leg_b.got_200_not_stored",
    leg_b_answered_stored: "leg_b.answered_stored",
    talk_bridged: "talk.bridged",
    talk_reservation_extended: "talk.reservation_extended",
    talk_reservation_refused: "talk.reservation_refused",
    recovery_mid: "recovery.mid",
    job_ack_lost: "job.ack_lost",
    end_bye_received: "end.bye_received",
    end_bye_answered: "end.bye_answered",
    end_bye_sent: "end.bye_sent",
    end_stored: "end.stored",
    bill_in_txn: "bill.in_txn",
    bill_commit_unknown: "bill.commit_unknown",
    bill_committed: "bill.committed",
    cdr_published_no_confirm: "cdr.published_no_confirm",
    cdr_confirmed_not_marked: "cdr.confirmed_not_marked",
    job_before_ack: "job.before_ack",
    trig_before_publish: "trig.before_publish",
    trig_published_no_confirm: "trig.published_no_confirm",
    trig_confirmed_no_reply: "trig.confirmed_no_reply",
}
