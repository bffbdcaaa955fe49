//! A private name server that knows what a test tells it, and nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clock;
use crate::process::Process;

/// One name server. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Unbound {
    server: Process,
    address: SocketAddr,
    _nobody: UdpSocket,
    _folder: TempDir,
}

impl Unbound {
    /// Starts it on this address with these TXT records: name and text. Of the domain `mute.test` it knows nothing else, and nobody
    /// who is asked for the rest ever answers.
    pub fn start(ip: IpAddr, records: &[(String, String)]) -> io::Result<Unbound> {
        let nobody = UdpSocket::bind((ip, 0))?;
        let folder = tempfile::Builder::new().prefix("unbound").tempdir()?;
        let address = SocketAddr::new(ip, 25353);
        let mut settings = format!(
            "server:\n interface: {ip}@25353\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"{0}\"\n \
             pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n num-threads: 1\n module-config: \"iterator\"\n \
             access-control: 127.0.0.0/8 allow\n local-zone: \".\" static\n",
            folder.path().display()
        );
        settings += " local-zone: \"mute.test.\" transparent\n do-not-query-localhost: no\n";
        for (name, text) in records {
            let parts: Vec<String> =
                text.as_bytes().chunks(200).map(|part| format!("\"{}\"", String::from_utf8_lossy(part))).collect();
            settings += &format!(" local-data: '{name}. TXT {}'\n", parts.join(" "));
        }
        settings += "remote-control:\n control-enable: no\n";
        let silent = nobody.local_addr()?.port();
        settings += &format!("forward-zone:\n name: \"mute.test.\"\n forward-addr: {ip}@{silent}\n");
        let file = folder.path().join("unbound.conf");
        std::fs::write(&file, settings)?;
        let mut command = Command::new("/usr/sbin/unbound");
        command.arg("-d").arg("-c").arg(&file);
        let mut server = Process::start("unbound", command, &folder.path().join("unbound.log"))?;
        clock::wait_for("the name server to answer", Duration::from_secs(20), || {
            assert!(server.ended().is_none(), "unbound ended:\n{}", server.tail(20));
            answers(address).then_some(())
        });
        Ok(Unbound { server, address, _nobody: nobody, _folder: folder })
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it in its tracks (SIGSTOP), or lets it go on (SIGCONT): questions get no answer.
    pub fn freeze(&self, frozen: bool) {
        self.server.signal(if frozen { libc::SIGSTOP } else { libc::SIGCONT });
    }
}

/// Whether anybody answers a question for the TXT record of `x`.
fn answers(address: SocketAddr) -> bool {
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x10\x00\x01";
    let asked = UdpSocket::bind((address.ip(), 0)).and_then(|socket| {
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(question, address)?;
        socket.recv_from(&mut [0; 512])
    });
    asked.is_ok_and(|(length, _)| length >= 12)
}
