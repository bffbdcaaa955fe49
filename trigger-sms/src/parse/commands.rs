//! Commands: `bal`, `rate NUMBER`, `last`, `re`, `x`, `REG name PIN`; and STOP, START and HELP, which are understood everywhere
//! because carriers demand it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use ringback_common::intake::{Ask, Payer};
use ringback_common::number::Dialling;

use super::verbs::{asks, price};
use super::{Act, Command, NotUnderstood, Read, Request, keyword};

/// The commands as they are told to those who ask for help.
pub const SHOWN: [&str; 8] = ["BAL", "RATE +4915112345678", "LAST", "RE", "X", "REG name PIN", "STOP", "START"];

/// The commands that one may turn off.
pub fn read(words: &[&str], from: &Dialling<'_>) -> Read {
    match words {
        [word] if keyword::is(word, &["bal", "balance", "saldo", "solde", "余额"]) => asks(Ask::Balance),
        [word] if keyword::is(word, &["last"]) => asks(Ask::LastCall),
        [word] if keyword::is(word, &["re", "redial"]) => asks(Ask::Redial),
        [word] if keyword::is(word, &["x"]) => acts(Command::Cancel),
        _ => match register(words) {
            Read::No => price(&["rate", "price", "tarifa", "tarif", "资费"], words, from),
            read => read,
        },
    }
}

/// AFR's: `b`, `l`, `re`, `x`, and prices by `i NUMBER` and `r NUMBER`.
pub fn afr(words: &[&str], from: &Dialling<'_>) -> Read {
    match words {
        [word] if keyword::is(word, &["b", "balance"]) => asks(Ask::Balance),
        [word] if keyword::is(word, &["l", "last"]) => asks(Ask::LastCall),
        [word] if keyword::is(word, &["re"]) => asks(Ask::Redial),
        [word] if keyword::is(word, &["x"]) => acts(Command::Cancel),
        _ => price(&["i", "inquiry", "r", "rate"], words, from),
    }
}

/// `REG PIN` and `REG name PIN`.
pub fn register(words: &[&str]) -> Read {
    let [word, rest @ ..] = words else { return Read::No };
    if !keyword::is(word, &["reg", "register"]) {
        return Read::No;
    }
    let (user, pin) = match rest {
        [] => return Read::Almost(NotUnderstood::TooFewWords),
        [pin] => (None, pin),
        [user, pin] => (Some((*user).to_owned()), pin),
        _ => return Read::Almost(NotUnderstood::TooManyWords),
    };
    acts(Command::Register { user, pin: (*pin).to_owned(), others: Vec::new() })
}

/// What ends all calls, letters and digits alone: the words of the FCC (47 CFR 64.1200(a)(10)) and of the CTIA, what people write
/// instead, and the same in other languages, divided by blanks.
const STOP: &str = "
    stop quit end revoke optout cancel unsubscribe stopall
    optmeout stopcalling stopcallingme donotcall donotcallme dontcall dontcallme unsubscribeme cancelall endall quitall remove
    removeme unsub
    arret arrêt arrêter désabonner désinscrire désinscription
    baja alto parar cancelar detener pare sair descadastrar
    stopp abmelden abbestellen ende afmelden stoppen avsluta
    basta annulla wypisz rezygnuję iptal dur
    стоп отписаться отписка отмена
    退订 取消 停止 td 配信停止 解除 수신거부
    إيقاف الغاء إلغاء توقف הסר עצור रोकें बंद";

/// STOP, START, HELP, with their usual synonyms, whatever is written around them.
pub fn everywhere(words: &[&str]) -> Read {
    let among = |wanted| keyword::says(words, wanted);
    match words {
        _ if among(STOP) => acts(Command::Stop),
        _ if among("start unstop alta") => acts(Command::Start),
        ["?"] => acts(Command::Help),
        _ if among("help info ayuda aide 帮助") => acts(Command::Help),
        _ => Read::No,
    }
}

fn acts(command: Command) -> Read {
    Read::Yes(Request { payer: Payer::sender(), act: Act::Do(command) })
}
