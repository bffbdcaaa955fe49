//! What a job's terms change about its plan, and what they cannot.

use super::*;
use crate::routing::Trunk;
use ringback_common::config::Config;
use ringback_common::job::{JobId, JobKind};

fn job(terms: Terms) -> Job {
    let number = |text| Number::e164(text).unwrap();
    let created = DateTime::UNIX_EPOCH;
    Job {
        id: JobId("j".to_owned()),
        kind: JobKind::Callback,
        quote: None,
        source: "iif".to_owned(),
        account: "alice".to_owned(),
        a: number("+4412345678"),
        b: Some(number("+4498765432")),
        sender: None,
        created,
        not_before: None,
        not_after: created + chrono::TimeDelta::minutes(10),
        terms,
        reply: None,
        metadata: Default::default(),
        unknown: Default::default(),
    }
}

/// Admitted on a rich account that may call 44, through a trunk that shows this.
fn admitted(terms: Terms, trunk_cli: Option<&str>) -> Result<CallPlan, Denial> {
    through("192.0.2.1:5060".parse().ok(), terms, trunk_cli)
}

/// The same through a trunk at this address.
fn through(address: Option<std::net::SocketAddr>, terms: Terms, trunk_cli: Option<&str>) -> Result<CallPlan, Denial> {
    let config = Config::defaults(std::path::Path::new("/srv"));
    let account = AccountView {
        id: 1,
        name: "alice".to_owned(),
        currency: config.tariff.currency.clone(),
        enabled: true,
        available: Money(1_000_000_000),
        balance: Money(1_000_000_000),
        trigger_secret: None,
        password_hash: None,
        numbers: Vec::new(),
        dids: Vec::new(),
        emails: Vec::new(),
        allow: vec!["44".to_owned()],
        limits: Default::default(),
        limits_off: true,
        language: None,
        mail_must_be_vouched: false,
    };
    let trunks = Trunks(vec![Trunk {
        name: "one".to_owned(),
        host: "192.0.2.1".to_owned(),
        address,
        credentials: None,
        prefixes: Vec::new(),
        priority: 1,
        cli: trunk_cli.map(str::to_owned),
    }]);
    let job = job(terms);
    let situation = Situation {
        job: &job,
        call_count: 0,
        account: Some(&account),
        counts: None,
        trunks: &trunks,
        rates: &[],
        tariff: &config.tariff,
        engine: &config.engine,
        limits: &config.intake.limits,
        now: DateTime::UNIX_EPOCH,
    };
    admit(&situation).map(|admitted| admitted.plan)
}

fn clis(plan: &CallPlan) -> [&str; 2] {
    [&plan.a, &plan.b].map(|party| party.routes[0].cli.as_str())
}

#[test]
fn each_sees_what_the_job_says_else_the_other_and_a_trunk_of_its_own_goes_before() {
    let terms = Terms { cli_a: Some(Cli::anonymous()), cli_b: Cli::read("100").ok(), ..Terms::default() };
    assert_eq!(clis(&admitted(terms.clone(), None).unwrap()), ["anonymous", "100"]);
    assert_eq!(clis(&admitted(Terms::default(), None).unwrap()), ["+4498765432", "+4412345678"]);
    assert_eq!(clis(&admitted(terms, Some("+4930111")).unwrap()), ["+4930111", "+4930111"]);
}

#[test]
fn a_job_shortens_the_longest_call_and_never_lengthens_it() {
    let longest = |max_seconds| admitted(Terms { max_seconds, ..Terms::default() }, None).unwrap().max_call.as_secs();
    assert_eq!([longest(None), longest(Some(60)), longest(Some(u32::MAX))], [3600, 60, 3600]);
}

#[test]
fn a_forward_number_that_must_not_be_dialled_refuses_the_job() {
    let refused = |forward: &str| {
        let forwards = vec![Number::e164("+4498765431").unwrap(), Number::e164(forward).unwrap()];
        admitted(Terms { forwards, ..Terms::default() }, None).map_err(|denial| verdict(&denial))
    };
    for bad in ["+881612345678", "+9799123456", "+3312345678"] {
        assert_eq!(refused(bad), Err(Some(Verdict::Blocked)), "{bad}");
    }
    assert!(refused("+4498765430").is_ok());
}

#[test]
fn a_job_says_how_often_and_how_long_a_rings_and_by_which_trunk() {
    let asks = |attempts, ring, backoff| Terms {
        attempts: Some(attempts),
        no_answer_seconds: Some(ring),
        backoff_seconds: Some(backoff),
        ..Terms::default()
    };
    let plan = admitted(asks(2, 300, 7), None).unwrap();
    assert_eq!((plan.attempts, plan.no_answer.as_secs(), plan.backoff.as_secs()), (2, 300, 7));
    let forged = admitted(asks(1_000, 1_000_000, 1_000_000), None).unwrap();
    assert_eq!(
        (forged.attempts, forged.no_answer.as_secs(), forged.backoff.as_secs()),
        (3, 600, 3_600),
        "within limits"
    );
    let by = |trunk: &str| admitted(Terms { trunk_a: Some(trunk.to_owned()), ..Terms::default() }, None);
    assert_eq!(by("one").unwrap().a.routes.len(), 1);
    assert_eq!(verdict(&by("two").unwrap_err()), Some(Verdict::Rejected));
}

fn verdict(denial: &Denial) -> Option<Verdict> {
    match denial {
        Denial::Refused(refusal) => Some(refusal.verdict),
        Denial::NotNow => None,
    }
}

#[test]
fn a_trunk_that_is_not_found_yet_is_waited_for() {
    let denied = |terms| verdict(&through(None, terms, None).unwrap_err());
    assert_eq!(denied(Terms::default()), None);
    assert_eq!(denied(Terms { trunk_a: Some("one".to_owned()), ..Terms::default() }), None);
}
