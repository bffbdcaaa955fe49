//! What a minute would cost, beside what a message would do.

use ringback_common::event::LegName;
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_engine::admission::list_price;
use serde::Serialize;

use super::{Fail, World, print};

/// What a minute of each call costs, by rates and tariff.
#[derive(Serialize)]
pub struct Prices {
    price_a: Option<String>,
    price_b: Option<String>,
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
const NOT_LOOKED_AT: [&str; 3] = ["route", "countries of the account", "jobs that wait on the queue"];

impl Prices {
    /// Of A and B, where they are known.
    pub async fn of(world: &World, [a, b]: [&Option<String>; 2]) -> Result<Prices, Fail> {
        let (rates, tariff) = (world.store.rates().await?, &world.config.tariff);
        let price = |leg, number: &Option<String>| {
            let number = Number::e164(number.as_deref()?).ok()?;
            Some(list_price(&rates, tariff, leg, &number)?.per_minute.to_string())
        };
        let (price_a, price_b) = (price(LegName::A, a), price(LegName::B, b));
        Ok(Prices { price_a, price_b, not_looked_at: NOT_LOOKED_AT, currency: tariff.currency.clone() })
    }

    /// Says them; for a job also what nobody looked at.
    pub fn tell(&self, is_job: bool) {
        let shown = |price: &Option<String>| match price.as_deref().map(str::parse::<Money>) {
            Some(Ok(price)) => price.shown_price(&self.currency),
            _ => "none".to_owned(),
        };
        print::line(&format!("Price   a minute of A {}, of B {}", shown(&self.price_a), shown(&self.price_b)));
        if is_job {
            print::line(&format!("Not looked at: {}.", self.not_looked_at.join(", ")));
        }
    }
}
