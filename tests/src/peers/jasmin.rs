//! Jasmin, the SMS gateway: its daemon, a Redis of its own, and a broker that the caller brings.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::clock;
use crate::net::free_port;
use crate::peers::rabbit::Rabbit;
use crate::peers::smsc::{PASSWORD, SYSTEM_ID, Smsc};
use crate::process::Process;
use crate::site::peers_folder;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const STARTUP: Duration = Duration::from_secs(60);
/// The name of its SMPP client connector.
pub const CONNECTOR: &str = "sim";
/// Its user who may send replies, and the password.
pub const USER: &str = "ringback";
/// See [`USER`].
pub const USER_PASSWORD: &str = "s3nds";

/// A running Jasmin. Dropped, it is killed.
pub struct Jasmin {
    process: Process,
    _redis: Process,
    http: SocketAddr,
    cli: SocketAddr,
}

impl Jasmin {
    /// Starts one beside this broker.
    pub fn start(folder: &Path, rabbit: &Rabbit) -> Jasmin {
        let folder = folder.join("jasmin");
        for name in ["", "log", "store"] {
            std::fs::create_dir_all(folder.join(name)).expect("a folder can be made");
        }
        let port = || SocketAddr::new(LOOPBACK, free_port(LOOPBACK).expect("a port is free"));
        let (redis_at, http, cli) = (port(), port(), port());
        let redis = redis(&folder, redis_at);
        let python = peers_folder().join("jasmin/bin/python");
        assert!(python.exists(), "{} is missing: ./test installs it", python.display());
        let file = folder.join("jasmin.cfg");
        std::fs::write(&file, settings(rabbit, redis_at, http, cli, port)).expect("a file can be written");
        let mut command = Command::new(&python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/jasmind.py"));
        command.arg(python.with_file_name("jasmind.py")).arg("-c").arg(&file).current_dir(&folder);
        command.args(["--enable-deliver-thrower", "--enable-dlr-thrower", "--enable-dlr-lookup"]);
        command.args(["-u", "jcliadmin", "-p", "jclipwd"]);
        command.env("LOG_PATH", folder.join("log")).env("STORE_PATH", folder.join("store"));
        let process = Process::start("jasmin", command, &folder.join("jasmin.log")).unwrap_or_else(|e| panic!("{e}"));
        let mut jasmin = Jasmin { process, _redis: redis, http, cli };
        clock::wait_for("Jasmin to start", STARTUP, || {
            assert!(jasmin.process.ended().is_none(), "Jasmin ended:\n{}", jasmin.process.tail(40));
            TcpStream::connect(jasmin.cli).is_ok().then_some(())
        });
        jasmin
    }

    /// Where replies are sent through.
    pub fn send_url(&self) -> String {
        format!("http://{}/send", self.http)
    }

    /// Binds it to a message centre both ways; texts are thrown at this address, if there is one.
    pub fn connect(&self, smsc: &Smsc, texts_to: Option<&str>) {
        let port = smsc.address().port().to_string();
        self.tell(
            &[&[
                "smppccm -a",
                "cid sim",
                "host 127.0.0.1",
                &format!("port {port}"),
                &format!("username {SYSTEM_ID}"),
                &format!("password {PASSWORD}"),
                "bind transceiver",
                "con_fail_delay 1",
                "ok",
                "smppccm -1 sim",
                "group -a",
                "gid g",
                "ok",
                "user -a",
                &format!("username {USER}"),
                &format!("password {USER_PASSWORD}"),
                "gid g",
                "uid u",
                "ok",
                "mtrouter -a",
                "type DefaultRoute",
                "connector smppc(sim)",
                "rate 0.0",
                "ok",
            ][..]]
            .concat(),
        );
        if let Some(url) = texts_to {
            self.tell(&[
                "httpccm -a",
                "cid gateway",
                &format!("url {url}"),
                "method POST",
                "ok",
                "morouter -a",
                "type DefaultRoute",
                "connector http(gateway)",
                "ok",
            ]);
        }
    }

    /// Says these lines to its command line.
    fn tell(&self, lines: &[&str]) {
        let mut stream = TcpStream::connect(self.cli).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket has a timeout");
        let mut said = String::new();
        prompt(&mut stream, &mut said);
        for line in ["jcliadmin", "jclipwd"].iter().chain(lines) {
            stream.write_all(format!("{line}\r\n").as_bytes()).expect("it listens");
            prompt(&mut stream, &mut said);
        }
        let wrong =
            said.lines().find(|line| ["Error", "Unknown", "Incorrect", "Failed"].iter().any(|bad| line.contains(bad)));
        assert_eq!(wrong, None, "{said}");
    }
}

/// Reads until it asks for the next line.
fn prompt(stream: &mut TcpStream, said: &mut String) {
    let mut some = [0; 1024];
    loop {
        let count = stream.read(&mut some).unwrap_or_else(|e| panic!("Jasmin's command line: {e}: {said}"));
        assert!(count > 0, "Jasmin's command line ended: {said}");
        said.push_str(&String::from_utf8_lossy(&some[..count]));
        if said.ends_with(": ") || said.ends_with("> ") || said.trim_end().ends_with("Authentication required.") {
            return;
        }
    }
}

fn redis(folder: &Path, at: SocketAddr) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", &at.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.current_dir(folder);
    let redis = Process::start("redis", command, &folder.join("redis.log")).unwrap_or_else(|e| panic!("{e}"));
    clock::wait_for("Redis to start", STARTUP, || TcpStream::connect(at).is_ok().then_some(()));
    redis
}

fn settings(
    rabbit: &Rabbit,
    redis: SocketAddr,
    http: SocketAddr,
    cli: SocketAddr,
    port: impl Fn() -> SocketAddr,
) -> String {
    let packages = peers_folder().join("jasmin/lib");
    let python =
        std::fs::read_dir(&packages).into_iter().flatten().flatten().next().expect("Jasmin is installed").path();
    let spec = python.join("site-packages/txamqp/specs/standard/amqp0-9-1.stripped.xml");
    let section = |name: &str, at: SocketAddr| format!("[{name}]\nbind = 127.0.0.1\nport = {}\n", at.port());
    let mut text = format!("[amqp-broker]\nhost = 127.0.0.1\nport = {}\nspec = {}\n", rabbit.port(), spec.display());
    text.push_str(&format!("[redis-client]\nhost = 127.0.0.1\nport = {}\n", redis.port()));
    for (name, at) in [("jcli", cli), ("http-api", http)] {
        text.push_str(&section(name, at));
    }
    for name in ["router", "client-management", "smpp-server", "smpp-server-pb"] {
        text.push_str(&section(name, port()));
    }
    text
}
