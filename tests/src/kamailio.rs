//! Kamailio between the gateway and a phone: a stateful proxy that records its route, and asks for a password if told to.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::clock;
use crate::process::Process;

/// A running Kamailio.
pub struct Kamailio {
    process: Process,
    address: SocketAddr,
}

impl Kamailio {
    /// A proxy on `address` that relays every call to `phone`. With `password` (user, password) it answers 407 first.
    pub fn start(
        address: SocketAddr,
        phone: SocketAddr,
        password: Option<(&str, &str)>,
        folder: &Path,
    ) -> io::Result<Kamailio> {
        let file = folder.join("kamailio.cfg");
        std::fs::write(&file, configuration(address, phone, password))?;
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "32", "-M", "4", "-Y"]).arg(folder).arg("-f").arg(&file);
        let process = Process::start("kamailio", command, &folder.join("kamailio.log"))?;
        let kamailio = Kamailio { process, address };
        clock::wait_for("kamailio to answer OPTIONS", Duration::from_secs(15), || kamailio.answers().then_some(()));
        Ok(kamailio)
    }

    /// As a trunk's URI.
    pub fn uri(&self) -> String {
        format!("sip:{}", self.address)
    }

    /// What it logged.
    pub fn output(&self) -> String {
        self.process.output()
    }

    fn answers(&self) -> bool {
        let ask = || -> io::Result<bool> {
            let socket = std::net::UdpSocket::bind((self.address.ip(), 0))?;
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            let local = socket.local_addr()?;
            let text = format!(
                "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKo\r\nMax-Forwards: 1\r\nFrom: <sip:t@{local}>;tag=1\r\n\
                 To: <sip:{0}>\r\nCall-ID: o@{local}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
                self.address
            );
            socket.send_to(text.as_bytes(), self.address)?;
            let mut answer = [0; 1500];
            Ok(socket.recv(&mut answer)? > 0)
        };
        ask().unwrap_or(false)
    }
}

fn configuration(address: SocketAddr, phone: SocketAddr, password: Option<(&str, &str)>) -> String {
    let challenge = password.map_or(String::new(), |(user, password)| {
        format!(
            r#"
    if (is_method("INVITE") && !has_totag()) {{
        if ($au != "{user}" || !pv_proxy_authenticate("proxy", "{password}", "0")) {{
            proxy_challenge("proxy", "1");
            exit;
        }}
        consume_credentials();
    }}"#
        )
    });
    format!(
        r#"#!KAMAILIO
# A stateful proxy that stays in the path of the dialog.
debug=2
log_stderror=yes
children=1
auto_aliases=no
disable_tcp=yes
listen=udp:{address}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "auth.so"
modparam("rr", "enable_full_lr", 1)
modparam("tm", "fr_timer", 30000)

request_route {{
    if (is_method("OPTIONS") && !has_totag()) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route()) {{
            t_relay();
            exit;
        }}
        if (is_method("ACK")) {{
            if (t_check_trans()) t_relay();
            exit;
        }}
        sl_send_reply("404", "Not Here");
        exit;
    }}{challenge}
    t_check_trans();
    record_route();
    $du = "sip:{phone}";
    if (!t_relay()) sl_reply_error();
}}
"#
    )
}
