//! docs/adding-a-trigger.md is true: a folder like docs/trigger-template is a whole trigger, and the engine needs nothing for it.

use std::process::Command;

use ringback_tests::clock;
use ringback_tests::phone::Manner;
use ringback_tests::process::Process;
use ringback_tests::site::{Part, binary};
use ringback_tests::story::{A, B, SOON, Story, millis, secs};

#[test]
fn the_template_beside_a_running_gateway_makes_a_call_and_hears_how_it_went() {
    let (site, phones) =
        Story::stage(Manner::answers(millis(200)), Manner::answers(millis(200)).hangs_up_after(secs(1)), |_| {});
    let _engine = site.start(Part::OnlyEngine);
    let mut command = Command::new(binary("ringback-trigger-template"));
    command.arg("--config").arg(site.path("ringback.toml")).current_dir(site.folder());
    command.env("RINGBACK_STORE__URL", format!("sqlite://{}", site.path("data/ringback.db").display()));
    command.env("RINGBACK_QUEUE__URL", format!("sqlite://{}", site.path("data/ringback.db").display()));
    command.env("RINGBACK_SERVICE__LISTEN", site.at(9099).to_string());
    let trigger = Process::start("template", command, &site.path("template.log")).expect("it is built");
    let drop = site.path("drop");
    clock::wait_for("the folder to be made", SOON, || drop.is_dir().then_some(()));

    std::fs::write(drop.join("one.ask"), format!("alice {A} {B}\n")).expect("the folder is ours");
    std::fs::write(drop.join("two.ask"), "nobody +442071838750 +442071838751").expect("the folder is ours");
    let said = |name: &str| {
        let file = drop.join(format!("{name}.answer"));
        clock::wait_for(name, secs(30), || std::fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n')))
    };
    assert!(said("two").contains("no such account"), "{}", trigger.tail(20));
    phones.wait_call(B, "talks and hangs up", secs(30), |call| call.ended_us.is_some());
    assert!(said("one").starts_with("Your call lasted"), "{}", said("one"));
    assert!(drop.join("one.taken").exists() && !drop.join("one.ask").exists());
    assert_eq!(phones.calls_to(A).len(), 1);
    site.wait_idle(1, SOON);
}

/// What the page tells to write in the all-in-one is what stands there for the triggers it has.
#[test]
fn the_all_in_one_has_one_line_a_trigger() {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |name: &str| std::fs::read_to_string(repository.join(name)).expect(name);
    let lines = read("compose/all-in-one/src/run.rs");
    for (name, section) in [("sms", "sms"), ("email", "email"), ("web", "web"), ("ani", "ani"), ("iif", "iif")] {
        let line = format!("trigger!(\"{name}\", ringback_trigger_{name}, {section}, ");
        assert_eq!(lines.matches(&line).count(), 1, "{line}");
    }
    assert!(read("docs/adding-a-trigger.md").contains("trigger!(\"fax\", ringback_trigger_fax, fax, "));
    for (engine, _) in [("engine/src/run.rs", ()), ("engine/Cargo.toml", ())] {
        assert!(!read(engine).contains("trigger"), "{engine} knows no trigger");
    }
}
