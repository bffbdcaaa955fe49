//! A leg and a real phone, with a network between them that loses, doubles and reorders.

use ringback_sip::{IncomingCall, Leg, LegEvent, Moment, OverCause, Transmit};

use crate::world::*;

/// How bad it is.
#[derive(Clone, Copy)]
struct Network {
    loss_percent: u64,
    double_percent: u64,
    /// Up to so many milliseconds of delay, which is what reorders.
    jitter_ms: u64,
    seed: u64,
}

impl Network {
    const GOOD: Network = Network { loss_percent: 0, double_percent: 0, jitter_ms: 0, seed: 1 };

    fn draw(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15); // splitmix64
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

struct TwoEnds {
    network: Network,
    now: Moment,
    leg: Leg,
    phone: Option<IncomingCall>,
    under_way: Vec<(Moment, bool, Transmit)>,
    leg_told: Vec<LegEvent>,
    phone_told: Vec<LegEvent>,
    ringings: usize,
    /// When the store has the final response.
    durable: Option<Moment>,
}

impl TwoEnds {
    fn new(network: Network) -> TwoEnds {
        let mut setup = setup();
        setup.target.peer = phone();
        TwoEnds {
            network,
            now: Moment(0),
            leg: Leg::new(setup),
            phone: None,
            under_way: Vec::new(),
            leg_told: Vec::new(),
            phone_told: Vec::new(),
            ringings: 0,
            durable: None,
        }
    }

    fn phone(&mut self) -> &mut IncomingCall {
        self.phone.as_mut().unwrap()
    }

    /// What both ends want to send goes on its way.
    fn gather(&mut self) {
        let from_leg = std::iter::from_fn(|| self.leg.poll_transmit()).map(|transmit| (false, written(transmit)));
        let mut sent: Vec<_> = from_leg.collect();
        while let Some(event) = self.leg.poll_event() {
            if matches!(event, LegEvent::Final(_)) {
                self.durable = Some(self.now.plus_ms(20));
            }
            self.leg_told.push(event);
        }
        if let Some(phone) = &mut self.phone {
            sent.extend(std::iter::from_fn(|| phone.poll_transmit()).map(|transmit| (true, written(transmit))));
            self.phone_told.extend(std::iter::from_fn(|| phone.poll_event()));
        }
        for (to_leg, transmit) in sent {
            let copies = 1 + u64::from(self.network.draw(100) < self.network.double_percent);
            for _ in 0..copies {
                if self.network.draw(100) >= self.network.loss_percent {
                    let at = self.now.plus_ms(5 + self.network.draw(self.network.jitter_ms + 1));
                    self.under_way.push((at, to_leg, transmit.clone()));
                }
            }
        }
    }

    /// The next thing that happens before `until`. False when nothing does.
    fn step(&mut self, until: Moment) -> bool {
        self.gather();
        let arrival = self.under_way.iter().map(|(at, _, _)| *at).min();
        let phone_due = self.phone.as_ref().and_then(IncomingCall::poll_timeout);
        let Some(next) = [arrival, self.leg.poll_timeout(), phone_due, self.durable]
            .into_iter()
            .flatten()
            .min()
            .filter(|next| *next <= until)
        else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        if self.durable.take_if(|at| *at <= self.now).is_some() {
            self.leg.acknowledge(self.now);
        }
        match self.under_way.iter().position(|(at, _, _)| *at <= self.now) {
            Some(at) => {
                let (_, to_leg, transmit) = self.under_way.remove(at);
                self.deliver(to_leg, &transmit);
            }
            None => {
                self.leg.handle_timeout(self.now);
                if let Some(phone) = &mut self.phone {
                    phone.handle_timeout(self.now);
                }
            }
        }
        true
    }

    fn deliver(&mut self, to_leg: bool, transmit: &Transmit) {
        let message = parsed(&transmit.bytes);
        match (&mut self.phone, to_leg) {
            (_, true) => self.leg.receive(&message, phone(), self.now),
            (Some(call), false) => call.receive(&message, ours(), self.now),
            (None, false) if message.method_text() == "INVITE" => {
                self.ringings += 1;
                self.phone = IncomingCall::new(&message, ours(), phone(), self.now).ok();
                let now = self.now;
                self.phone().ring(180, None, now);
            }
            (None, false) => {}
        }
    }

    fn runs(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        while self.step(until) {}
    }

    fn runs_until(&mut self, what: &str, reached: impl Fn(&TwoEnds) -> bool) {
        let until = self.now.plus_ms(200_000);
        loop {
            self.gather();
            if reached(self) {
                return;
            }
            assert!(self.step(until), "never: {what}; seed {}", self.network.seed);
        }
    }

    /// Dials, lets it ring, answers; both ends know.
    fn connects(&mut self) {
        self.leg.dial(self.now);
        self.runs_until("it rings", |world| world.phone.is_some());
        self.runs(2_000);
        let now = self.now;
        self.phone().answer(ANSWER.to_owned(), now);
        self.runs_until("it is answered", |world| world.finals() == 1);
        self.runs_until("the ACK comes", |world| world.phone_told.contains(&LegEvent::Confirmed));
    }

    fn finals(&self) -> usize {
        self.leg_told.iter().filter(|event| matches!(event, LegEvent::Final(_))).count()
    }

    fn overs(told: &[LegEvent]) -> Vec<&OverCause> {
        told.iter().filter_map(|event| if let LegEvent::Over { cause } = event { Some(cause) } else { None }).collect()
    }
}

fn bad(seed: u64) -> Network {
    Network { loss_percent: 30, double_percent: 20, jitter_ms: 900, seed }
}

#[test]
fn a_call_is_answered_and_hung_up_by_either_side() {
    for callee_hangs_up in [false, true] {
        let mut world = TwoEnds::new(Network::GOOD);
        world.connects();
        assert!(!world.leg.session_timer_missing());
        let now = world.now;
        match callee_hangs_up {
            true => world.phone().hang_up(None, now),
            false => world.leg.hang_up(None, now),
        }
        world.runs(1_000);
        let (here, there) = (&OverCause::HungUp, &OverCause::RemoteHangUp);
        let (leg, phone) = if callee_hangs_up { (there, here) } else { (here, there) };
        assert_eq!((TwoEnds::overs(&world.leg_told), TwoEnds::overs(&world.phone_told)), (vec![leg], vec![phone]));
    }
}

#[test]
fn through_loss_doubles_and_reordering_one_call_rings_once_and_ends_once() {
    for seed in 0..300 {
        let mut world = TwoEnds::new(bad(seed));
        world.connects();
        let now = world.now;
        match seed % 2 {
            0 => world.phone().hang_up(None, now),
            _ => world.leg.hang_up(None, now),
        }
        world.runs(70_000);
        assert_eq!((world.ringings, world.finals()), (1, 1), "seed {seed}");
        assert_eq!(TwoEnds::overs(&world.leg_told).len(), 1, "seed {seed}");
        assert_eq!(TwoEnds::overs(&world.phone_told).len(), 1, "seed {seed}");
        assert_eq!(world.leg.poll_timeout(), None, "seed {seed}");
    }
}

#[test]
fn a_call_cancelled_while_it_rings_ends_on_both_sides_however_bad_the_network() {
    for seed in 0..300 {
        let mut world = TwoEnds::new(bad(seed));
        world.leg.dial(world.now);
        world.runs_until("it rings", |world| world.phone.is_some());
        world.runs(seed * 7);
        world.leg.hang_up(None, world.now);
        if seed % 3 == 0 {
            let now = world.now;
            world.phone().answer(ANSWER.to_owned(), now);
        }
        world.runs(120_000);
        assert_eq!(TwoEnds::overs(&world.leg_told).len(), 1, "seed {seed}: {:?}", world.leg_told);
        assert_eq!(TwoEnds::overs(&world.phone_told).len(), 1, "seed {seed}: {:?}", world.phone_told);
        assert!(world.finals() <= 1);
    }
}

#[test]
fn an_hour_of_refreshes_keeps_a_call_through_a_bad_network() {
    let mut world = TwoEnds::new(Network { loss_percent: 10, ..bad(7) });
    world.connects();
    world.runs(3_600_000);
    assert!(!world.leg.is_over());
    let refreshed = world.leg_told.iter().filter(|event| **event == LegEvent::Refreshed).count();
    assert!(refreshed >= 38, "{refreshed}");
}

#[test]
fn offers_that_cross_are_both_made_in_the_end() {
    for seed in 0..50 {
        let mut world = TwoEnds::new(Network { seed, jitter_ms: 20, ..Network::GOOD });
        world.connects();
        let now = world.now;
        world.leg.reinvite(format!("{OFFER}a=x\r\n"), None, now);
        world.phone().reinvite(format!("{ANSWER}a=y\r\n"), None, now);
        for _ in 0..400 {
            world.runs(20);
            let now = world.now;
            if world.leg_told.contains(&LegEvent::Offer { sdp: Some(format!("{ANSWER}a=y\r\n")) }) {
                world.leg.answer_offer(Some(OFFER.to_owned()), now);
            }
            if world.phone_told.contains(&LegEvent::Offer { sdp: Some(format!("{OFFER}a=x\r\n")) }) {
                world.phone().answer_offer(Some(ANSWER.to_owned()), now);
            }
        }
        let done = |told: &[LegEvent]| told.iter().filter(|event| matches!(event, LegEvent::Reinvited { .. })).count();
        assert_eq!((done(&world.leg_told), done(&world.phone_told)), (1, 1), "seed {seed}");
    }
}

#[test]
fn a_phone_that_dies_is_noticed_by_the_session_timer() {
    let mut world = TwoEnds::new(Network::GOOD);
    world.connects();
    world.network.loss_percent = 100;
    world.runs(200_000);
    assert_eq!(TwoEnds::overs(&world.leg_told), [&OverCause::PeerGone]);
    assert!(matches!(TwoEnds::overs(&world.phone_told)[..], [OverCause::SessionExpired]));
}
