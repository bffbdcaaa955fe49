//! Kannel: bearerbox, smsbox and the fake message centre of its own tests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::clock;
use crate::net::free_port;
use crate::process::Process;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const STARTUP: Duration = Duration::from_secs(20);
const FAKESMSC: &str = "/usr/lib/kannel/test/fakesmsc";
/// Its user who may send replies, and the password.
pub const USER: &str = "ringback";
/// See [`USER`].
pub const USER_PASSWORD: &str = "s3nds";

/// A running Kannel. Dropped, it is killed.
pub struct Kannel {
    bearerbox: Process,
    smsbox: Process,
    smsc_port: u16,
    sendsms: SocketAddr,
    folder: PathBuf,
}

impl Kannel {
    /// Starts one that asks for `get_url` for each text.
    pub fn start(folder: &Path, get_url: &str) -> Kannel {
        let folder = folder.join("kannel");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let port = || free_port(LOOPBACK).expect("a port is free");
        let (admin, boxes, smsc_port, sendsms) = (port(), port(), port(), SocketAddr::new(LOOPBACK, port()));
        // A blank line ends a group.
        let settings = format!(
            "group = core\nadmin-port = {admin}\nadmin-password = x\nadmin-interface = 127.0.0.1\nsmsbox-port = {boxes}\n\
             box-allow-ip = 127.0.0.1\nlog-level = 1\n\n\
             group = smsc\nsmsc = fake\nsmsc-id = FAKE\nport = {smsc_port}\nconnect-allow-ip = 127.0.0.1\n\n\
             group = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {}\nhttp-request-retry = 20\nhttp-queue-delay = 1\n\
             log-level = 1\n\n\
             group = sendsms-user\nusername = {USER}\npassword = {USER_PASSWORD}\nconcatenation = true\nmax-messages = 5\n\n\
             group = sms-service\nkeyword = default\ncatch-all = true\nmax-messages = 0\nget-url = \"{get_url}\"\n",
            sendsms.port()
        );
        let file = folder.join("kannel.conf");
        std::fs::write(&file, settings).expect("a file can be written");
        let start = |program: &str| {
            let mut command = Command::new(program);
            command.args(["-v", "1"]).arg(&file).current_dir(&folder);
            Process::start(program, command, &folder.join(format!("{program}.log"))).unwrap_or_else(|e| panic!("{e}"))
        };
        let bearerbox = start("bearerbox");
        for port in [boxes, smsc_port] {
            let at = SocketAddr::new(LOOPBACK, port);
            clock::wait_for("bearerbox to listen", STARTUP, || TcpStream::connect(at).is_ok().then_some(()));
        }
        let smsbox = start("smsbox");
        clock::wait_for("smsbox to listen", STARTUP, || TcpStream::connect(sendsms).is_ok().then_some(()));
        Kannel { bearerbox, smsbox, smsc_port, sendsms, folder }
    }

    /// Where replies are sent through.
    pub fn api_base(&self) -> String {
        format!("http://{}", self.sendsms)
    }

    /// A phone that sends these messages (`FROM TO text WORDS`), and shows what it is sent, as long as it lives.
    pub fn phone(&self, name: &str, messages: &[&str]) -> Process {
        let mut command = Command::new(FAKESMSC);
        command.args(["-r", &self.smsc_port.to_string(), "-i", "0.2", "-m", &messages.len().to_string()]);
        command.args(messages).current_dir(&self.folder);
        Process::start("fakesmsc", command, &self.folder.join(name)).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The last lines of its logs.
    pub fn tail(&self) -> String {
        format!("{}\n{}", self.bearerbox.tail(20), self.smsbox.tail(20))
    }
}
