//! Those who ask for callbacks, with the patience of real ones; and what they do afterwards.

use std::time::{Duration, Instant};

use super::facts::Release;
use super::plan::{ACCOUNTS, Deed, Plan, Way};
use super::stage::{Stage, amount};
use crate::missed::Caller;
use crate::site::{self, PIN, SECRET};
use crate::{clock, sms};

/// After so long nobody tries any more.
const PATIENCE: Duration = Duration::from_secs(75);

/// Asks for one callback of the plan.
pub fn ask(stage: &Stage, plan: &Plan, n: usize) {
    match plan.asks[n].way {
        Way::Text(account) => {
            let words = sms::text(account, PIN, &Plan::a(n), &Plan::b(n));
            let place = ACCOUNTS.iter().position(|(name, _)| *name == account).unwrap_or_default();
            let send = || text(stage, &format!("text-{n}"), &site::sender(place), &words);
            let first = send();
            let again = if n.is_multiple_of(4) { send() } else { None };
            if let (Some(first), Some(again)) = (&first, again)
                && *first != again
            {
                stage.diary().complaints.push(format!("text-{n} was accepted as {first} and as {again}"));
            }
            stage.diary().accepted.extend(first);
        }
        Way::Request => request(stage, n),
        Way::Missed(patience) => {
            let port = u16::try_from(7000 + n).unwrap_or_default();
            let caller = Caller::start(stage.site.at(port), stage.ani_door());
            caller.gives_up(&caller.calls(&Plan::a(n), &Plan::did(n), ""), patience, Duration::from_secs(40));
        }
    }
}

/// Sends a text until it is answered for good; answers the job if it was accepted.
fn text(stage: &Stage, id: &str, from: &str, words: &str) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match sms::send(stage.sms_door(), SECRET, id, from, words) {
            Ok(answer) if answer.status == 202 && answer.json()["outcome"] == "accepted" => {
                return answer.json()["job"].as_str().map(str::to_owned);
            }
            Ok(answer) if !matches!(answer.status, 429 | 500..) => return None,
            _ => std::thread::sleep(Duration::from_millis(700)),
        }
    }
    None
}

/// Sends a REQUEST until it is acknowledged, as UDP wants it.
fn request(stage: &Stage, n: usize) {
    let (a, b) = (Plan::a(n), Plan::b(n));
    let message = format!("REQUEST: id={n};user1={};user2={};duration=3600;", &a[1..], &b[1..]);
    let end = Instant::now() + PATIENCE;
    stage.diary().requested.insert(n, clock::now_us());
    while Instant::now() < end && !stage.diary().served.contains_key(&n.to_string()) {
        stage.server.says(&message);
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Does what the plan has in between.
pub fn deed(stage: &Stage, deed: Deed) {
    match deed {
        Deed::TopUp(account, micros) => {
            stage.diary().topped.push((account.to_owned(), micros, false));
            let (code, ..) = stage.site.ask(&["account", "topup", account, &amount(micros)], "");
            if code == 0 {
                let mut diary = stage.diary();
                let own = |topped: &&mut (String, i64, bool)| *topped == &(account.to_owned(), micros, false);
                if let Some(topped) = diary.topped.iter_mut().find(own) {
                    topped.2 = true;
                }
            }
        }
        Deed::Release(n) => release(stage, n),
        Deed::Cancel(n) => cancel(stage, n),
        Deed::Stop(n) => {
            if stopped(stage, n) {
                stage.diary().forbidden.push((Plan::a(n), clock::now_us()));
            }
        }
    }
}

fn release(stage: &Stage, n: usize) {
    stage.server.says(format!("RELEASE: id={n};"));
    let mut diary = stage.diary();
    if let Some(asked_us) = diary.requested.get(&n).copied() {
        let numbers = [Plan::a(n), Plan::b(n)].map(|number| number[1..].to_owned());
        diary.releases.push(Release { numbers, asked_us, at_us: clock::now_us() });
    }
}

/// As the documentation says it, until the database takes it.
fn cancel(stage: &Stage, n: usize) {
    let probe = stage.site.probe();
    let sql = format!("UPDATE callback_requests SET canceled = TRUE WHERE a = '{}' AND NOT finished", Plan::a(n));
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match probe.try_execute(&sql) {
            Ok(0) => return,
            Ok(_) => {
                let at = clock::now_us();
                return stage.diary().forbidden.extend([Plan::a(n), Plan::b(n)].map(|number| (number, at)));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

fn stopped(stage: &Stage, n: usize) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        match sms::send(stage.sms_door(), SECRET, &format!("stop-{n}"), &Plan::a(n), "STOP") {
            Ok(answer) if answer.status < 300 => return true,
            Ok(answer) if answer.status < 500 && answer.status != 429 => return false,
            _ => std::thread::sleep(Duration::from_millis(700)),
        }
    }
    false
}
