//! The stage of a run: a site as an operator would set it up, its phones, application server and accounts, and its processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::facts::{Breakage, Release, Served};
use super::manners::TRUNK;
use super::plan::{ACCOUNTS, ATTEMPTS, MAX_CALL, NO_ANSWER, PRICE, Plan, Shape, Way};
use super::post::Post;
use crate::disk::Disk;
use crate::iif::{AppServer, value};
use crate::net;
use crate::peers::Peers;
use crate::phone::Bank;
use crate::site::{Part, Site};

/// The disk of the small shape, in megabytes.
const DISK: u32 = 48;

/// Everything of one run.
pub struct Stage {
    /// The site.
    pub site: Site,
    /// Broker and database of the big shape.
    pub peers: Option<Mutex<Peers>>,
    /// The disk of the small shape; none without root.
    pub disk: Option<Disk>,
    /// The phones behind the first trunk and behind the second.
    pub phones: [Bank; 2],
    /// Its processes, as [`Shape::parts`] has them.
    pub posts: Vec<Post>,
    /// The application server.
    pub server: AppServer,
    /// What happened.
    pub diary: Mutex<Diary>,
    started: Instant,
}

/// What those who act write down for the judges.
#[derive(Default)]
pub struct Diary {
    /// Jobs whose text was accepted.
    pub accepted: Vec<String>,
    /// Numbers that must not be called from a moment on.
    pub forbidden: Vec<(String, u64)>,
    /// Top-ups: account, micro-units, confirmed.
    pub topped: Vec<(String, i64, bool)>,
    /// What the application server heard, by id.
    pub served: BTreeMap<String, Served>,
    /// When each REQUEST was sent first.
    pub requested: BTreeMap<usize, u64>,
    /// RELEASEs behind their REQUEST.
    pub releases: Vec<Release>,
    /// When something was broken.
    pub breakages: Vec<Breakage>,
    /// What is wrong in itself.
    pub complaints: Vec<String>,
}

impl Stage {
    /// Sets everything up for a plan and starts it.
    pub fn set(plan: &Plan) -> Stage {
        let peers = (plan.shape == Shape::Big).then(Peers::start);
        let disk = (plan.shape == Shape::Small).then(|| Disk::mount(DISK).ok()).flatten();
        let mut site = match (&peers, &disk) {
            (Some(peers), _) => Site::beside(peers),
            (None, Some(disk)) => Site::small_in(disk.path()),
            (None, None) => Site::small(),
        };
        settle_settings(&mut site);
        let phones = [5070, 5071].map(|port| Bank::start(site.at(port)).expect("the phones' address is free"));
        let part = |part: &Part| Post::new(*part, if *part == Part::All { site.ip() } else { net::own_address() });
        let posts: Vec<Post> = plan.shape.parts().iter().map(part).collect();
        let iif = SocketAddr::new(address_of(&posts, |part| matches!(part, Part::Iif(_))), 5080);
        let server = AppServer::start(site.at(4000), iif);
        let stage = Stage {
            site,
            peers: peers.map(Mutex::new),
            disk,
            phones,
            posts,
            server,
            diary: Mutex::default(),
            started: Instant::now(),
        };
        stage.furnish(plan);
        for post in &stage.posts {
            post.begin(&stage.site);
        }
        Stage { started: Instant::now(), ..stage }
    }

    /// Accounts, trunks, the numbers that are rung, and how everybody behaves.
    fn furnish(&self, plan: &Plan) {
        for (name, opening) in ACCOUNTS {
            self.site.account(name, &amount(opening));
        }
        for (n, bank) in self.phones.iter().enumerate() {
            let (name, priority) = (format!("trunk{}", n + 1), format!("{}", 10 * (n + 1)));
            let trunk = ["trunk", "add", &name, "--sip", &bank.uri(), "--priority", &priority, "--user", TRUNK.0];
            self.site.cli(&[&trunk[..], &["--password-stdin"]].concat(), TRUNK.1);
        }
        for (n, ask) in plan.asks.iter().enumerate() {
            let (a, b) = (Plan::a(n), Plan::b(n));
            self.phones[0].when_each(&a, ask.a.iter().map(|conduct| conduct.manner()).collect());
            self.phones[0].when(&b, ask.b.manner());
            self.phones[1].when(&a, ask.detour.manner());
            self.phones[1].when(&b, ask.detour.manner());
            if let Way::Missed(_) = ask.way {
                let (hotline, missed) = (format!("hotline{n}"), format!("missed{n}"));
                self.site.cli(&["app", "add", &hotline, "--type", "2way-callback", "--to", &b], "");
                self.site.cli(&["app", "add", &missed, "--type", "ani-callback", "--application", &hotline], "");
                self.site.cli(&["did", "add", &Plan::did(n), "--app", &missed], "");
            }
        }
    }

    /// Waits until this moment of the plan.
    pub fn wait_for(&self, at: Duration) {
        std::thread::sleep((self.started + at).saturating_duration_since(Instant::now()));
    }

    /// Where texts are taken.
    pub fn sms_door(&self) -> SocketAddr {
        SocketAddr::new(address_of(&self.posts, |part| matches!(part, Part::Sms(_))), 8081)
    }

    /// Where calls come in.
    pub fn ani_door(&self) -> SocketAddr {
        SocketAddr::new(address_of(&self.posts, |part| matches!(part, Part::Ani(_))), 5060)
    }

    /// Hears for the application server until it is over.
    pub fn listen(&self, over: impl Fn() -> bool) {
        while !over() {
            let Some((text, _)) = self.server.hears_from(Duration::from_millis(100)) else { continue };
            let Some(id) = value(&text, "id").map(str::to_owned) else { continue };
            let mut diary = self.diary();
            let served = diary.served.entry(id).or_default();
            if text.starts_with("ACK") && value(&text, "code") == Some("ok") {
                served.acked = true;
            }
            if let Some(duration) = value(&text, "real_duration") {
                served.responses.push(duration.to_owned());
            }
        }
    }

    /// What is written down.
    pub fn diary(&self) -> MutexGuard<'_, Diary> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker and the database, for one who breaks them.
    pub fn peers(&self) -> Option<MutexGuard<'_, Peers>> {
        self.peers.as_ref().map(|peers| peers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn settle_settings(site: &mut Site) {
    let (ip, seconds) = (site.ip().to_string(), NO_ANSWER.as_secs().to_string());
    let price = amount(PRICE);
    for (key, value) in [
        ("engine.no_answer", seconds.as_str()),
        ("engine.backoff", "2"),
        ("engine.attempts", &ATTEMPTS.to_string()),
        ("engine.hold_seconds", "10"),
        ("engine.max_call_seconds", &MAX_CALL.as_secs().to_string()),
        ("engine.slots", "60"),
        ("tariff.a", &price),
        ("tariff.b", &price),
        ("billing.feed.on", "true"),
        ("sms.announce", "true"),
        ("iif.account", "carrier"),
        ("iif.application_server", &ip),
        ("ani.options.default_account_username", "missed"),
        ("ani.options.delay_before_callback", "1"),
        ("ani.options.ringback_time", "2"),
        ("ani.options.backoff_interval", "2"),
        ("ani.options.max_callback_attempts", &ATTEMPTS.to_string()),
        ("intake.limits.system_spend_per_hour_stop", "100000"),
    ] {
        site.set(key, value);
    }
}

/// The first process that fits; `ringback run` is all of them.
fn address_of(posts: &[Post], fits: impl Fn(&Part) -> bool) -> std::net::IpAddr {
    posts.iter().find(|post| post.part == Part::All || fits(&post.part)).expect("every shape has one").ip
}

/// 250_000 is `0.25`.
pub fn amount(micros: i64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
