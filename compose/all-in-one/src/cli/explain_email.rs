//! `ringback explain email`: how a mail would be read, whether it is believed, and what would happen.

use std::path::PathBuf;

use clap::Args;
use ringback_common::intake::{Checks, Rules};
use ringback_trigger_email::explain::{Explanation, one};
use ringback_trigger_email::mail::Envelope;
use ringback_trigger_email::{house, verifier};

use super::{Common, Fail, World, print};

/// The mail, and how it came.
#[derive(Args)]
pub struct EmailArgs {
    /// The mail as it came, header and all
    file: PathBuf,
    /// The envelope's sender; '' for the null sender of bounces
    #[arg(long, value_name = "ADDRESS")]
    mail_from: String,
    /// The envelope's recipient
    #[arg(long, value_name = "ADDRESS")]
    rcpt_to: String,
    /// Believe the Authentication-Results of this server instead of asking the name server
    #[arg(long, value_name = "ID")]
    authserv: Option<String>,
}

/// Explains one mail.
pub async fn email(common: &Common, args: EmailArgs) -> Result<(), Fail> {
    let raw = std::fs::read(&args.file)
        .map_err(|error| Fail::Usage(format!("{} cannot be read: {error}", args.file.display())))?;
    let world = World::open(common).await?;
    let key = world.key_to_look()?;
    let checks = Checks::new(world.store.clone(), key, Rules::from(&world.config));
    let settings = &world.config.email;
    let verifier = verifier(settings, args.authserv.as_deref()).map_err(|error| Fail::Refused(error.to_string()))?;
    let envelope = Envelope { mail_from: Some(bare(&args.mail_from)), rcpt_to: vec![bare(&args.rcpt_to)] };
    let explanation = one(&checks, &house(settings), &verifier, &raw, &envelope).await?;
    let prices = super::price::Prices::of(&world, [&explanation.a, &explanation.b]).await?;
    if common.json {
        print::json(&super::price::Priced { explanation: &explanation, prices: &prices });
    } else {
        tell(&explanation);
        prices.tell(explanation.outcome == "job");
    }
    Ok(())
}

/// `<a@b.c>` or `a@b.c`.
fn bare(address: &str) -> String {
    address.trim().trim_start_matches('<').trim_end_matches('>').to_owned()
}

fn tell(explanation: &Explanation) {
    let reason = explanation.reason.as_deref().unwrap_or_default();
    print::line(&match explanation.outcome {
        "job" => "It would be a job.".to_owned(),
        "ignore" => format!("It would be left alone: {reason}."),
        _ => format!("It would be refused: {reason}."),
    });
    print::line(&format!("A       {}", explanation.a.as_deref().unwrap_or("not known")));
    print::line(&format!("B       {}", explanation.b.as_deref().unwrap_or("not named")));
    match &explanation.message {
        Some(message) => print::line(&format!("Answer  {}", print::plain(message))),
        None if explanation.outcome == "reject" => print::line("Answer  none: the sender's address may be forged"),
        None => {}
    }
}
