//! `ringback ready`: the health check of containers, with no other program needed.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::{Common, Fail, print, settings};

/// Who is ready says so at once.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the process with these settings whether it is ready for work.
pub fn ready(common: &Common) -> Result<(), Fail> {
    let config = settings(&common.config)?;
    let Some(listen) = config.service.listen else {
        return Err(Fail::Usage("[service] listen is not set, so nobody can be asked".to_owned()));
    };
    let (good, said) = ask(reachable(listen)).map_err(|error| {
        Fail::Unreachable(format!("nobody answers at {listen} ([service] listen): {error}; is it running?"))
    })?;
    if !good {
        return Err(Fail::Unreachable(said));
    }
    if common.json {
        print::json(&json!({ "ready": true }));
    } else {
        print::line(&said);
    }
    Ok(())
}

/// What listens everywhere is asked on this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr) -> std::io::Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    let good = answer.split(' ').nth(1) == Some("200");
    let said = answer.split_once("\r\n\r\n").map_or("it is no Ringback that listens there", |(_, body)| body.trim());
    Ok((good, said.to_owned()))
}
