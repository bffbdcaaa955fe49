//! `ringback explain`: how a message would be read and what would happen. Dials, books and counts nothing.

use std::io::BufRead;

use clap::{Args, Subcommand};
use ringback_common::event::LegName;
use ringback_common::intake::{Checks, Rules};
use ringback_common::money::Money;
use ringback_common::number::Number;
use ringback_engine::admission::list_price;
use ringback_engine::routing::{Trunk, Trunks};
use ringback_trigger_sms::explain::{Explainer, Explanation};
use serde::Serialize;

use super::{Common, Fail, World, print};

/// `ringback explain ...`
#[derive(Subcommand)]
pub enum ExplainCommand {
    /// A text message
    Sms(SmsArgs),
    /// A mail
    Email(super::explain_email::EmailArgs),
    /// A missed call
    Ani(super::explain_ani::AniArgs),
    /// A message of an application server
    Iif(super::explain_iif::IifArgs),
}

/// The text.
#[derive(Args)]
pub struct SmsArgs {
    /// Who sends it
    #[arg(long, value_name = "+NUMBER", required_unless_present = "batch")]
    from: Option<String>,
    /// The number it is sent to, if `[[sms.shortcode]]` says what may be written there
    #[arg(long, value_name = "NUMBER", default_value = "")]
    short_code: String,
    /// Its words, as in: 'alice 1234 +442071838750 +4930123456'
    #[arg(required_unless_present = "batch", allow_hyphen_values = true)]
    text: Option<String>,
    /// Read JSON lines {"id","sender","to","text"} (or "raw_hex","data_coding","udh_hex") from standard input, answer one JSON
    /// line each
    #[arg(long, conflicts_with_all = ["from", "text"])]
    batch: bool,
}

/// Explains one text or a batch of them.
pub async fn sms(common: &Common, args: SmsArgs) -> Result<(), Fail> {
    let world = World::open(common).await?;
    let key = world.key_to_look()?;
    let checks = Checks::new(world.store.clone(), key, Rules::from(&world.config));
    let explainer = Explainer::new(checks, &world.config.sms.shortcode).map_err(Fail::Refused)?;
    if args.batch {
        return batch(explainer).await;
    }
    let (from, text) = (args.from.unwrap_or_default(), args.text.unwrap_or_default());
    let explanation = explainer.one(&from, &args.short_code, &text).await?;
    let prices = Prices::of(&world, [&explanation.a, &explanation.b]).await?;
    if common.json {
        print::json(&Priced { explanation: &explanation, prices: &prices });
    } else {
        tell(&explanation);
        prices.tell(explanation.outcome == "job");
    }
    Ok(())
}

async fn batch(mut explainer: Explainer) -> Result<(), Fail> {
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Fail::Usage(format!("standard input cannot be read: {error}")))?;
        let line = String::from_utf8_lossy(&line);
        if !line.trim().is_empty() {
            print::line(&explainer.batch_line(line.trim()).await?);
        }
    }
    Ok(())
}

fn tell(explanation: &Explanation) {
    let read = |number: &Option<String>, rule: Option<&str>| match (number, rule) {
        (Some(number), Some(rule)) => format!("{number} (read by the rule {rule})"),
        (Some(number), None) => number.clone(),
        (None, _) => "none".to_owned(),
    };
    let reason = explanation.reason.as_deref().unwrap_or_default();
    print::line(&match explanation.outcome {
        "job" => "It would be a job.".to_owned(),
        "ignore" => format!("There would be no job: {reason}."),
        _ => format!("It would be refused: {reason}."),
    });
    print::line(&format!("A       {}", read(&explanation.a, explanation.a_rule)));
    print::line(&format!("B       {}", read(&explanation.b, explanation.b_rule)));
    if let Some(message) = &explanation.message {
        print::line(&format!("Answer  {}", print::plain(message)));
    }
}

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
