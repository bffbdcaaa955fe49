//! Subjects, and bodies as their lines, to the reader of forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback_trigger_email::form;
use ringback_trigger_email::subject::read;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    if let Some(form) = read(&text) {
        assert!(form.suffix.len() == 7 && form.suffix.bytes().all(|b| b.is_ascii_digit()));
        assert!(form.b.as_ref().is_none_or(|b| !b.is_empty() && !b.contains('#')));
        let plain = form.b.as_ref().map_or_else(|| form.suffix.clone(), |b| format!("{}#{b}", form.suffix));
        assert!(read(&plain) == Some(form), "what was read is read as itself");
    }
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (subject, body) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let _ = form::read(subject, body);
    let _ = form::read("", &lines);
});
