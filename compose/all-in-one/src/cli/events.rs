//! `ringback events`: what happens, as it happens.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use ringback_common::queue::{Delivery, Source};
use serde_json::Value;

use super::{Common, Fail, World, print};

/// Deliveries in hand.
const PREFETCH: u16 = 64;

/// `ringback events ...`
#[derive(Subcommand)]
pub enum EventsCommand {
    /// Print events until Ctrl-C
    Tail(TailArgs),
}

/// How to tail.
#[derive(Args)]
pub struct TailArgs {
    /// Begin with the oldest event that is kept
    #[arg(long)]
    from_start: bool,
    /// End after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Prints the event log.
pub async fn tail(common: &Common, args: TailArgs) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let queue = world.queue().await?;
    let source = if args.from_start { Source::Log } else { Source::Tail };
    let mut log = queue.consume(&source, PREFETCH).await;
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let message = tokio::select! {
            message = log.next() => message,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        tell(common, &message);
        message.ack().await;
        left -= 1;
    }
    Ok(())
}

fn tell(common: &Common, message: &Delivery) {
    let Ok(envelope) = serde_json::from_slice::<Value>(&message.body) else {
        eprintln!("ringback: an event of type {} is not JSON", print::plain(&message.kind));
        return;
    };
    if common.json {
        print::json(&envelope);
    } else {
        print::line(&sentence(&envelope));
    }
}

/// One event in a line: when, which job, what, and what is worth knowing of it.
fn sentence(envelope: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).map(short).unwrap_or_default();
    let data = envelope.get("data").unwrap_or(&Value::Null);
    let time = envelope.get("time").and_then(Value::as_str).and_then(|time| time.parse::<DateTime<Utc>>().ok());
    let time = time.map(|time| time.format("%H:%M:%S%.3f").to_string()).unwrap_or_default();
    let kind = text(envelope, "type");
    let kind = kind.trim_start_matches("ringback.").trim_end_matches(".v1").to_owned();
    let mut line = format!("{time}  {:<32}  {kind:<20}", text(data, "job"));
    for key in
        ["leg", "attempt", "account", "status", "result", "reason", "sip_code", "cause", "talk_seconds", "duration_ms"]
    {
        let value = text(data, key);
        if !value.is_empty() {
            line.push_str(&format!("  {key}={value}"));
        }
    }
    print::plain(line.trim_end())
}

fn short(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_masks_numbers_and_obeys_nothing() {
        let envelope = serde_json::json!({"type": "ringback.leg.ended.v1", "time": "2026-11-21T05:00:00.5Z",
            "data": {"job": "j1", "leg": "b", "attempt": 1, "number": "+442071838750", "sip_code": 486, "cause": "busy\u{1b}[2J"}});
        let line = sentence(&envelope);
        assert!(line.starts_with("05:00:00.500  j1 "), "{line}");
        assert!(line.contains("leg.ended") && line.contains("sip_code=486"), "{line}");
        assert!(!line.contains("2071838750") && !line.contains('\u{1b}'), "{line}");
    }
}
