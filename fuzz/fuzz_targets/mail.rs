//! Mails to the reader, to the judge, and to the readers of what vouches for them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringback_trigger_email::authres;
use ringback_trigger_email::fields::Fields;
use ringback_trigger_email::form::Form;
use ringback_trigger_email::mail::{Envelope, House, Mail};
use ringback_trigger_email::signature::Signature;
use ringback_trigger_email::trust::{judge, told};

static HOUSE: LazyLock<House> = LazyLock::new(|| House {
    recipients: vec!["call".to_owned()],
    max_size: 64 * 1024,
    own: Some("gateway@gw.test".to_owned()),
    domain: Some("gw.test".to_owned()),
});

fuzz_target!(|input: &[u8]| {
    let envelope = Envelope { mail_from: Some("a@b.example".to_owned()), rcpt_to: vec!["call@gw.test".to_owned()] };
    let _ = Mail::read(input, None, &HOUSE);
    let fields = Fields::read(input);
    let _ = Signature::all(&fields);
    let _ = authres::told_by("mx.gw.test", &fields, "b.example");
    let Ok(mail) = Mail::read(input, Some(&envelope), &HOUSE) else { return };
    assert!(mail.from.contains('@') && mail.fields.count("from") == 1);
    assert!(!mail.from.chars().any(|c| c.is_control() || c.is_whitespace()));
    for id in mail.references(300).iter().chain(mail.own_id().iter()) {
        assert!(id.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>'));
    }
    let _ = (mail.identity(), mail.written(), mail.languages());
    if let Ok(Form::Secret(form)) = &mail.form {
        assert!(!form.user.is_empty() && !form.secret.is_empty() && form.secret.chars().count() <= 64);
    }
    let evidence = authres::told_by("mx.gw.test", &mail.fields, mail.from_domain()).map(|results| told(&results, &mail.fields));
    let trust = judge(&mail.fields, mail.from_domain(), mail.meant, evidence.as_ref());
    if trust.vouched.is_ok() {
        assert!(mail.fields.sound && mail.fields.count("subject") <= 1 && mail.fields.count("to") <= 1);
        assert!(mail.meant.by_to || mail.meant.by_envelope);
        assert!(evidence.is_some_and(|evidence| !evidence.dmarc_failed));
    }
});
