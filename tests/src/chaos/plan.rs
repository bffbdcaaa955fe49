//! The script of one run, drawn from its seed: who asks for what when, how people behave, what else is done, what breaks.
//! Pure, and printed whole when a run fails.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use super::manners::Conduct;
use crate::site::Part;

/// How long a phone rings.
pub const NO_ANSWER: Duration = Duration::from_secs(8);
/// The longest callback, from A's answer.
pub const MAX_CALL: Duration = Duration::from_secs(40);
/// How often A is tried in all.
pub const ATTEMPTS: usize = 2;
/// What a minute of either leg costs: a cent a second, so that money runs out in the middle.
pub const PRICE: i64 = 600_000;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One `ringback run` on SQLite.
    Small,
    /// Two engines and three triggers on RabbitMQ and PostgreSQL.
    Big,
}

impl Shape {
    /// Its processes.
    pub fn parts(self) -> &'static [Part] {
        match self {
            Shape::Small => &[Part::All],
            Shape::Big => &[Part::Engine(1), Part::Engine(2), Part::Sms(1), Part::Iif(1), Part::Ani(1)],
        }
    }
}

/// The accounts: who pays for texts, then the application server's, then the one that pays for missed calls.
pub const ACCOUNTS: [(&str, i64); 7] = [
    ("rich", 1_000_000_000),
    ("poor1", 250_000),
    ("poor2", 400_000),
    ("poor3", 600_000),
    ("poor4", 1_500_000),
    ("carrier", 20_000_000),
    ("missed", 20_000_000),
];

/// The way a callback is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// A text, paid by this account.
    Text(&'static str),
    /// REQUEST of the application server.
    Request,
    /// A missed call, given up after that time.
    Missed(Duration),
}

/// One callback that is asked for. Its place in the plan gives it numbers that no other has.
#[derive(Clone, Debug)]
pub struct Ask {
    /// When.
    pub at: Duration,
    /// How.
    pub way: Way,
    /// A's conduct at each attempt.
    pub a: Vec<Conduct>,
    /// B's.
    pub b: Conduct,
    /// How both behave when they are called through the second trunk.
    pub detour: Conduct,
}

/// What is done in between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// Money for an account.
    TopUp(&'static str, i64),
    /// `UPDATE callback_requests SET canceled = TRUE` for this ask.
    Cancel(usize),
    /// A text STOP from A of this ask.
    Stop(usize),
    /// RELEASE of this ask.
    Release(usize),
}

/// What somebody with an SQL prompt keeps locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// The newest requests, by the documented way to cancel, not committed; then rolled back.
    Requests,
    /// The account of most texts.
    Account,
    /// The first engine's row.
    Engine,
    /// The whole of SQLite (`BEGIN IMMEDIATE`).
    Everything,
}

/// What breaks. Processes are named by their place in [`Shape::parts`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// `kill -9`; started again so long later.
    Kill(usize, Duration),
    /// SIGSTOP for so long.
    Freeze(usize, Duration),
    /// `kill -9` of the broker; started again so long later.
    KillBroker(Duration),
    /// SIGSTOP of the broker: for its clients a network that was cut.
    FreezeBroker(Duration),
    /// `kill -9` of the database; started again so long later.
    KillDatabase(Duration),
    /// SIGSTOP of the database: for its clients a network that was cut.
    FreezeDatabase(Duration),
    /// The database takes no writes for so long, as a standby does.
    ReadOnly(Duration),
    /// The disk is full for so long.
    FillDisk(Duration),
    /// Somebody's open transaction.
    Hold(Lock, Duration),
}

impl Trouble {
    /// Whether it keeps somebody from writing to the store.
    pub fn is_the_stores(self) -> bool {
        match self {
            Trouble::KillDatabase(_) | Trouble::FreezeDatabase(_) | Trouble::ReadOnly(_) => true,
            Trouble::FillDisk(_) | Trouble::Hold(..) => true,
            Trouble::Kill(..) | Trouble::Freeze(..) | Trouble::KillBroker(_) | Trouble::FreezeBroker(_) => false,
        }
    }
}

/// The script.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is run.
    pub shape: Shape,
    /// What it was drawn from.
    pub seed: u64,
    /// Callbacks.
    pub asks: Vec<Ask>,
    /// What is done in between, by time.
    pub deeds: Vec<(Duration, Deed)>,
    /// What breaks, by time.
    pub troubles: Vec<(Duration, Trouble)>,
}

impl Plan {
    /// The script of a seed; `length` is how long there is trouble.
    pub fn draw(shape: Shape, seed: u64, length: Duration) -> Plan {
        let mut dice = Dice::of(seed);
        let (mut asking, mut doing, mut breaking) = (dice.apart(), dice.apart(), dice.apart());
        let asks = draw_asks(&mut asking, shape, length);
        let deeds = draw_deeds(&mut doing, &asks, length);
        let troubles = draw_troubles(&mut breaking, shape, length);
        Plan { shape, seed, asks, deeds, troubles }
    }

    /// The same without trouble.
    pub fn calm(self) -> Plan {
        Plan { troubles: Vec::new(), ..self }
    }

    /// A of an ask.
    pub fn a(ask: usize) -> String {
        format!("+44100{ask:07}")
    }

    /// B of an ask.
    pub fn b(ask: usize) -> String {
        format!("+44200{ask:07}")
    }

    /// The number that is rung to ask.
    pub fn did(ask: usize) -> String {
        format!("+1206555{ask:04}")
    }
}

fn draw_asks(dice: &mut Dice, shape: Shape, length: Duration) -> Vec<Ask> {
    let each_second = if shape == Shape::Small { 1.0 } else { 1.6 };
    let count = (length.as_secs_f64() * each_second) as usize;
    let mut asks: Vec<Ask> = (0..count)
        .map(|_| {
            let way = match dice.within(0..100) {
                0..60 => {
                    Way::Text(dice.weighed(&[(5, "rich"), (1, "poor1"), (1, "poor2"), (1, "poor3"), (2, "poor4")]))
                }
                60..86 => Way::Request,
                _ => Way::Missed(dice.span(100..3_000)),
            };
            Ask {
                at: dice.time(0..length.as_millis() as u64),
                way,
                a: (0..ATTEMPTS).map(|_| Conduct::of_a(dice)).collect(),
                b: Conduct::of_b(dice),
                detour: Conduct::of_b(dice),
            }
        })
        .collect();
    asks.sort_by_key(|ask| ask.at);
    asks
}

fn draw_deeds(dice: &mut Dice, asks: &[Ask], length: Duration) -> Vec<(Duration, Deed)> {
    let mut deeds = Vec::new();
    for (n, ask) in asks.iter().enumerate() {
        let chance = dice.within(0..100);
        let later = ask.at + dice.span(10..15_000);
        match (ask.way, chance) {
            (Way::Request, 0..40) => deeds.push((later, Deed::Release(n))),
            (_, 0..12) => deeds.push((later, Deed::Cancel(n))),
            (Way::Text(_), 12..18) => deeds.push((later, Deed::Stop(n))),
            _ => {}
        }
    }
    let mut at = Duration::ZERO;
    while at < length {
        let account = dice.one(&["rich", "poor1", "poor2", "poor3", "poor4", "carrier"]);
        deeds.push((at, Deed::TopUp(account, dice.within(1..60) as i64 * 10_000)));
        at += dice.time(2_000..12_000);
    }
    deeds.sort_by_key(|(at, _)| *at);
    deeds
}

fn draw_troubles(dice: &mut Dice, shape: Shape, length: Duration) -> Vec<(Duration, Trouble)> {
    let away = |dice: &mut Dice| dice.span(200..20_000);
    let mut troubles = Vec::new();
    let mut at = dice.time(1_000..6_000);
    while at < length {
        let trouble = match shape {
            Shape::Small => match dice.within(0..10) {
                0..4 => Trouble::Kill(0, away(dice)),
                4..6 => Trouble::Freeze(0, dice.span(1_000..40_000)),
                6..8 => Trouble::Hold(Lock::Everything, dice.time(3_000..15_000)),
                _ => Trouble::FillDisk(dice.time(3_000..15_000)),
            },
            Shape::Big => match dice.within(0..20) {
                0..5 => Trouble::Kill(dice.within(0..2) as usize, away(dice)),
                5..8 => Trouble::Kill(dice.within(2..5) as usize, away(dice)),
                8..11 => Trouble::Freeze(dice.within(0..2) as usize, dice.span(1_000..40_000)),
                11 => Trouble::Freeze(dice.within(2..5) as usize, dice.span(1_000..15_000)),
                12 => Trouble::KillBroker(dice.span(200..8_000)),
                13 => Trouble::FreezeBroker(dice.span(1_000..20_000)),
                14 => Trouble::KillDatabase(dice.span(200..10_000)),
                15 => Trouble::FreezeDatabase(dice.span(1_000..15_000)),
                16 => Trouble::ReadOnly(dice.time(2_000..10_000)),
                _ => {
                    let lock = dice.weighed(&[(3, Lock::Requests), (2, Lock::Account), (1, Lock::Engine)]);
                    Trouble::Hold(lock, dice.time(3_000..20_000))
                }
            },
        };
        troubles.push((at, trouble));
        at += dice.time(2_000..if shape == Shape::Small { 16_000 } else { 10_000 });
    }
    troubles
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}, seed {}:", self.shape, self.seed)?;
        let mut lines: Vec<(Duration, String)> = Vec::new();
        for (n, ask) in self.asks.iter().enumerate() {
            let a: Vec<String> = ask.a.iter().map(Conduct::to_string).collect();
            lines.push((
                ask.at,
                format!(
                    "ask {n} by {:?}: A {}; B {}; by the second trunk {}",
                    ask.way,
                    a.join(" | "),
                    ask.b,
                    ask.detour
                ),
            ));
        }
        lines.extend(self.deeds.iter().map(|(at, deed)| (*at, format!("{deed:?}"))));
        lines.extend(self.troubles.iter().map(|(at, trouble)| (*at, format!("*** {trouble:?}"))));
        lines.sort_by_key(|(at, _)| *at);
        lines.iter().try_for_each(|(at, line)| writeln!(f, "{:>7.2} s  {line}", at.as_secs_f32()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_script_and_another_seed_another() {
        let script = |seed| Plan::draw(Shape::Big, seed, Duration::from_secs(60)).to_string();
        assert_eq!(script(7), script(7));
        assert_ne!(script(7), script(8));
    }

    #[test]
    fn the_first_twenty_seeds_have_every_trouble_and_every_deed_of_their_shape() {
        let kinds = |shape: Shape| {
            let plans = (1..=20).map(move |seed| Plan::draw(shape, seed, Duration::from_secs(60)));
            let text: String = plans.map(|plan| plan.to_string()).collect();
            text
        };
        let common = ["Text", "Request", "Missed", "TopUp", "Cancel", "Stop", "Release", "Kill(", "Freeze("];
        let small = ["Everything", "FillDisk"];
        let big = [
            "KillBroker",
            "FreezeBroker",
            "KillDatabase",
            "FreezeDatabase",
            "ReadOnly",
            "Requests",
            "Account",
            "Engine",
        ];
        let (on_small, on_big) = (kinds(Shape::Small), kinds(Shape::Big));
        for word in common {
            assert!(on_small.contains(word) && on_big.contains(word), "{word}");
        }
        assert!(small.iter().all(|word| on_small.contains(word)));
        assert!(big.iter().all(|word| on_big.contains(word)));
    }
}
