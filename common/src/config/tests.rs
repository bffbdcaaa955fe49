use std::time::Duration;

use super::*;

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::read(text, "ringback.toml", Path::new("/srv/ringback"), Role::AllInOne, environment)
}

#[test]
fn the_default_file_is_the_defaults() {
    let config = Config::defaults(Path::new("/srv/ringback"));
    assert_eq!(read(DEFAULT_FILE, &[]).unwrap(), config);
    assert_eq!(config.engine.no_answer, Duration::from_secs(45));
    assert_eq!(config.sip.listen.port(), 5060);
    assert_eq!(config.store.url, "sqlite:///srv/ringback/data/ringback.db");
    assert_eq!(config.data_folder(), Path::new("/srv/ringback/data"));
    for (folder, where_to) in [("", "/srv/ringback"), ("run", "/srv/ringback/run"), ("/var/lib/x", "/var/lib/x")] {
        let text = format!("[store]\nurl='postgres://u@h/d'\n[queue]\nurl='amqp://u@h'\n[service]\nfolder='{folder}'");
        assert_eq!(read(&text, &[]).unwrap().data_folder(), Path::new(where_to));
    }
    assert!(!config.engine.id.is_empty());
}

#[test]
fn every_key_of_the_default_file_has_a_sentence() {
    let mut commented = false;
    let mut above = "";
    for line in DEFAULT_FILE.lines() {
        if line.starts_with('#') {
            commented = true;
        } else if line.is_empty() || line.starts_with('[') {
            // The limits of an account and two halves of a pair share the sentence above them.
            commented = line == "[intake.limits]" || (commented && line.starts_with('['));
        } else {
            assert!(commented, "{above}\n{line} has no comment");
        }
        above = line;
    }
}

#[test]
fn an_engine_on_its_own_leaves_5060_to_others() {
    let engine = Config::read("", "x", Path::new("/"), Role::Engine, []).unwrap();
    assert_eq!(engine.sip.listen.port(), 5068);
    let told = Config::read("[sip]\nlisten = '127.0.0.1:5070'", "x", Path::new("/"), Role::Engine, []).unwrap();
    assert_eq!(told.sip.listen.port(), 5070);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = r#"
        [sip]
        lisen = "127.0.0.1:5060"
        session_expires = 20
        [engine]
        slots = "many"
        no_answer = -3
        [media]
        ports = "29999-20000"
        [tariff]
        a = "NaN"
        [colour]
        sky = "blue"
        [intake.limits]
        spend_per_account_per_day = 5
    "#;
    let wrong = read(text, &[("RINGBACK_WEB__LISTEN", "here"), ("RINGBACK_STORE__URL", "mysql://x")]).unwrap_err();
    let told = wrong.to_string();
    for (key, hint) in [
        ("[sip] lisen", "did you mean `listen`?"),
        ("[sip] session_expires", "90 to 300"),
        ("[engine] slots", "slots = 200"),
        ("[engine] no_answer", "no_answer = 45"),
        ("[media] ports", "20000-29999"),
        ("[tariff] a", "0.10"),
        ("[colour] sky", "known are store"),
        ("[intake.limits] spend_per_account_per_day", "20.00"),
        ("RINGBACK_WEB__LISTEN: [web] listen", "127.0.0.1:5060"),
        ("[store] url", "postgres://"),
    ] {
        let line =
            told.lines().find(|line| line.contains(&format!("{key}:"))).unwrap_or_else(|| panic!("{key} in\n{told}"));
        assert!(line.contains(hint), "{line} should say {hint}");
    }
}

#[test]
fn two_application_servers_have_no_secret_in_common() {
    let peers = |one: &str, two: &str, open: &str| {
        let peer =
            |name: &str, ip: &str, secret: &str| format!("[iif.peers.{name}]\nhost = '{ip}'\nsecret = '{secret}'\n");
        let text = format!("[iif]\naccount = 'alice'\nsecret = '{open}'\n");
        read(&(text + &peer("one", "192.0.2.1", one) + &peer("two", "192.0.2.2", two)), &[]).map(|_| ())
    };
    assert!(peers("a", "b", "c").is_ok() && peers("", "", "").is_ok());
    for (settings, told) in
        [(peers("a", "a", ""), "the same as one"), (peers("a", "b", "b"), "the same as [iif] secret")]
    {
        let told_us = settings.unwrap_err().to_string();
        assert!(told_us.contains("[iif.peers.two] secret: ") && told_us.contains(told), "{told_us}");
    }
}

#[test]
fn a_trunk_whose_clds_are_of_the_form_is_one_whose_calls_are_taken() {
    let told =
        |ani: &str| read(&format!("[ani]\n{ani}"), &[]).map(|config| config.ani.cld_form).map_err(|e| e.to_string());
    assert_eq!(told(""), Ok(vec![]), "nobody's");
    assert_eq!(told("cld_form = ['switch']"), Ok(vec!["switch".to_owned()]));
    assert_eq!(told("trunks = ['carrier', 'switch']\ncld_form = ['switch']"), Ok(vec!["switch".to_owned()]));
    for (ani, says) in [
        ("trunks = ['carrier']\ncld_form = ['switch']", "[ani] cld_form: \"switch\" is none of [ani] trunks"),
        ("cld_form = ['']", "[ani] cld_form: has an empty name"),
        ("trunks = [' ']", "[ani] trunks: has an empty name"),
        ("cld_form = 'switch'", "[ani] cld_form"),
    ] {
        let told = told(ani).unwrap_err();
        assert!(told.contains(says), "{ani} should say {says}: {told}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_one_mistake_with_its_line() {
    let wrong = read("[sip\nlisten=1", &[]).unwrap_err();
    assert_eq!(wrong.0.len(), 1);
    assert!(wrong.to_string().contains("line 1"), "{wrong}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "[engine]\nslots = 7\n[sms.generic]\nsecret = 'from the file'";
    let environment = [
        ("RINGBACK_ENGINE__SLOTS", "9"),
        ("RINGBACK_SMS__GENERIC__SECRET", "12345"),
        ("RINGBACK_CONFIG", "x"),
        ("HOME", "y"),
    ];
    let config = read(text, &environment).unwrap();
    assert_eq!(config.engine.slots, 9);
    assert_eq!(config.sms.generic.secret.reveal(), "12345", "a secret of digits stays a text");
    let lists = read("", &[("RINGBACK_NUMBERS__EXTENSIONS", r#"["100", "801"]"#)]).unwrap();
    assert_eq!(lists.numbers.extensions, ["100", "801"]);
}

#[test]
fn sockets_that_would_meet_are_found() {
    let text = "[sms]\nlisten='127.0.0.1:8080'\n[service]\nlisten='0.0.0.0:8080'\n[sip]\nlisten='127.0.0.1:20002'";
    let told = read(text, &[]).unwrap_err().to_string();
    assert_eq!(told.matches("8080 is taken by").count(), 3, "{told}");
    assert!(told.contains("contains the port of [sip] listen"), "{told}");
}

#[test]
fn loopback_only_things_refuse_the_world() {
    let text = "[web]\nlisten='0.0.0.0:8080'\naccount='demo'\n[sms]\nlisten='0.0.0.0:8081'\n[sms.generic]\nallow_unsigned=true";
    let told = read(text, &[]).unwrap_err().to_string();
    assert!(told.contains("[web] listen"), "{told}");
    assert!(told.contains("[sms.generic] allow_unsigned"), "{told}");
}

#[test]
fn secrets_come_from_files_and_never_out_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sms.secret"), "correct horse\n").unwrap();
    let text = "[sms.generic]\nsecret_file = 'sms.secret'\n[queue]\nurl='amqp://u:hunter2@h/v,amqp://u:hunter2@i/v'\n[store]\nurl='postgres://u:hunter2@h/d'";
    let config = Config::read(text, "x", folder.path(), Role::AllInOne, []).unwrap();
    assert_eq!(config.sms.generic.secret.reveal(), "correct horse");
    let printed = format!("{config:?}");
    assert!(!printed.contains("correct horse") && !printed.contains("hunter2"), "{printed}");
    let twice = "[sms.generic]\nsecret_file = 'sms.secret'\nsecret = 'x'\n[sms.twilio]\nauth_token_file = 'missing'";
    let told = Config::read(twice, "x", folder.path(), Role::AllInOne, []).unwrap_err().to_string();
    assert!(told.contains("given twice") && told.contains("cannot be read"), "{told}");
}

#[test]
fn passwords_of_store_and_queue_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "hunter2 @/:\n").unwrap();
    let read = |url: &str, queue: &str| {
        let text =
            format!("[store]\nurl='{url}'\npassword_file='password'\n[queue]\nurl='{queue}'\npassword_file='password'");
        Config::read(&text, "x", folder.path(), Role::AllInOne, [])
    };
    let config = read("postgres://u@h:5432/d", "amqp://u@h:5672/v, amqp://u@i/v").unwrap();
    assert_eq!(config.store.url, "postgres://u:hunter2%20%40%2F%3A@h:5432/d");
    assert_eq!(config.queue.url, "amqp://u:hunter2%20%40%2F%3A@h:5672/v,amqp://u:hunter2%20%40%2F%3A@i/v");
    assert!(!format!("{config:?}").contains("hunter2"));
    let told = read("postgres://u:x@h/d", "amqp://h").unwrap_err().to_string();
    assert!(told.contains("[store] password_file: the password is given twice"), "{told}");
    assert!(told.contains("[queue] password_file: the password belongs to nobody"), "{told}");
    std::fs::write(folder.path().join("password"), "\n").unwrap();
    assert!(read("postgres://u@h/d", "amqp://u@h").unwrap_err().to_string().contains("the file is empty"));
}

#[test]
fn an_account_has_limits_of_its_own() {
    let limits = Config::defaults(Path::new("/")).intake.limits;
    let (key, value) = limits.read_override("spend_per_account_per_day=50.00").unwrap();
    let own = std::collections::BTreeMap::from([
        (key, value),
        limits.read_override("jobs_per_account_per_hour = 40").unwrap(),
    ]);
    let raised = limits.overridden(&own).unwrap();
    assert_eq!(raised.spend_per_account_per_day, "50.00".parse().unwrap());
    assert_eq!(raised.jobs_per_account_per_hour, 40);
    assert_eq!(raised.max_call_seconds, limits.max_call_seconds);
    assert_eq!(limits.read_override("jobs_per_account_per_hour"), Err(LimitError::Form));
    assert!(matches!(limits.read_override("jobs=1"), Err(LimitError::Unknown(..))));
    for bad in [
        "jobs_per_account_per_hour=-1",
        "jobs_per_account_per_hour=many",
        "spend_per_account_per_day=NaN",
        "spend_per_account_per_day=-1",
    ] {
        assert!(matches!(limits.read_override(bad), Err(LimitError::Value(..))), "{bad}");
    }
}

#[test]
fn the_interface_for_application_servers_is_set_up_as_its_makers_say() {
    let iif = Config::defaults(Path::new("/srv/ringback")).iif;
    assert_eq!(iif.listen, "127.0.0.1:5080".parse().unwrap());
    assert_eq!(iif.application_server, ServerAddress::One([127, 0, 0, 1].into()));
    assert_eq!((iif.default_caller.clone(), iif.dialect, iif.strict), (None, Dialect::V2, false));
    assert_eq!((iif.ack_lead, iif.response_repeats), (Duration::from_millis(200), 0));
    assert!(!iif.configured() && iif.warnings().is_empty(), "nobody pays: off, and nothing to say");
    let peer = "[iif]\naccount = 'a'\n[iif.peers.one]\nhost = '192.0.2.1'\nport = 4000\nsecret = 'x'\ndialect = 'v1'";
    let told = read(peer, &[("RINGBACK_IIF__PEERS__ONE__PORT", "4001")]).unwrap().iif.peers["one"].clone();
    assert_eq!((told.host, told.port, told.dialect), (Some([192, 0, 2, 1].into()), 4001, Some(Dialect::V1)));
    assert!(!format!("{told:?}").contains('x'), "secrets are masked: {told:?}");
    let twice = "[iif]\naccount = 'a'\n[iif.peers.one]\nhost = '192.0.2.1'\n[iif.peers.two]\nhost = '192.0.2.1'";
    assert!(read(twice, &[]).is_err_and(|errors| errors.to_string().contains("is one's already")));
    let named = "[iif]\naccount = 'a'\n[iif.peers.'The First']\nhost = '192.0.2.1'";
    let errors = read(named, &[]).unwrap_err().to_string();
    assert!(errors.contains("lower-case letters"), "{errors}");
    for (text, says) in [
        ("response_repeats = 11", "0 to 10"),
        ("response_interval = 0", "1 to 60"),
        ("ack_lead = 5001", "0 to 5000"),
        ("application_server = 'example.net'", "no IP address"),
        ("dialect = 'v3'", "v3"),
    ] {
        let errors = read(&format!("[iif]\n{text}"), &[]).unwrap_err().to_string();
        assert!(errors.contains(says), "{text}: {errors}");
    }
}
