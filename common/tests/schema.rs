//! The contract files in `common/schema` say what the code says, and say it to real messages.
//!
//! `RINGBACK_WRITE_SCHEMA=1 cargo test -p ringback-common --test schema` writes the generated ones anew.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Once;

use jsonschema::Validator;
use ringback_common::end_reason::EndReason;
use ringback_common::event::{
    BALANCE_TYPE, BalanceEvent, CDR_TYPE, CONTENT_TYPE, CdrEvent, Envelope, LEG_STATES, LegEvent, LegName,
    REQUEST_STATES, RequestEvent,
};
use ringback_common::job::{JOB_TYPE, Job, JobId, JobKind};
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_common::terms::{Announcement, Cli, Diversion, Session, Terms};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const WRITE: &str = "RINGBACK_WRITE_SCHEMA";
static WRITTEN: Once = Once::new();

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

fn read(name: &str) -> String {
    WRITTEN.call_once(write_if_asked);
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("common/schema/{name}: {e}"))
}

// --- From the code to the files ----------------------------------------------------------------------------------------

/// One file: what is in the envelope, and which types the envelope may have.
struct Contract {
    file: &'static str,
    title: &'static str,
    schema: Value,
}

fn contracts() -> [Contract; 5] {
    [
        contract::<Job>("job.v1.json", JOB_TYPE, json!({ "const": JOB_TYPE })),
        contract::<RequestEvent>("request.v1.json", "ringback.request.<state>.v1", states("request", &REQUEST_STATES)),
        contract::<LegEvent>("leg.v1.json", "ringback.leg.<state>.v1", states("leg", &LEG_STATES)),
        contract::<CdrEvent>("cdr.v1.json", CDR_TYPE, json!({ "const": CDR_TYPE })),
        contract::<BalanceEvent>("balance.v1.json", BALANCE_TYPE, json!({ "const": BALANCE_TYPE })),
    ]
}

/// Any state is valid, so that a newer gateway may say more; those of this version are the examples.
fn states(of: &str, states: &[&str]) -> Value {
    let examples: Vec<String> = states.iter().map(|state| format!("ringback.{of}.{state}.v1")).collect();
    json!({ "pattern": format!(r"^ringback\.{of}\.[a-z_]+\.v1$"), "examples": examples })
}

/// Draft 07, which every generator of classes and AsyncAPI 3.0 understand.
fn contract<T: JsonSchema>(file: &'static str, title: &'static str, kind: Value) -> Contract {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Envelope<T>>().to_value();
    schema["title"] = title.into();
    let fixed = [("specversion", json!({ "const": "1.0" })), ("type", kind)];
    for (field, rule) in fixed.into_iter().chain([("datacontenttype", json!({ "const": "application/json" }))]) {
        let property = schema["properties"][field].as_object_mut().unwrap();
        property.extend(rule.as_object().unwrap().clone());
    }
    Contract { file, title, schema }
}

fn pretty(schema: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(schema).unwrap())
}

fn write_if_asked() {
    if std::env::var_os(WRITE).is_some() {
        for Contract { file, schema, .. } in contracts() {
            std::fs::write(folder().join(file), pretty(&schema)).unwrap();
        }
    }
}

#[test]
fn schemas_are_what_the_code_says() {
    for Contract { file, title, schema } in contracts() {
        let (kept, fresh) = (read(file), pretty(&schema));
        let line = kept.lines().zip(fresh.lines()).position(|(kept, fresh)| kept != fresh).map_or(1, |line| line + 1);
        assert!(
            kept == fresh,
            "common/schema/{file} does not say what the code says about {title} (from line {line}); if the change is meant and \
             only adds, write it anew: {WRITE}=1 cargo test -p ringback-common --test schema"
        );
    }
}

// --- From the files to messages ----------------------------------------------------------------------------------------

fn validator(file: &str) -> Validator {
    let schema: Value = serde_json::from_str(&read(file)).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn wrap<T: Serialize>(kind: &str, data: T) -> Value {
    let (now, source) = ("2026-03-01T12:00:00.250Z".parse().unwrap(), "/ringback/engine/e1".to_owned());
    serde_json::to_value(Envelope::new("job:3".to_owned(), source, kind, now, Some("job".to_owned()), data)).unwrap()
}

fn a() -> Number {
    Number::e164("+447700900111").unwrap()
}

fn a_job() -> Job {
    Job {
        id: JobId::of_message("sms", "msg-1", "+447700900001"),
        kind: JobKind::Callback,
        quote: None,
        source: "sms".to_owned(),
        account: "alice".to_owned(),
        a: a(),
        b: Some(Number::extension("100").unwrap()),
        sender: Some("+447700900001".to_owned()),
        created: "2026-03-01T12:00:00Z".parse().unwrap(),
        not_before: None,
        not_after: "2026-03-01T12:10:00Z".parse().unwrap(),
        terms: Terms {
            cli_a: Some(Cli::anonymous()),
            cli_b: Some(Cli::read("+4930123456").unwrap()),
            max_seconds: Some(3600),
            forwards: vec![Number::extension("102").unwrap()],
            announce_a: Some(Announcement::read("00080003").unwrap()),
            announce_b: None,
            say_b: Some("1234".to_owned()),
            record: true,
            attempts: Some(3),
            backoff_seconds: Some(10),
            no_answer_seconds: Some(300),
            trunk_a: Some("main".to_owned()),
            diversion: Some(Diversion { from: Cli::read("+12065550100").unwrap(), reason: "unconditional".to_owned() }),
            session: Some(Session {
                cli: Cli::read("801").unwrap(),
                cld: "callingcard_en_th".to_owned(),
                application: "callingcard".to_owned(),
                anon_acct_enabled: true,
                default_user_used: true,
                real_account: Some("alice".to_owned()),
            }),
        },
        reply: Some("opaque".to_owned()),
        metadata: [("order".to_owned(), json!({ "number": 7 }))].into(),
        unknown: [("callback_window".to_owned(), json!("evening"))].into(),
    }
}

fn a_request(finished: bool) -> RequestEvent {
    let job = a_job();
    RequestEvent {
        job: job.id,
        seq: 9,
        source: job.source,
        account: job.account,
        status: if finished { "Finished" } else { "First leg initiated" }.to_owned(),
        result: finished.then(|| "Successful".to_owned()),
        reason: finished.then_some(EndReason::Talked),
        a: job.a,
        b: job.b,
        quote: None,
        price_a: None,
        price_b: None,
        minutes: None,
        attempts: None,
        talk_seconds: finished.then_some(61),
        cost: finished.then_some(Money(203_334)),
        currency: finished.then(|| "USD".to_owned()),
        balance: finished.then_some(Money(9_796_666)),
        reply: job.reply,
        metadata: job.metadata,
    }
}

fn a_leg(code: Option<u16>) -> LegEvent {
    let cause = code.map(|_| "busy".to_owned());
    LegEvent { job: a_job().id, seq: 2, leg: LegName::B, attempt: 1, number: a(), sip_code: code, cause }
}

fn a_cdr(answered: bool) -> CdrEvent {
    let job = a_job();
    CdrEvent {
        cdr_id: format!("{}:a:1", job.id),
        job: job.id,
        seq: 7,
        leg: LegName::A,
        attempt: 1,
        source: job.source,
        account: job.account,
        number: job.a,
        cli: "+442071838750".to_owned(),
        trunk: "carrier".to_owned(),
        setup_time: "2026-03-01T12:00:00Z".parse().unwrap(),
        connect_time: answered.then(|| "2026-03-01T12:00:09Z".parse().unwrap()),
        disconnect_time: "2026-03-01T12:01:10Z".parse().unwrap(),
        duration_ms: if answered { 61_000 } else { 0 },
        billed_seconds: if answered { 61 } else { 0 },
        cost: Money(if answered { 101_667 } else { 0 }),
        currency: "USD".to_owned(),
        cause: if answered { "completed" } else { "no_answer" }.to_owned(),
        sip_code: Some(if answered { 200 } else { 487 }),
        q850: Some(16),
        call_id: "f3b1@ringback".to_owned(),
        account_seq: answered.then_some(12),
        balance: Some(Money(-5)),
        metadata: job.metadata,
    }
}

fn a_topup() -> BalanceEvent {
    let (account, kind, currency) = ("alice".to_owned(), "topup".to_owned(), "USD".to_owned());
    BalanceEvent { account, amount: Money(-1_000_000), kind, currency, account_seq: 3, balance: Money(9_000_000) }
}

fn samples() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("job.v1.json", wrap(JOB_TYPE, a_job())),
        ("job.v1.json", wrap(JOB_TYPE, Job { b: None, sender: None, reply: None, ..a_job() })),
        ("cdr.v1.json", wrap(CDR_TYPE, a_cdr(true))),
        ("cdr.v1.json", wrap(CDR_TYPE, a_cdr(false))),
        ("balance.v1.json", wrap(BALANCE_TYPE, a_topup())),
    ];
    for state in REQUEST_STATES {
        let kind = format!("ringback.request.{state}.v1");
        all.push(("request.v1.json", wrap(&kind, a_request(state == "finished"))));
    }
    for state in LEG_STATES {
        let code = (state == "ended").then_some(486);
        all.push(("leg.v1.json", wrap(&format!("ringback.leg.{state}.v1"), a_leg(code))));
    }
    all
}

#[test]
fn schema_fits_every_kind_of_message() {
    for (file, message) in samples() {
        if let Err(error) = validator(file).validate(&message) {
            panic!("{file}: {error} at {} in {message:#}", error.instance_path());
        }
    }
}

#[test]
fn schema_and_code_take_fields_of_later_versions() {
    for (file, message) in samples() {
        let mut newer = message.clone();
        newer["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        newer["data"]["later"] = json!({ "more": [1, 2] });
        assert!(validator(file).is_valid(&newer), "{file} refuses fields of later versions");
    }
    let mut newer = wrap("ringback.request.on_hold.v1", a_request(false));
    newer["data"]["later"] = json!(1);
    assert!(validator("request.v1.json").is_valid(&newer), "a state of a later version");
    assert!(reads::<RequestEvent>(&newer));
}

#[test]
fn schema_refuses_what_the_code_cannot_read() {
    for wrong in ["447700900111", "+447700", "+0447700900111", "+44 7700 900111", "+4477009001112233", "alice", ""] {
        let mut message = wrap(JOB_TYPE, a_job());
        message["data"]["a"] = json!(wrong);
        assert!(!validator("job.v1.json").is_valid(&message), "{wrong:?} as a number");
        assert!(!reads::<Job>(&message), "{wrong:?} as a number");
    }
    for field in ["id", "source", "account", "a", "created", "not_after"] {
        let mut message = wrap(JOB_TYPE, a_job());
        message["data"].as_object_mut().unwrap().remove(field);
        assert!(!validator("job.v1.json").is_valid(&message), "a job without {field}");
        assert!(!reads::<Job>(&message), "a job without {field}");
    }
    let mut floating = wrap(CDR_TYPE, a_cdr(true));
    floating["data"]["cost"] = json!(0.101667);
    assert!(!validator("cdr.v1.json").is_valid(&floating) && !reads::<CdrEvent>(&floating), "money is never a float");
    let mut undated = wrap(CDR_TYPE, a_cdr(true));
    undated["data"]["setup_time"] = json!("yesterday");
    assert!(!validator("cdr.v1.json").is_valid(&undated) && !reads::<CdrEvent>(&undated));
    assert!(!validator("cdr.v1.json").is_valid(&wrap(JOB_TYPE, a_cdr(true))), "a CDR that says it is a job");
}

fn reads<T: DeserializeOwned>(message: &Value) -> bool {
    serde_json::from_value::<Envelope<T>>(message.clone()).is_ok()
}

// --- asyncapi.yaml -----------------------------------------------------------------------------------------------------

/// Everything the document refers to: files beside it, and components by their path.
fn references(document: &str) -> BTreeSet<&str> {
    let after = |line: &'_ str| line.find("$ref:").map(|at| at + "$ref:".len());
    let found = document.lines().filter_map(|line| line.get(after(line)?..));
    found.map(|rest| rest.trim().trim_matches(['\'', '"', '}', ' '])).collect()
}

#[test]
fn schema_files_and_asyncapi_know_each_other() {
    let document = read("asyncapi.yaml");
    let references = references(&document);
    assert!(references.len() > 10, "the references were not found: {references:?}");
    for reference in &references {
        match reference.strip_prefix("#/") {
            Some(path) => {
                let key = format!("{}:", path.rsplit('/').next().unwrap_or_default());
                assert!(document.lines().any(|line| line.trim() == key), "asyncapi.yaml: nothing is at {reference}");
            }
            None => assert!(folder().join(reference).is_file(), "asyncapi.yaml: there is no {reference}"),
        }
    }
    for Contract { file, .. } in contracts() {
        assert!(references.contains(format!("./{file}").as_str()), "asyncapi.yaml does not speak of {file}");
    }
}

#[test]
fn schema_asyncapi_names_every_type() {
    let document = read("asyncapi.yaml");
    let requests = REQUEST_STATES.map(|state| format!("ringback.request.{state}.v1"));
    let legs = LEG_STATES.map(|state| format!("ringback.leg.{state}.v1"));
    let others = [JOB_TYPE, CDR_TYPE, BALANCE_TYPE, CONTENT_TYPE].map(str::to_owned);
    for name in requests.iter().chain(&legs).chain(&others) {
        assert!(document.contains(name.as_str()), "asyncapi.yaml does not name {name}");
    }
}
