//! Jobs and their envelope, as the queue hands them over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringback_common::event::Envelope;
use ringback_common::job::Job;

fuzz_target!(|body: &[u8]| {
    if let Ok(envelope) = serde_json::from_slice::<Envelope<Job>>(body) {
        check(&envelope.data);
        let text = serde_json::to_vec(&envelope).expect("an envelope that was read can be written");
        serde_json::from_slice::<Envelope<Job>>(&text).expect("and read again");
    }
    if let Ok(job) = serde_json::from_slice::<Job>(body) {
        check(&job);
    }
});

/// What was read is dialable, is masked when printed, and says the same when it is written and read again.
fn check(job: &Job) {
    for number in std::iter::once(&job.a).chain(&job.b) {
        assert!(number.is_extension() || number.digits().len() >= 7);
        assert!(number.is_extension() || !format!("{number:?}").contains(number.digits()));
    }
    let text = serde_json::to_vec(job).expect("a job that was read can be written");
    let again: Job = serde_json::from_slice(&text).expect("and read again");
    assert_eq!((&again.id, &again.a, &again.b, again.not_after), (&job.id, &job.a, &job.b, job.not_after));
}
