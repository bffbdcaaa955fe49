//! What the gateway costs, measured from outside on the binaries of profile `dist`; `bench/run` builds them and starts this.
//!
//! ```text
//! bench/run                the big shape (trigger-sms, engine, RabbitMQ, PostgreSQL), then the small one (SQLite)
//! bench/run big | small    one of them
//! bench/run quick          both, with a fifth of the load: to see that it works
//! bench/run sms [big|small]  500 texts a second for 30 s to the trigger alone (quick: 5 s)
//! bench/run calls          without the calls with audio: what a callback costs, and its delays
//! bench/run stay [small]   starts the shape for another load tool, says where it is, and waits for Enter
//! ```
//!
//! Everything runs on loopback as children of this program; fsync and synchronous_commit are on. The phones answer at once and
//! B hangs up after a second. CPU is user and system time of a process from /proc. On loopback the sender of a UDP packet pays
//! for its delivery, so that is in it too.

mod load;
mod phones;
mod process;
mod report;
mod shape;
mod texts;
mod voices;

use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use ringback_tests::clock;

use load::Texts;
use phones::Phones;
use process::Usage;
use report::{Audio, Delay, Signalling};
use shape::{Kind, Shape};
use voices::Voices;

/// How much of everything.
#[derive(Clone, Copy)]
struct Amount {
    /// Callbacks a second while CPU is measured, and for how long.
    rate: u32,
    seconds: u32,
    /// Bridged calls with audio, how fast they begin, and how long they are measured.
    calls: u32,
    ramp: u32,
    window: Duration,
    /// Callbacks a second while delays are measured, and how many.
    calm_rate: u32,
    calm_count: u32,
}

const FULL: Amount = Amount {
    rate: 100,
    seconds: 15,
    calls: 500,
    ramp: 30,
    window: Duration::from_secs(10),
    calm_rate: 20,
    calm_count: 400,
};
const QUICK: Amount =
    Amount { seconds: 3, calls: 100, ramp: 50, window: Duration::from_secs(3), calm_count: 60, ..FULL };

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let asked = |word: &str| words.iter().any(|one| one == word);
    if asked("stay") {
        return stay(if asked("small") { Kind::Small } else { Kind::Big });
    }
    let kinds =
        [Kind::Big, Kind::Small].into_iter().filter(|kind| asked(kind.word()) || !(asked("big") || asked("small")));
    if asked("sms") {
        let seconds = if asked("quick") { 5 } else { 30 };
        return report::texts(&kinds.map(|kind| texts::measure(kind, 500, seconds)).collect::<Vec<_>>());
    }
    let amount = if asked("quick") { QUICK } else { FULL };
    let reports: Vec<report::Shape> = kinds.map(|kind| measure(kind, amount, !asked("calls"))).collect();
    report::print(&reports);
    if reports.iter().any(|report| !report.complete()) {
        eprintln!("some callbacks did not complete: the figures above are of a gateway that did not keep up");
        std::process::exit(1);
    }
}

/// Starts a shape afresh and measures everything on it: audio, if wanted, first, while its memory is still untouched.
fn measure(kind: Kind, amount: Amount, with_audio: bool) -> report::Shape {
    let phones = Arc::new(Phones::plug_in());
    let shape = Shape::start(kind, &phones);
    let audio = with_audio.then(|| {
        eprintln!("{}: {} calls with audio", kind.word(), amount.calls);
        audio(&shape, &phones, amount)
    });
    phones.hang_up_after(Duration::from_secs(1));
    eprintln!("{}: {} callbacks a second for {} s", kind.word(), amount.rate, amount.seconds);
    let busy = signalling(&shape, &phones, amount.rate, amount.rate * amount.seconds);
    eprintln!("{}: {} callbacks a second, {} of them", kind.word(), amount.calm_rate, amount.calm_count);
    let calm = signalling(&shape, &phones, amount.calm_rate, amount.calm_count);
    report::Shape { kind: kind.word(), busy, audio, calm }
}

fn signalling(shape: &Shape, phones: &Phones, rate: u32, count: u32) -> Signalling {
    let before = shape.usage();
    let machine = process::machine_busy();
    let seen = callbacks(shape, phones, rate, count);
    let cpu = shape.usage() - before;
    let complete = seen.iter().filter(|call| call.complete).count();
    Signalling {
        rate,
        asked: count as usize,
        complete,
        engine_ms: Usage::ms_per(cpu.engine, complete),
        trigger_ms: cpu.trigger.map(|cpu| Usage::ms_per(cpu, complete)),
        machine_ms: Usage::ms_per(process::machine_busy() - machine, complete),
        invite: Delay::of(seen.iter().filter_map(|call| call.accepted_to_invite())),
        b_invite: Delay::of(seen.iter().filter_map(|call| call.answer_to_b_invite())),
    }
}

/// Asks for callbacks at this rate, waits until they are over and nothing is left to write or tell.
fn callbacks(shape: &Shape, phones: &Phones, rate: u32, count: u32) -> Vec<load::Seen> {
    let texts = Texts::next(shape, count);
    let accepted = texts.send(rate);
    phones.wait_over(texts.ids(), Duration::from_secs(20));
    shape.wait_idle();
    load::seen(&texts, &accepted, phones)
}

fn audio(shape: &Shape, phones: &Arc<Phones>, amount: Amount) -> Audio {
    let voices = Voices::start(phones);
    let base = process::resident_kb(shape.engine());
    let texts = Texts::next(shape, amount.calls);
    texts.send(amount.ramp);
    phones.wait_bridged(texts.ids(), Duration::from_secs(20));
    std::thread::sleep(Duration::from_secs(2));
    let (cpu, begun) = (process::cpu(shape.engine()), clock::now_us());
    let heard = voices.listen(amount.window);
    let spent = process::cpu(shape.engine()) - cpu;
    let resident = process::resident_kb(shape.engine());
    let seconds = (clock::now_us() - begun) as f64 / 1e6;
    voices.stop();
    phones.hang_up_all();
    phones.wait_over(texts.ids(), Duration::from_secs(30));
    shape.wait_idle();
    Audio {
        streams: 2 * phones.bridged(texts.ids()),
        asked: 2 * amount.calls as usize,
        packets_per_second: heard.relayed as f64 / seconds,
        lost: heard.sent.saturating_sub(heard.relayed),
        us_per_packet: spent.as_secs_f64() * 1e6 / heard.relayed.max(1) as f64,
        kb_per_call: resident.saturating_sub(base) as f64 / f64::from(amount.calls),
        base_kb: base,
        delay: Delay::of_us(heard.delays_us),
    }
}

/// Starts a shape for an outside tool, which plays the phones on 127.0.0.1:5070 and 5071.
fn stay(kind: Kind) {
    let shape = Shape::start_for(kind, "sip:127.0.0.1:5070", "sip:127.0.0.1:5071");
    println!("{}", shape.where_it_is());
    let _ = std::io::stdin().lock().lines().next();
}
