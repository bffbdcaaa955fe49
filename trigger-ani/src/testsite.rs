//! What the tests of this crate stand on: a store and a queue on SQLite, and calls through a real socket.

use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringback_common::config::{AniConfig, Config};
use ringback_common::intake::{Intake, Rules};
use ringback_common::queue::{Queue, QueueConfig, Source};
use ringback_common::secret::SiteKey;
use ringback_common::store::{AppKind, Application, NewAccount, Store, StoreConfig};
use ringback_sip::{Endpoint, Reading};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};

use crate::desk::{Desk, From, Judged, Plan};
use crate::explain;
use crate::line::MissedCall;

/// The personal number of the account `owner`.
pub const PERSONAL: &str = "+12065550199";
/// The number that is registered to `owner`.
pub const OWNER: &str = "+447700900111";

pub struct TestSite {
    pub store: Store,
    pub queue: Queue,
    pub intake: Intake,
    pub config: AniConfig,
    _folder: TempDir,
}

impl TestSite {
    /// `owner`, who has money, a number and a personal number, and `other`, who has a number.
    pub async fn open() -> TestSite {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/ringback.db", folder.path().display());
        let store = Store::open(&StoreConfig::new(url.clone())).await.unwrap();
        let settings = QueueConfig { url, data_dir: folder.path().to_owned(), ..QueueConfig::default() };
        let queue = Queue::open(&settings).await.unwrap();
        let config = Config::defaults(Path::new("."));
        let intake = Intake::new(store.clone(), queue.clone(), SiteKey::from_bytes([7; 32]), Rules::from(&config));
        for (name, number, dids) in [("owner", OWNER, vec![PERSONAL.to_owned()]), ("other", "+447700900222", vec![])] {
            let new = NewAccount {
                name: name.to_owned(),
                currency: "USD".to_owned(),
                balance: "10.00".parse().unwrap(),
                numbers: vec![number.to_owned()],
                dids,
                limits_off: true,
                ..NewAccount::default()
            };
            store.add_account(&new).await.unwrap();
        }
        TestSite { store, queue, intake, config: config.ani, _folder: folder }
    }

    /// A calling card of this name.
    pub async fn calling_card(&self, name: &str, cld: Option<&str>, options: &[(&str, &str)]) {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let cld = cld.map(str::to_owned);
        let new =
            Application { name: name.to_owned(), kind: AppKind::CallingCard, application: None, cld, b: None, options };
        self.store.add_application(&new).await.unwrap();
    }

    pub fn desk(&self) -> Desk {
        Desk::new(self.config.clone(), self.intake.checks().clone(), self.store.clone())
    }

    /// What becomes of a call from this number to that one.
    pub async fn plan(&self, from: &str, to: &str) -> Box<Plan> {
        match self.judged(from, to, true).await {
            Judged::Callback(plan) => plan,
            Judged::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    /// The same, or why it is none; by a trunk whose CLDs are of the form, or not.
    pub async fn judged(&self, from: &str, to: &str, cld_form: bool) -> Judged {
        let text = explain::invite(from, to, None);
        let Reading::Message(message) = ringback_sip::read(text.as_bytes()) else { panic!("{text}") };
        let through = From { trunk: "carrier".to_owned(), cli: None, cld_form };
        self.desk().judge(&message, &through).await.unwrap()
    }

    /// Texts that wait to be sent.
    pub async fn texts(&self) -> u64 {
        self.queue.depth(&Source::Replies { source: "sms".to_owned() }).await.unwrap()
    }
}

/// A call at a socket of its own, and who made it.
pub struct TestCall {
    pub call: MissedCall,
    /// The one place among calls in hand: this one's.
    pub places: Arc<Semaphore>,
    caller: UdpSocket,
    endpoint: Endpoint,
}

impl TestCall {
    pub async fn ring() -> TestCall {
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
        endpoint.trust(caller.local_addr().unwrap().ip());
        let (calls, mut arrivals) = mpsc::channel(1);
        endpoint.on_invite(calls);
        say(&caller, &endpoint, "INVITE");
        let arrival = arrivals.recv().await.unwrap();
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().unwrap();
        let call = MissedCall::take(arrival, &endpoint, place).unwrap();
        TestCall { call, places, caller, endpoint }
    }

    /// The caller hangs up.
    pub async fn cancel(&mut self) {
        say(&self.caller, &self.endpoint, "CANCEL");
        self.call.while_it_rings(Duration::from_secs(30)).await;
    }
}

fn say(caller: &UdpSocket, endpoint: &Endpoint, method: &str) {
    let (from, to) = (caller.local_addr().unwrap(), endpoint.local_addr());
    let text = format!(
        "{method} sip:{PERSONAL}@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKtest\r\nMax-Forwards: 70\r\n\
         From: <sip:{OWNER}@{from}>;tag=1\r\nTo: <sip:{PERSONAL}@{to}>\r\nCall-ID: test\r\nCSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    caller.send_to(text.as_bytes(), to).unwrap();
}
