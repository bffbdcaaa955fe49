//! The figures: a table for people, then one line of JSON for machines.

use std::fmt;

use serde::Serialize;

use crate::process;

/// Everything measured on one shape.
#[derive(Serialize)]
pub struct Shape {
    /// `big` or `small`.
    pub kind: &'static str,
    /// Under load.
    pub busy: Signalling,
    /// Bridged calls, if they were asked for.
    pub audio: Option<Audio>,
    /// With time to spare.
    pub calm: Signalling,
}

/// Callbacks at a rate.
#[derive(Serialize)]
pub struct Signalling {
    /// A second.
    pub rate: u32,
    /// Callbacks asked for.
    pub asked: usize,
    /// Those with both parties called, answered and hung up on.
    pub complete: usize,
    /// CPU of the engine's process for each.
    pub engine_ms: f64,
    /// CPU of the trigger's process for each, when it is one of its own.
    pub trigger_ms: Option<f64>,
    /// CPU of the whole machine for each: phones, broker and database too.
    pub machine_ms: f64,
    /// From "accepted" to A's INVITE.
    pub invite: Delay,
    /// From A's 200 to B's INVITE.
    pub b_invite: Delay,
}

/// Relayed audio.
#[derive(Serialize)]
pub struct Audio {
    /// Streams relayed, one from each phone.
    pub streams: usize,
    /// Streams there should have been.
    pub asked: usize,
    /// All of them together.
    pub packets_per_second: f64,
    /// Packets that never arrived.
    pub lost: u64,
    /// CPU of the engine's process for each packet.
    pub us_per_packet: f64,
    /// Resident memory that each call added to the process.
    pub kb_per_call: f64,
    /// Resident memory before the first call.
    pub base_kb: u64,
    /// From phone to phone.
    pub delay: Delay,
}

/// Texts at a rate, and the trigger alone.
#[derive(Serialize)]
pub struct Texts {
    /// `big` or `small`.
    pub kind: &'static str,
    /// A second.
    pub rate: u32,
    /// Texts sent.
    pub sent: usize,
    /// Texts accepted.
    pub accepted: usize,
    /// Jobs on the queue afterwards.
    pub jobs: usize,
    /// CPU of the trigger's process for each.
    pub trigger_ms: f64,
    /// From the moment a text was due to its "accepted".
    pub accept: Delay,
}

/// Milliseconds, at these parts of all that was measured.
#[derive(Serialize)]
pub struct Delay {
    /// Half were no longer.
    pub p50_ms: f64,
    /// 99 of 100 were no longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Delay {
    /// Of microseconds.
    pub fn of(delays_us: impl Iterator<Item = u64>) -> Delay {
        Delay::of_us(delays_us.collect())
    }

    /// Of microseconds.
    pub fn of_us(mut delays_us: Vec<u64>) -> Delay {
        delays_us.sort_unstable();
        let at = |part: f64| {
            let place = (delays_us.len().saturating_sub(1) as f64 * part) as usize;
            delays_us.get(place).map_or(f64::NAN, |us| *us as f64 / 1e3)
        };
        Delay { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

impl Shape {
    /// Whether every callback went through.
    pub fn complete(&self) -> bool {
        let calls = [&self.busy, &self.calm];
        let bridged = self.audio.as_ref().is_none_or(|audio| audio.streams == audio.asked);
        bridged && calls.iter().all(|run| run.complete == run.asked)
    }

    fn lines(&self) -> Vec<(String, String, &'static str)> {
        let (busy, calm) = (&self.busy, &self.calm);
        let trigger = busy.trigger_ms.map_or(String::new(), |ms| format!(" + trigger {ms:.2}"));
        let done = |run: &Signalling| format!("{}/{}", run.complete, run.asked);
        let mut lines = vec![
            (
                format!("CPU per callback at {}/s, ms ({})", busy.rate, done(busy)),
                format!("{:.2}{trigger}", busy.engine_ms),
                "1.0",
            ),
            (
                format!("accepted -> INVITE at {}/s p50 / p99, ms ({})", calm.rate, done(calm)),
                calm.invite.to_string(),
                "p99 20",
            ),
            (format!("A's 200 -> INVITE to B at {}/s p50 / p99, ms", calm.rate), calm.b_invite.to_string(), ""),
        ];
        lines.extend(self.audio.iter().flat_map(Audio::lines));
        lines
    }
}

impl Audio {
    fn lines(&self) -> [(String, String, &'static str); 3] {
        [
            (
                format!("relay CPU per packet, {} streams, us (lost {})", self.streams, self.lost),
                format!("{:.2}", self.us_per_packet),
                "6",
            ),
            (
                format!("memory per bridged call, kB ({} at rest)", self.base_kb),
                format!("{:.0}", self.kb_per_call),
                "100",
            ),
            ("delay of the relay p50 / p99, ms".to_owned(), self.delay.to_string(), "p99 2"),
        ]
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} / {:.2}", self.p50_ms, self.p99_ms)
    }
}

/// Prints table and JSON.
pub fn print(shapes: &[Shape]) {
    let (machine, bare) = (process::machine(), process::bare_packet_us());
    println!("{machine}; a bare packet over loopback costs {bare:.2} us of CPU");
    for shape in shapes {
        println!("\n{:<58} {:>22} {:>8}", format!("{} shape", shape.kind), "measured", "at most");
        for (what, measured, bar) in shape.lines() {
            println!("{what:<58} {measured:>22} {bar:>8}");
        }
    }
    println!("\n{}", serde_json::json!({ "machine": machine, "bare_packet_us": bare, "shapes": shapes }));
}

/// So long the slowest of a hundred texts may wait for its answer (ms).
const ACCEPTED_WITHIN: f64 = 50.0;

/// Prints table and JSON; exits 1 when a text was lost or kept waiting.
pub fn texts(all: &[Texts]) {
    let machine = process::machine();
    println!("{machine}");
    for texts in all {
        let Texts { kind, rate, sent, accepted, jobs, trigger_ms, accept } = texts;
        println!("\n{kind} shape, {sent} texts at {rate}/s: {accepted} accepted, {jobs} jobs on the queue");
        println!("CPU per text: {trigger_ms:.3} ms of the trigger");
        println!(
            "sent -> accepted p50 / p99 / max: {:.1} / {:.1} / {:.1} ms (p99 at most {ACCEPTED_WITHIN})",
            accept.p50_ms, accept.p99_ms, accept.max_ms
        );
    }
    println!("\n{}", serde_json::json!({ "machine": machine, "texts": all }));
    if all.iter().any(|texts| texts.accepted != texts.sent || texts.jobs != texts.sent) {
        eprintln!("texts were lost");
        std::process::exit(1);
    }
    if all.iter().any(|texts| texts.accept.p99_ms > ACCEPTED_WITHIN) {
        eprintln!("texts were kept waiting");
        std::process::exit(1);
    }
}
