//! A private RabbitMQ broker with an epmd of its own: nothing of the machine's RabbitMQ is touched.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock;
use crate::net::free_port;
use crate::process::Process;

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A fresh node listens after about 7 s; on a busy machine it may take much longer.
const STARTUP: Duration = Duration::from_secs(120);

/// One broker of one node. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Rabbit {
    server: Option<Process>,
    _epmd: Process,
    ports: Ports,
    folder: TempDir,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: u16,
    epmd: u16,
    between_nodes: u16,
}

impl Rabbit {
    /// Starts a broker and waits until it takes connections. Blocks; on a runtime use `spawn_blocking`.
    pub fn start() -> io::Result<Rabbit> {
        if !Path::new(SERVER).exists() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{SERVER} is missing: run ./test, which installs rabbitmq-server"),
            ));
        }
        for _ in 0..4 {
            let mut rabbit = Rabbit::begin()?;
            if rabbit.found_its_ports_free() {
                rabbit.wait_until_up();
                return Ok(rabbit);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody took RabbitMQ's port, again and again"))
    }

    /// A broker that begins to start, on ports that were free a moment ago.
    fn begin() -> io::Result<Rabbit> {
        let folder = tempfile::Builder::new().prefix("rabbit").tempdir()?;
        let ports =
            Ports { amqp: free_port(LOOPBACK)?, epmd: free_port(LOOPBACK)?, between_nodes: free_port(LOOPBACK)? };
        write_settings(folder.path(), ports)?;
        let mut command = Command::new("epmd");
        command.args(["-port", &ports.epmd.to_string()]).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        let epmd = Process::start("epmd", command, &folder.path().join("epmd.log"))?;
        let mut rabbit = Rabbit { server: None, _epmd: epmd, ports, folder };
        rabbit.begin_restart()?;
        Ok(rabbit)
    }

    /// Waits until it listens, or has ended because a port was taken before it came to it.
    fn found_its_ports_free(&mut self) -> bool {
        let address = SocketAddr::new(LOOPBACK, self.ports.amqp);
        let Some(server) = &mut self.server else { return false };
        clock::wait_for("RabbitMQ to listen, or to end", STARTUP, || match server.ended() {
            Some(_) => Some(!server.tail(200).contains("eaddrinuse")),
            None => greets(address).then_some(true),
        })
    }

    /// Where clients connect, as the user that every fresh broker has.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// `kill -9`: no goodbye, nothing flushed.
    pub fn kill9(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill9();
        }
    }

    /// Stops the broker in its tracks (SIGSTOP), or lets it go on (SIGCONT): connections stay, nothing answers.
    pub fn freeze(&self, frozen: bool) {
        if let Some(server) = &self.server {
            server.signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
        }
    }

    /// Starts it again on the same data (if it runs, it is killed first) and waits until it takes connections.
    pub fn restart(&mut self) -> io::Result<()> {
        self.begin_restart()?;
        self.wait_until_up();
        Ok(())
    }

    /// Starts it again without waiting.
    pub fn begin_restart(&mut self) -> io::Result<()> {
        self.kill9();
        let command = self.server_command();
        self.server = Some(Process::start("rabbitmq", command, &self.log())?);
        Ok(())
    }

    /// Waits until the broker takes AMQP connections; fails the test, with its last lines, if it ends instead.
    pub fn wait_until_up(&mut self) {
        let address = SocketAddr::new(LOOPBACK, self.ports.amqp);
        let Some(server) = &mut self.server else { return };
        clock::wait_for("RabbitMQ to listen", STARTUP, || {
            assert!(server.ended().is_none(), "RabbitMQ ended:\n{}", server.tail(40));
            greets(address).then_some(())
        });
    }

    /// `rabbitmqctl` on this broker; answers its output.
    pub fn control(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(CONTROL);
        self.surroundings(&mut command);
        command.args(arguments);
        let (code, out, err) = crate::process::run(command, "", Duration::from_secs(60));
        assert_eq!(code, 0, "rabbitmqctl {arguments:?}: {out}{err}");
        out
    }

    /// The broker's own log.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("rabbit.log")
    }

    fn server_command(&self) -> Command {
        let mut command = Command::new(SERVER);
        self.surroundings(&mut command);
        let here = |name: &str| self.folder.path().join(name);
        command
            .env("RUNNING_UNDER_SYSTEMD", "1") // makes the script exec the broker: our child's id is the broker's
            .env("RABBITMQ_DIST_PORT", self.ports.between_nodes.to_string())
            .env("RABBITMQ_CONFIG_FILE", here("rabbitmq"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", here("advanced"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", here("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", here("db"))
            .env("RABBITMQ_QUORUM_DIR", here("quorum"))
            .env("RABBITMQ_STREAM_DIR", here("stream"))
            .env("RABBITMQ_LOG_BASE", here("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", here("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", here("gen"))
            .env("RABBITMQ_SCHEMA_DIR", here("schema"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none -start_epmd false",
            );
        command
    }

    fn surroundings(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", "/usr/lib/rabbitmq/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.folder.path().join("home"))
            .env("LANG", "C.UTF-8")
            .env("ERL_EPMD_PORT", self.ports.epmd.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_NODENAME", format!("ringback{}@localhost", self.ports.amqp));
    }
}

fn write_settings(folder: &Path, ports: Ports) -> io::Result<()> {
    let home = folder.join("home");
    std::fs::create_dir(&home)?;
    let cookie = home.join(".erlang.cookie");
    std::fs::write(&cookie, format!("RINGBACK{}", ports.epmd))?;
    std::fs::set_permissions(&cookie, std::fs::Permissions::from_mode(0o400))?;
    std::fs::write(folder.join("enabled_plugins"), "[].")?;
    let settings = [
        format!("listeners.tcp.1 = 127.0.0.1:{}", ports.amqp),
        "loopback_users = none".to_owned(),
        "log.console = true".to_owned(),
        "log.file = false".to_owned(),
        "disk_free_limit.absolute = 50MB".to_owned(),
        "vm_memory_high_watermark.absolute = 512MB".to_owned(),
        String::new(),
    ];
    std::fs::write(folder.join("rabbitmq.conf"), settings.join("\n"))
}

/// Whether somebody who speaks AMQP answers there: the port alone opens a little earlier.
fn greets(address: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let patience = Duration::from_secs(2);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, patience) else { return false };
    let mut first = [0; 1];
    stream.set_read_timeout(Some(patience)).is_ok()
        && stream.write_all(b"AMQP\x00\x00\x09\x01").is_ok()
        && stream.read_exact(&mut first).is_ok()
}
