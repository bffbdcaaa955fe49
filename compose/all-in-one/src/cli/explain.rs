//! `ringback explain`: how a message would be read and what would happen. Dials, books and counts nothing.

use std::io::BufRead;

use clap::{Args, Subcommand};
use ringback_common::intake::{Checks, Rules};
use ringback_trigger_sms::explain::{Explainer, Explanation};

use super::price::{Priced, Prices};
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
