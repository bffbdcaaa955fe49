//! The tables that others read: Sippy's `callback_requests` and Asterisk's `cdr`, column by column, with what real callbacks leave in
//! them.

use ringback_tests::clock;
use ringback_tests::phone::Manner;
use ringback_tests::story::{A, B, SOON, Story, millis, secs};

/// The values of these columns, empty where they are NULL.
fn read(story: &Story, columns: &str, rest: &str) -> Vec<Vec<String>> {
    let columns: Vec<String> = columns.split(", ").map(|column| format!("CAST({column} AS TEXT)")).collect();
    let sql = format!("SELECT {} FROM {rest}", columns.join(", "));
    let rows = story.site.probe().rows(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
}

/// Seconds from one moment's column to another's, in tenths.
fn tenths(from: &str, to: &str) -> String {
    format!("ROUND((julianday({to}) - julianday({from})) * 864000)")
}

fn within(text: &str, range: std::ops::RangeInclusive<f64>) -> bool {
    text.parse().is_ok_and(|value| range.contains(&value))
}

#[test]
fn sippys_columns_tell_of_a_callback_that_was_tried_twice() {
    let talker = || Manner::answers(secs(2)).plays(700);
    let story = Story::begin(talker(), talker().hangs_up_after(secs(3)), |site| site.set("engine.backoff", "3"));
    story.phones.when_each(A, vec![Manner::refuses(millis(100), 486), talker()]);
    let job = story.ask("text-1");
    let waits = clock::wait_for("the second attempt to be waited for", SOON, || {
        let row = read(&story, "status, result, finished, call_count", "callback_requests").pop();
        row.filter(|row| row[0] == "Waiting for retry")
    });
    assert_eq!(waits, ["Waiting for retry", "", "0", "1"]);
    story.wait_over(secs(30));

    let columns = "i_callback_request, username, authname, original_cli, call_count, canceled, finished, status, result, \
                   anon_acct_enabled, default_user_used, job_id";
    let row = read(&story, columns, "callback_requests").remove(0);
    let sender = ringback_tests::site::SENDER;
    assert_eq!(row, ["1", "alice", "alice", sender, "2", "0", "1", "Finished", "Successful", "1", "0", &job]);
    let last_invite = |number: &str| {
        let log = story.phones.log().of_number(number.trim_start_matches('+'));
        log.entries.into_iter().rfind(|entry| entry.opens()).expect("it was called").call_id
    };
    let ids = read(&story, "call_id, twoway_call_id", "callback_requests").remove(0);
    assert_eq!(ids, [last_invite(A), last_invite(B)], "the Call-IDs on the wire");

    let pairs = [
        ("creation_time", "next_call"),
        ("next_call", "setup_time"),
        ("setup_time", "connect_time"),
        ("connect_time", "disconnect_time"),
    ];
    let spans = pairs.map(|(from, to)| tenths(from, to)).join(", ");
    let spans = read(&story, &spans, "callback_requests").remove(0);
    assert!(within(&spans[0], 29.0..=60.0), "due again three seconds after it was busy: {spans:?}");
    assert!(within(&spans[1], 0.0..=30.0), "the attempt that connected began when it was due: {spans:?}");
    assert!(within(&spans[2], 19.0..=35.0), "A was picked up after two seconds: {spans:?}");
    assert!(within(&spans[3], 49.0..=80.0), "B was picked up two seconds later and hung up after three: {spans:?}");

    story.phones.when(A, Manner::answers(millis(100)));
    story.ask("text-2");
    story.site.wait_idle(2, SOON);
    assert_eq!(read(&story, "i_callback_request", "callback_requests ORDER BY 1"), [["1"], ["2"]]);
}

#[test]
fn sippys_results_are_what_the_phones_did() {
    let answers = || Manner::answers(millis(100));
    let story = Story::begin(answers(), answers(), |site| site.set("engine.attempts", "1"));
    let cases = [
        (Manner::refuses(millis(50), 486), answers(), "Out of retries", ["0", "0"]),
        (answers().hangs_up_after(secs(1)), Manner::rings_for_ever(), "First leg aborted", ["1", "1"]),
        (answers(), Manner::refuses(millis(50), 486), "Second leg failed", ["1", "1"]),
        (Manner::refuses(millis(50), 603), answers(), "Rejected", ["0", "0"]),
        (Manner::rings_for_ever(), answers(), "Canceled", ["0", "0"]),
    ];
    for (n, (a, b, result, [connected, called_b])) in cases.into_iter().enumerate() {
        story.phones.when(A, a);
        story.phones.when(B, b);
        let job = story.ask(&format!("text-{n}"));
        if result == "Canceled" {
            clock::wait_for("A to ring", SOON, || story.phones.calls_to(A).get(n)?.ringing_us);
            story.site.cli(&["request", "cancel", &job], "");
        }
        story.site.wait_idle(n + 1, secs(20));
        let row = read(
            &story,
            "status, result, finished, canceled, connect_time IS NOT NULL, twoway_call_id IS NOT NULL, disconnect_time IS NOT NULL",
            &format!("callback_requests WHERE job_id = '{job}'"),
        );
        let canceled = if result == "Canceled" { "1" } else { "0" };
        assert_eq!(row, [["Finished", result, "1", canceled, connected, called_b, "1"]], "{result}");
    }
}

#[test]
fn the_cause_of_each_attempt_stands_in_its_record() {
    let story = Story::begin(Manner::dead(), Manner::dead(), |site| site.set("engine.attempts", "1"));
    let says = |code: u16| Manner::refuses(millis(50), code);
    let cases = [
        (says(486), "busy", "17", "BUSY"),
        (says(480), "no_answer", "19", "NO ANSWER"),
        (says(480).because("Q.850;cause=18"), "no_answer", "18", "NO ANSWER"),
        (says(403), "rejected", "21", "FAILED"),
        (says(404), "no_such_number", "1", "FAILED"),
        (says(500), "trunk_failed", "38", "FAILED"),
        (says(503), "trunk_failed", "38", "FAILED"),
    ];
    for (n, (a, cause, q850, disposition)) in cases.into_iter().enumerate() {
        story.phones.when(A, a);
        let job = story.ask(&format!("text-{n}"));
        story.site.wait_idle(n + 1, SOON);
        let row = read(&story, "cause, q850", &format!("call_records WHERE job_id = '{job}'"));
        assert_eq!(row, [[cause, q850]], "case {n}");
        assert_eq!(
            read(&story, "disposition", &format!("cdr WHERE userfield = '{job}:a:1'")),
            [[disposition]],
            "case {n}"
        );
    }
}

#[test]
fn asterisks_columns_tell_of_each_attempt() {
    let b = Manner::answers(secs(2)).plays(1100).hangs_up_after(secs(3));
    let story = Story::begin(Manner::answers(secs(1)).plays(700), b, |_| {});
    let talked = story.ask("text-1");
    story.wait_over(secs(20));
    story.phones.when(B, Manner::refuses(millis(100), 486));
    let busy = story.ask("text-2");
    story.site.wait_idle(2, SOON);

    let fixed =
        "clid, src, dst, dcontext, dstchannel, lastapp, lastdata, disposition, amaflags, accountcode, userfield";
    let rows =
        read(&story, fixed, "cdr WHERE userfield LIKE '%:a:1' OR userfield LIKE '%:b:1' ORDER BY calldate, userfield");
    let row = |leg: &str, cli: &str, number: &str, disposition: &str, job: &str| {
        [
            format!("\"{cli}\" <{cli}>"),
            cli.to_owned(),
            number.to_owned(),
            format!("callback-{leg}"),
            String::new(),
            "Dial".to_owned(),
            format!("SIP/phones/{number}"),
            disposition.to_owned(),
            "3".to_owned(),
            "alice".to_owned(),
            format!("{job}:{leg}:1"),
        ]
    };
    let expected = [
        row("a", B, A, "ANSWERED", &talked),
        row("b", A, B, "ANSWERED", &talked),
        row("a", B, A, "ANSWERED", &busy),
        row("b", A, B, "BUSY", &busy),
    ];
    assert_eq!(rows, expected);

    let measured = read(&story, "duration, billsec, channel, uniqueid, calldate", "cdr ORDER BY calldate, userfield");
    assert_eq!(measured.len(), 4);
    let seconds = |row: usize, column: usize| measured[row][column].parse::<i64>().expect("whole seconds");
    assert!((5..=8).contains(&seconds(0, 1)), "A was on the line while B rang and talked: {measured:?}");
    assert!((6..=9).contains(&seconds(0, 0)), "and rang for a second before: {measured:?}");
    assert!((3..=5).contains(&seconds(1, 1)), "B talked for three: {measured:?}");
    assert!((5..=7).contains(&seconds(1, 0)), "and rang for two: {measured:?}");
    assert_eq!(seconds(3, 1), 0, "a busy B is billed nothing: {measured:?}");
    for row in &measured {
        assert_eq!(row[2], format!("SIP/phones-{}", row[3]));
        assert_eq!(row[3].len(), 32, "{row:?}");
    }
    let begun = |number: &str, nth: usize| story.phones.calls_to(number)[nth].invite_us;
    assert!(begun(A, 0) < begun(B, 0) && measured[0][4] < measured[1][4], "calldate is when each began to be called");
    let mut ids: Vec<&String> = measured.iter().map(|row| &row[3]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "unique: {measured:?}");

    let indices =
        read(&story, "sql", "sqlite_master WHERE type = 'index' AND tbl_name = 'call_records'").concat().concat();
    for column in ["(setup_time)", "(number)", "(account, "] {
        assert!(indices.contains(&format!(" ON call_records {column}")), "{column} in {indices}");
    }

    let csv = story.site.cli(&["cdr", "list", "--csv"], "");
    assert_eq!(csv.lines().count(), 5, "a heading and four records: {csv}");
    for id in expected.iter().map(|row| &row[10]) {
        assert!(csv.lines().any(|line| line.contains(id.as_str())), "{id} in {csv}");
    }
}
