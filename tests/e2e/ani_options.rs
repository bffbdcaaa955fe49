//! The options of an application for missed calls, each by what it changes on the wire.

use ringback_tests::missed::{ACCESS, House};
use ringback_tests::phone::{Bank, Entry, Manner};
use ringback_tests::site::Part;
use ringback_tests::story::{A, B, SOON, millis, secs};

/// The first INVITE of each attempt to call this number.
fn invites(phones: &Bank, number: &str) -> Vec<Entry> {
    let log = phones.log().of_number(number);
    let mut seen = Vec::new();
    log.entries
        .into_iter()
        .filter(|entry| entry.opens())
        .filter(|entry| {
            let is_new = !seen.contains(&entry.branch);
            seen.push(entry.branch.clone());
            is_new
        })
        .collect()
}

#[test]
fn an_application_says_how_often_how_long_and_by_which_trunk_its_callers_are_rung() {
    let options = [
        "Delay Before Callback=0",
        "Max # Of Callback Attempts=2",
        "Backoff Interval=3",
        "Timeout=4",
        "SIP Proxy For Callback Calls=other",
    ];
    let house = House::stage(Manner::dead(), Manner::dead(), &options, |_| {});
    let other = Bank::start(house.site.at(5075)).expect("the other trunk's address is free");
    other.when(A, Manner::rings_for_ever());
    house.site.cli(&["trunk", "add", "other", "--sip", &other.uri(), "--priority", "900"], "");
    let _gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    assert_eq!(caller.to_the_end(&caller.calls(A, ACCESS, ""), SOON).codes, [100, 603]);
    house.site.wait_idle(1, secs(40));
    assert_eq!(house.rows("status, result, call_count"), [["Finished", "Out of retries", "2"]]);
    assert!(house.phones.calls().is_empty(), "the usual trunk carries none of it: {}", house.phones.log().ladder());

    let tries = invites(&other, A);
    assert_eq!(tries.len(), 2, "{}", other.log().ladder());
    assert!(tries.iter().all(|invite| invite.text.contains("Expires: 4\r\n")), "{}", tries[0].text);
    let rung: Vec<u64> = other
        .calls_to(A)
        .iter()
        .map(|call| (call.canceled_us.expect("it was cancelled") - call.invite_us) / 1000)
        .collect();
    assert!(rung.iter().all(|ms| (3_900..5_500).contains(ms)), "each rang for four seconds: {rung:?}");
    let pause = tries[1].at_us - other.calls_to(A)[0].canceled_us.expect("it was cancelled");
    assert!((2_900_000..5_500_000).contains(&pause), "three seconds between them: {pause} us");
}

#[test]
fn without_anonymous_accounting_the_second_call_does_not_ask_for_both_to_be_paid() {
    let options = ["Delay Before Callback=0", "Default Account Username=pool", "Enable_Anonymous_Accounting=False"];
    let talker = || Manner::answers(millis(200));
    let house = House::stage(talker(), talker().hangs_up_after(secs(1)), &options, |site| site.set("ani.window", "0"));
    house.site.cli(&["account", "add", "pool", "--balance", "5.00", "--allow", "44", "--limits", "off"], "");
    let stranger = "+447700900999";
    house.phones.when(stranger, talker());
    let _gateway = house.site.start(Part::All);
    let caller = house.caller(5071);
    let calls = || assert_eq!(caller.to_the_end(&caller.calls(stranger, ACCESS, ""), SOON).codes, [100, 603]);
    let asks = || invites(&house.phones, B).last().expect("B was called").text.contains("X-2Way-Need-Bind: yes");
    calls();
    house.site.wait_idle(1, SOON);
    assert!(!asks());
    house.site.cli(&["app", "set", "missed", "Enable_Anonymous_Accounting=True"], "");
    calls();
    house.site.wait_idle(2, SOON);
    assert!(asks());
    let row = house.rows("username, default_user_used, anon_acct_enabled");
    assert_eq!(row, [["pool", "1", "0"], ["pool", "1", "1"]]);
}
