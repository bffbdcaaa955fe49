//! What single values cannot show: ranges, and values that must fit each other. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::{IpAddr, SocketAddr};

use super::sms::{is_source_name, is_web_address};
use super::{AniProfile, Config, EmailConfig, Mistake, SmsConfig, Tls};

/// Adds everything that does not fit.
pub(super) fn check(config: &Config, place: &str, mistakes: &mut Vec<Mistake>) {
    let mut wrong = |key: &str, what: String| {
        mistakes.push(Mistake { place: place.to_owned(), key: key.to_owned(), what });
    };
    urls(config, &mut wrong);
    amounts(config, &mut wrong);
    addresses(config, &mut wrong);
    triggers(config, &mut wrong);
    email(&config.email, &mut wrong);
    for (key, what) in config.ani.mistakes().into_iter().chain(config.iif.mistakes()) {
        wrong(&key, what);
    }
    overlaps(config, &mut wrong);
    overlaps_of_ani(config, &mut wrong);
}

fn urls(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let (store, queue) = (&config.store.url, &config.queue.url);
    let known = |url: &str, kinds: &[&str]| kinds.iter().any(|kind| url.starts_with(kind));
    if !known(store, &["sqlite://", "postgres://", "postgresql://"]) {
        wrong(
            "store.url",
            "no such kind of store; write sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE".to_owned(),
        );
    }
    if !known(queue, &["sqlite://", "amqp://", "amqps://"]) {
        wrong(
            "queue.url",
            "no such kind of queue; write sqlite://PATH or amqp://USER:PASSWORD@HOST:5672/VHOST".to_owned(),
        );
    }
    let names_host =
        |url: &str| url::Url::parse(url.trim()).is_ok_and(|url| url.host_str().is_some_and(|host| !host.is_empty()));
    if queue.starts_with("amqp") && !queue.split(',').all(names_host) {
        wrong("queue.url", "names no host; write amqp://USER:PASSWORD@HOST:5672/VHOST".to_owned());
    }
    if queue.starts_with("sqlite://") && queue != store {
        wrong(
            "queue.url",
            "an embedded queue lives in the store's own file; write the same sqlite://PATH as [store] url".to_owned(),
        );
    }
}

fn amounts(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let engine = &config.engine;
    let mut within = |key: &str, value: u64, low: u64, high: u64| {
        if value < low || value > high {
            wrong(key, format!("{value} is out of range; write {low} to {high}"));
        }
    };
    within("engine.slots", engine.slots as u64, 1, 100_000);
    within("engine.no_answer", engine.no_answer.as_secs(), 1, 600);
    within("engine.attempts", engine.attempts.into(), 1, 10);
    within("engine.max_call_seconds", engine.max_call.as_secs(), 1, 86_400);
    within("engine.job_lifetime", engine.job_lifetime.as_secs(), 1, 7 * 86_400);
    within("engine.hold_seconds", engine.hold_seconds, 6, 86_400);
    within("sip.session_expires", config.sip.session_expires.as_secs(), 90, 300);
    within("media.threads", config.media.threads as u64, 1, 64);
    within("media.rtp_timeout", config.media.rtp_timeout.as_secs(), 5, 3600);
    within("store.connections", config.store.connections.into(), 1, 500);
    let keep = &config.retention;
    within("retention.requests_days", keep.requests_days.into(), 1, keep.cdr_numbers_days.into());
    within("retention.cdrs_days", keep.cdrs_days.into(), 1, 36_500);
    within("retention.cdr_numbers_days", keep.cdr_numbers_days.into(), 1, 36_500);
    within("retention.outbox_days", keep.outbox_days.into(), 1, 365);
    within("retention.refusals_days", keep.refusals_days.into(), 1, 365);
    within("retention.replies_days", keep.replies_days.into(), 7, 365);
    within("retention.message_hours", keep.message_hours.into(), 1, 24 * 365);
    within("queue.prefetch", config.queue.prefetch.into(), 1, 10_000);
    within("queue.log_days", config.queue.log_days.into(), 1, 3650);
    within("queue.max_length", config.queue.max_length.into(), 1, 100_000_000);
    if engine.id.len() > 64 || engine.id.chars().any(|c| c.is_whitespace() || c.is_control()) {
        wrong("engine.id", "write a short name without spaces, like engine-1".to_owned());
    }
    let currency = &config.tariff.currency;
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        wrong("tariff.currency", format!("{currency:?} is no currency; write three capital letters like \"USD\""));
    }
    for extension in &config.numbers.extensions {
        if extension.is_empty() || extension.len() > 6 || !extension.bytes().all(|b| b.is_ascii_digit()) {
            wrong(
                "numbers.extensions",
                format!("{extension:?} is no extension; write one to six digits, like \"100\""),
            );
        }
    }
    if let Some(country) = &config.numbers.home_country
        && (country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()))
    {
        wrong("numbers.home_country", format!("{country:?} is no country; write two capital letters like \"GB\""));
    }
}

fn addresses(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let sip = config.sip.listen;
    if sip.ip().is_unspecified() {
        wrong("sip.listen", format!("{sip}: peers cannot answer to that; write the address they reach us at"));
    }
    if config.media.ip.is_unspecified() {
        wrong(
            "media.ip",
            format!("{}: peers cannot send audio there; write the address they reach us at", config.media.ip),
        );
    }
    if sip.is_ipv4() != config.media.ip.is_ipv4() {
        wrong(
            "media.ip",
            format!("{} and [sip] listen {sip} are not both IPv4 or both IPv6; write two of a kind", config.media.ip),
        );
    }
    if sip.ip().is_loopback() != config.media.ip.is_loopback() {
        wrong(
            "media.ip",
            format!("one of {} and [sip] listen {sip} is a loopback address and the other is not", config.media.ip),
        );
    }
}

fn triggers(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let generic = &config.sms.generic;
    if generic.allow_unsigned && !config.sms.listen.ip().is_loopback() {
        wrong(
            "sms.generic.allow_unsigned",
            "unsigned texts are taken only on a loopback address; set a secret".to_owned(),
        );
    }
    if let Some(source) = &config.sms.notices {
        let smpp = source.strip_prefix("smpp.").is_some_and(|name| config.sms.smpp.contains_key(name));
        if !smpp && source != "jasmin" && !config.sms.all_sources().contains_key(source) {
            wrong("sms.notices", format!("there is no source {source}; name one, like generic"));
        }
    }
    for (key, url) in [
        ("sms.generic.reply_url", generic.reply_url.as_deref()),
        ("sms.twilio.public_url", config.sms.twilio.public_url.as_deref()),
        ("sms.twilio.api_base", Some(config.sms.twilio.api_base.as_str())),
    ] {
        if let Some(url) = url
            && !is_web_address(url)
        {
            wrong(key, "is no web address; write it like https://example.net/path".to_owned());
        }
    }
    let twilio = &config.sms.twilio;
    if twilio.account_sid.is_some() && twilio.auth_token.is_empty() {
        wrong("sms.twilio.auth_token", "is missing; it stands beside the account SID in Twilio's console".to_owned());
    }
    if twilio.account_sid.is_some() && twilio.public_url.is_none() {
        wrong("sms.twilio.public_url", "is missing; without it no signature of Twilio's can be checked".to_owned());
    }
    sources(&config.sms, wrong);
    if config.web.account.is_some() && !config.web.listen.ip().is_loopback() {
        wrong("web.listen", format!("{}: the page has no sign-in yet; write a loopback address", config.web.listen));
    }
}

fn sources(sms: &SmsConfig, wrong: &mut impl FnMut(&str, String)) {
    for (name, smpp) in &sms.smpp {
        let key = |key: &str| format!("sms.smpp.{name}.{key}");
        if !is_source_name(name) {
            wrong(&key("host"), format!("{name:?}: name a bind in up to 32 lower-case letters, digits and dashes"));
        }
        for (field, what) in smpp.mistakes() {
            wrong(&key(field), what);
        }
    }
    for (field, what) in sms.jasmin.mistakes() {
        wrong(&format!("sms.jasmin.{field}"), what);
    }
    for (name, source) in &sms.sources {
        let key = |key: &str| format!("sms.sources.{name}.{key}");
        if !is_source_name(name) {
            wrong(
                &key("provider"),
                format!("{name:?}: name a source in up to 32 lower-case letters, digits and dashes"),
            );
        }
        if matches!(name.as_str(), "generic" | "twilio") {
            wrong(&key("provider"), format!("{name} has a section of its own, [sms.{name}]; choose another name"));
        }
        if source.allow_unsigned && !sms.listen.ip().is_loopback() {
            wrong(&key("allow_unsigned"), "unsigned texts are taken only on a loopback address".to_owned());
        }
        for (field, what) in source.mistakes() {
            wrong(&key(field), what);
        }
    }
}

fn email(email: &EmailConfig, wrong: &mut impl FnMut(&str, String)) {
    if email.recipients.iter().any(|one| one.is_empty() || one.contains(char::is_whitespace) || one.contains('+')) {
        wrong("email.recipients", "write local parts like \"call\" or addresses like \"call@example.net\"".to_owned());
    }
    if email.max_size < 10_000 || email.max_size > 50_000_000 {
        wrong("email.max_size", format!("{} is out of range; write 10000 to 50000000", email.max_size));
    }
    if email.per_sender == 0 || email.per_domain == 0 {
        wrong("email.per_sender", "write 1 or more; without [email.imap] and [email.lmtp] no mail is read".to_owned());
    }
    if email.lmtp.connections == 0 || email.lmtp.connections > 10_000 {
        wrong("email.lmtp.connections", format!("{} is out of range; write 1 to 10000", email.lmtp.connections));
    }
    let imap = &email.imap;
    if imap.host.is_some() {
        if imap.user.is_empty() || imap.password.is_empty() {
            wrong("email.imap.user", "is missing, or its password; both are needed to sign in".to_owned());
        }
        if imap.tls == Tls::Starttls {
            wrong("email.imap.tls", "write \"tls\" (port 993), or \"none\" on this machine".to_owned());
        }
        if imap.poll.as_secs() == 0 || imap.poll.as_secs() > 1500 {
            wrong("email.imap.poll", format!("{} is out of range; write 1 to 1500", imap.poll.as_secs()));
        }
        let folders = [&imap.mailbox, &imap.done, &imap.rejected];
        if folders.iter().any(|name| name.is_empty() || name.contains(char::is_control))
            || imap.mailbox == imap.done
            || imap.mailbox == imap.rejected
        {
            wrong(
                "email.imap.done",
                "name three folders; mail leaves the watched one for one of the others".to_owned(),
            );
        }
    }
    for (key, host, tls) in [("imap", &imap.host, imap.tls), ("smtp", &email.smtp.host, email.smtp.tls)] {
        if host.as_deref().is_some_and(|host| tls == Tls::None && !this_machine(host)) {
            wrong(&format!("email.{key}.tls"), "passwords and mail leave this machine only over TLS".to_owned());
        }
    }
    if email.smtp.host.is_some() && !is_address(&email.smtp.from) {
        wrong(
            "email.smtp.from",
            "is no address; write the one that replies come from, like call@example.net".to_owned(),
        );
    }
}

fn this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_address(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b',' | b';'));
    plain && text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

/// Two sockets of ours that would want the same port.
fn overlaps(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let tcp = [
        ("sms.listen", Some(config.sms.listen)),
        ("web.listen", Some(config.web.listen)),
        ("email.lmtp.listen", config.email.lmtp.listen),
        ("service.listen", config.service.listen),
    ];
    let tcp: Vec<(&str, SocketAddr)> = tcp.into_iter().filter_map(|(key, address)| Some((key, address?))).collect();
    for (i, (key, address)) in tcp.iter().enumerate() {
        for (other_key, other) in &tcp[..i] {
            if address.port() != 0 && address.port() == other.port() && meet(address.ip(), other.ip()) {
                wrong(key, format!("{address} is taken by {other_key} ({other}); give it a port of its own"));
            }
        }
    }
    let (sip, iif, media) = (config.sip.listen, config.iif.listen, &config.media);
    for (section, udp) in [("sip", sip), ("iif", iif)] {
        if media.ports.range().contains(&udp.port()) && meet(udp.ip(), media.ip) {
            wrong(
                "media.ports",
                format!("{} contains the port of [{section}] listen {udp}; move one of them", media.ports),
            );
        }
    }
    if iif.port() != 0 && iif.port() == sip.port() && meet(iif.ip(), sip.ip()) {
        wrong("iif.listen", format!("{iif} is taken by sip.listen ({sip}); give it a port of its own"));
    }
}

/// Sippy's second address is one more socket; the first may be the engine's own, which then carries both.
fn overlaps_of_ani(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let (ani, media) = (&config.ani, &config.media);
    let second = (ani.profile == AniProfile::Sippy).then_some(("ani.sippy_listen", ani.sippy_listen));
    for (key, udp) in [("ani.listen", ani.listen)].into_iter().chain(second) {
        if media.ports.range().contains(&udp.port()) && meet(udp.ip(), media.ip) {
            wrong(key, format!("{udp} is one of [media] ports {}; move one of them", media.ports));
        }
        let others = [("sip.listen", config.sip.listen), ("iif.listen", config.iif.listen), ("ani.listen", ani.listen)];
        for (other, address) in others {
            let shared = key == "ani.listen" && matches!(other, "sip.listen" | "ani.listen");
            if !shared && udp.port() != 0 && udp.port() == address.port() && meet(udp.ip(), address.ip()) {
                wrong(key, format!("{udp} is taken by {other} ({address}); give it a port of its own"));
            }
        }
    }
}

fn meet(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}
