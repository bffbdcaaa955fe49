//! The gateway in one of its two shapes, with an account that may do anything and a trunk to each party's phones.

use std::net::SocketAddr;
use std::time::Duration;

use ringback_tests::peers::Peers;
use ringback_tests::site::{PIN, Part, Running, SENDER, Site};
use serde_json::json;

use crate::phones::Phones;
use crate::process::{self, Usage};

/// The account that pays.
pub const ACCOUNT: &str = "bench";
/// What the numbers of leg A begin with (no plus), and those of leg B; seven digits follow.
pub const PREFIXES: [&str; 2] = ["44100", "44200"];

/// Which shape.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// trigger-sms and engine as processes of their own, on RabbitMQ and PostgreSQL.
    Big,
    /// One process on SQLite.
    Small,
}

impl Kind {
    /// Its name on the command line and in the report.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Big => "big",
            Kind::Small => "small",
        }
    }
}

impl Kind {
    /// A site of this shape, with broker and database where it has them; nothing runs yet.
    pub fn site(self) -> (Option<Peers>, Site) {
        let peers = (self == Kind::Big).then(Peers::start);
        let mut site = peers.as_ref().map_or_else(Site::small, Site::beside);
        site.set("service.log_level", "info");
        (peers, site)
    }
}

/// A running gateway.
pub struct Shape {
    engine: Running,
    trigger: Option<Running>,
    site: Site,
    _peers: Option<Peers>,
}

impl Shape {
    /// Starts it with trunks to these phones.
    pub fn start(kind: Kind, phones: &Phones) -> Shape {
        let [a, b] = phones.addresses().map(|address| format!("sip:{address}"));
        Shape::start_for(kind, &a, &b)
    }

    /// Starts it with trunks to these addresses.
    pub fn start_for(kind: Kind, a: &str, b: &str) -> Shape {
        let (peers, mut site) = kind.site();
        site.set("engine.slots", "600");
        site.set("billing.feed.on", if kind == Kind::Big { "true" } else { "false" });
        site.set("sms.generic.secret", "");
        site.set("sms.generic.allow_unsigned", "true");
        site.account(ACCOUNT, "1000000.00");
        site.trunk("a", a, PREFIXES[0]);
        site.trunk("b", b, PREFIXES[1]);
        let (engine, trigger) = match kind {
            Kind::Big => (site.start(Part::Engine(1)), Some(site.start(Part::Sms(1)))),
            Kind::Small => (site.start(Part::All), None),
        };
        Shape { engine, trigger, site, _peers: peers }
    }

    /// The process that runs the engine.
    pub fn engine(&self) -> u32 {
        self.engine.process.id()
    }

    /// Where texts go.
    pub fn sms(&self) -> SocketAddr {
        SocketAddr::new(self.trigger.as_ref().unwrap_or(&self.engine).ip, 8081)
    }

    /// CPU so far.
    pub fn usage(&self) -> Usage {
        let trigger = self.trigger.as_ref().map(|trigger| process::cpu(trigger.process.id()));
        Usage { engine: process::cpu(self.engine()), trigger }
    }

    /// Waits until every request is finished and every event is told.
    pub fn wait_idle(&self) {
        let requests = self.site.probe().number("SELECT count(*) FROM callback_requests");
        self.site.wait_idle(usize::try_from(requests).unwrap_or(0), Duration::from_secs(30));
    }

    /// For an outside tool: process ids, and how to send a text.
    pub fn where_it_is(&self) -> String {
        let text = format!("{ACCOUNT} {PIN} +{}{{n:07}} +{}{{n:07}}", PREFIXES[0], PREFIXES[1]);
        let trigger = self.trigger.as_ref().map(|trigger| trigger.process.id());
        json!({
            "engine_pid": self.engine(),
            "trigger_pid": trigger,
            "post": format!("http://{}/sms/generic", self.sms()),
            "body": { "id": "{n}", "from": SENDER, "to": "100", "text": text },
            "phones": { "a": "127.0.0.1:5070", "b": "127.0.0.1:5071" },
            "folder": self.site.folder(),
        })
        .to_string()
    }
}
