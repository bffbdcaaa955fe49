//! The demo's own small site: a folder that goes away, an account with money, free ports on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use ringback_common::config::{Config, Role};
use ringback_common::secret::{SiteKey, TriggerSecret, seal_secret};
use ringback_common::store::{AccountChange, NewAccount, Sealed, Store, Trunk};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The account.
pub const ACCOUNT: &str = "demo";
/// Its PIN.
const PIN: &str = "1234";
/// Its number, and phone A's: one of those kept free for drama.
pub const PHONE_A: &str = "+442079460018";
/// Phone B's, likewise.
pub const PHONE_B: &str = "+493023125042";
/// Where texts are sent to.
const OURS: &str = "+442079460000";

/// The demo's settings and the folder they live in.
pub struct Site {
    /// The settings.
    pub config: Config,
    _folder: TempDir,
}

impl Site {
    /// A new folder and free ports: the usual ones, if `usual` and nobody has them.
    pub fn build(usual: bool) -> Result<Site, String> {
        let usual = |port| if usual { port } else { 0 };
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let text = format!(
            "[sip]\nlisten = '{}'\n[sms]\nlisten = '{}'\n[sms.generic]\nallow_unsigned = true\n[web]\nlisten = '{}'\n\
             account = '{ACCOUNT}'\n[service]\nlisten = '{}'\nlog_level = 'warn'\ndrain_timeout = 5\n[engine]\nid = 'demo'\n",
            free_udp(usual(5060))?,
            free_tcp(usual(8081))?,
            free_tcp(usual(8080))?,
            free_tcp(usual(9090))?,
        );
        let config =
            Config::read(&text, "demo", folder.path(), Role::AllInOne, []).map_err(|error| error.to_string())?;
        ringback_common::private::folder(&config.data_folder()).map_err(|error| error.to_string())?;
        Ok(Site { config, _folder: folder })
    }

    /// An account with money that may call anybody, and a trunk to the phones.
    pub async fn furnish(&self, phones: SocketAddr) -> Result<(), String> {
        let store = Store::open(&self.config.store).await.map_err(|error| error.to_string())?;
        let furnished = self.fill(&store, phones).await;
        store.close().await;
        furnished
    }

    async fn fill(&self, store: &Store, phones: SocketAddr) -> Result<(), String> {
        let new = NewAccount {
            name: ACCOUNT.to_owned(),
            currency: self.config.tariff.currency.clone(),
            balance: "100.00".parse().map_err(|_| "no such amount".to_owned())?,
            numbers: vec![PHONE_A.to_owned()],
            allow: (1..=9).map(|digit: u8| digit.to_string()).collect(),
            limits_off: true,
            ..NewAccount::default()
        };
        let account = store.add_account(&new).await.map_err(|error| error.to_string())?;
        let key = SiteKey::create(&self.config.secrets.site_key_file).map_err(|error| error.to_string())?;
        let pin = TriggerSecret::read(PIN).map_err(|error| error.to_string())?;
        let change =
            AccountChange { trigger_secret: Some(seal_secret(&key, account.id, &pin)), ..AccountChange::default() };
        store.update_account(ACCOUNT, &change).await.map_err(|error| error.to_string())?;
        let trunk = Trunk {
            name: "phones".to_owned(),
            sip: format!("sip:{phones}"),
            username: None,
            password: None::<Sealed<String>>,
            prefixes: Vec::new(),
            priority: 100,
            cli: None,
            enabled: true,
        };
        store.add_trunk(&trunk).await.map_err(|error| error.to_string())
    }

    /// Where the page is.
    pub fn page(&self) -> String {
        format!("http://{}/", self.config.web.listen)
    }

    /// A command that sends a text.
    pub fn curl(&self) -> String {
        let body = message("'$(date +%s%N)'");
        format!(
            "curl -sS http://{}/sms/generic -H 'Content-Type: application/json' -d '{body}'",
            self.config.sms.listen
        )
    }

    /// Sends that text.
    pub async fn text_message(&self) -> Result<(), String> {
        let address = self.config.sms.listen;
        let body = message("demo-1").to_string();
        let answer = post(address, "/sms/generic", &body)
            .await
            .map_err(|error| format!("the SMS trigger at {address}: {error}"))?;
        match answer.split(' ').nth(1) {
            Some("202") => Ok(()),
            _ => Err(format!("the SMS trigger answered: {}", answer.lines().last().unwrap_or_default())),
        }
    }
}

fn message(id: &str) -> Value {
    json!({ "id": id, "from": PHONE_A, "to": OURS, "text": format!("{ACCOUNT} {PIN} {PHONE_A} {PHONE_B}") })
}

async fn post(address: SocketAddr, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The usual port, or any other when it is taken.
fn free_tcp(usual: u16) -> Result<SocketAddr, String> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
    bind(usual).or_else(|_| bind(0)).map_err(|error| format!("no free TCP port: {error}"))
}

fn free_udp(usual: u16) -> Result<SocketAddr, String> {
    let bind = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).and_then(|socket| socket.local_addr());
    bind(usual).or_else(|_| bind(0)).map_err(|error| format!("no free UDP port: {error}"))
}
