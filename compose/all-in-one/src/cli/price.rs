//! What a minute would cost and who would carry it, beside what a message would do.

use ringback_common::event::LegName;
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_engine::admission::list_price;
use ringback_engine::routing::{Trunk, Trunks};
use serde::Serialize;

use super::{Fail, World, print};

/// What a minute of each call costs, by rates and tariff, and which trunks would carry it.
#[derive(Serialize)]
pub struct Prices {
    price_a: Option<String>,
    price_b: Option<String>,
    /// By their names, the one that is tried first first; none: the call would be refused.
    trunks_a: Vec<String>,
    trunks_b: Vec<String>,
    /// What nobody looked at.
    not_looked_at: [&'static str; 3],
    #[serde(skip)]
    currency: String,
}

/// An explanation with its prices.
#[derive(Serialize)]
pub struct Priced<'a, T> {
    #[serde(flatten)]
    pub explanation: &'a T,
    #[serde(flatten)]
    pub prices: &'a Prices,
}

/// The engine looks at these when the job comes; limits are looked at here by what the store knows, without what waits on the queue.
const NOT_LOOKED_AT: [&str; 3] =
    ["whether the trunks are there", "countries of the account", "jobs that wait on the queue"];

impl Prices {
    /// Of A and B, where they are known.
    pub async fn of(world: &World, [a, b]: [&Option<String>; 2]) -> Result<Prices, Fail> {
        let (rates, tariff) = (world.store.rates().await?, &world.config.tariff);
        let price = |leg, number: &Option<String>| {
            let number = Number::e164(number.as_deref()?).ok()?;
            Some(list_price(&rates, tariff, leg, &number)?.per_minute.to_string())
        };
        let (price_a, price_b) = (price(LegName::A, a), price(LegName::B, b));
        let trunks = trunks(world).await?;
        let carriers = |number: &Option<String>| {
            let number = number.as_deref().and_then(|number| number.parse::<Number>().ok());
            number.iter().flat_map(|number| trunks.carriers(number)).map(|trunk| trunk.name.clone()).collect()
        };
        let (trunks_a, trunks_b) = (carriers(a), carriers(b));
        let currency = tariff.currency.clone();
        Ok(Prices { price_a, price_b, trunks_a, trunks_b, not_looked_at: NOT_LOOKED_AT, currency })
    }

    /// Says them; for a job also what nobody looked at.
    pub fn tell(&self, is_job: bool) {
        let shown = |price: &Option<String>| match price.as_deref().map(str::parse::<Money>) {
            Some(Ok(price)) => price.shown_price(&self.currency),
            _ => "none".to_owned(),
        };
        print::line(&format!("Price   a minute of A {}, of B {}", shown(&self.price_a), shown(&self.price_b)));
        let names = |trunks: &[String]| if trunks.is_empty() { "none".to_owned() } else { trunks.join(", then ") };
        print::line(&format!("Trunks  for A {}; for B {}", names(&self.trunks_a), names(&self.trunks_b)));
        if is_job {
            print::line(&format!("Not looked at: {}.", self.not_looked_at.join(", ")));
        }
    }
}

/// The trunks that are switched on; nobody looks for their hosts.
async fn trunks(world: &World) -> Result<Trunks, Fail> {
    let enabled = world.store.trunks().await?.into_iter().filter(|trunk| trunk.enabled);
    let known = |trunk: ringback_common::store::Trunk| Trunk {
        host: trunk.host().to_owned(),
        address: None,
        credentials: None,
        name: trunk.name,
        prefixes: trunk.prefixes,
        priority: trunk.priority,
        cli: trunk.cli,
    };
    Ok(Trunks(enabled.map(known).collect()))
}
