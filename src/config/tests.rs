//! Stories of configurations: what wins, what is refused and how it is told, what is printed.

use super::complaint::{COMPLAINTS_MAX, Complaint, Mistake};
use super::keys::{KEYS, SECTIONS};
use super::listener_keys::LISTENER_KEYS;
use super::print::example;
use super::setting::Setting;
use super::*;
use crate::base::random::Random;

const EXAMPLE_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/pregon.toml");

/// Runs of the test with mutated texts.
const MUTATIONS: u64 = 6_000;

pub(super) fn file(text: &str) -> Source {
    Source::file("pregon.toml", text)
}

pub(super) fn loaded(sources: Vec<Source>) -> Checked {
    load(sources).unwrap_or_else(|complaints| panic!("{complaints}"))
}

/// The complaints about these sources, one a line.
pub(super) fn complaints(sources: Vec<Source>) -> Vec<String> {
    let complaints = load(sources).expect_err("something is wrong with it");
    complaints.iter().map(Complaint::to_string).collect()
}

/// The complaints about a file, without its name.
pub(super) fn about(text: &str) -> Vec<String> {
    complaints(vec![file(text)]).iter().map(|line| line.replacen("pregon.toml:", "", 1)).collect()
}

/// Where the value of this path came from.
pub(super) fn place(checked: &Checked, path: &str) -> String {
    let setting = Setting::all(checked.config()).find(|setting| setting.path(checked.config()) == path);
    checked.place(setting.unwrap()).to_string()
}

/// What `log.level` takes, in words.
const LEVELS_ALLOWED: &str = "error, warn, info, debug or trace; and behind commas area=level, where an area is cli, ops or shell or what lies in it";

#[test]
fn without_sources_there_are_the_defaults() {
    let checked = loaded(Vec::new());
    assert_eq!(*checked.config(), Config::default());
    assert!(checked.to_string().lines().all(|line| line.ends_with("  default")));
}

#[test]
fn the_example_is_what_the_table_writes() {
    if std::env::var("PREGON_WRITE_EXAMPLE").is_ok() {
        std::fs::write(EXAMPLE_PATH, example()).unwrap();
    }
    let text = std::fs::read_to_string(EXAMPLE_PATH).unwrap();
    assert!(text == example(), "PREGON_WRITE_EXAMPLE=1 cargo test --lib config:: writes {EXAMPLE_PATH} anew");
}

#[test]
fn the_example_says_every_default() {
    let checked = loaded(vec![file(&std::fs::read_to_string(EXAMPLE_PATH).unwrap())]);
    assert_eq!(*checked.config(), Config::default());
    for (at, key) in KEYS.iter().enumerate() {
        assert!(
            matches!(checked.place(Setting::Key(at)).origin, Origin::File(_)),
            "{} is not in the example",
            key.path()
        );
    }
}

#[test]
fn each_source_wins_over_the_one_below() {
    let mut sources = vec![
        Source::flag("--listen", "listeners.tcp", "127.0.0.1:6"),
        Source::set("listeners.tcp=127.0.0.1:4"),
        Source::set("listeners.tcp=127.0.0.1:5"),
        Source::environment("PREGON_LISTENERS__TCP", "127.0.0.1:3"),
        Source::drop_in("conf.d/20-b.toml", "listeners.tcp = [\"127.0.0.1:2\"]"),
        Source::drop_in("conf.d/10-a.toml", "[listeners]\nbacklog = 7\ntcp = [\"127.0.0.1:1\"]"),
        file("[listeners]\ntcp = [\"127.0.0.1:7\"]\nbacklog = 9\ntcp_nodelay = false"),
    ];
    let origins = ["--listen", "--set", "--set", "PREGON_LISTENERS__TCP", "conf.d/20-b.toml:1", "conf.d/10-a.toml:3"];
    for (port, origin) in [6, 5, 4, 3, 2, 1].into_iter().zip(origins) {
        let checked = loaded(sources.clone());
        assert_eq!(checked.config().listeners.tcp, [SocketAddr::from((Ipv4Addr::LOCALHOST, port))]);
        assert_eq!(place(&checked, "listeners.tcp"), origin);
        // Of the two `--set` the last one goes first.
        sources.remove(usize::from(port == 5));
    }
}

#[test]
fn files_leave_alone_what_they_do_not_name() {
    let drop_in = Source::drop_in("conf.d/10-a.toml", "listeners.backlog = 7");
    let checked = loaded(vec![drop_in, file("[listeners]\nbacklog = 9\ntcp_nodelay = false")]);
    let wanted = Listeners { backlog: 7, tcp_nodelay: false, ..Listeners::default() };
    assert_eq!(checked.config().listeners, wanted);
    assert_eq!(place(&checked, "listeners.tcp_nodelay"), "pregon.toml:3");
    assert_eq!(place(&checked, "listeners.tcp"), "default");
}

#[test]
fn every_kind_is_read_from_a_file() {
    let config = loaded(vec![file(
        "runtime.cores = [2, 3, 0x6, 7]\n\
         runtime.shards = \"auto\"\n\
         runtime.driver = \"plain\"\n\
         turn.time_max = \"1ms500us\"\n\
         listeners.tcp = \"0.0.0.0:1, [::1]:2\"\n\
         limits.keep_alive_max = \"1h30m\"\n\
         limits.session_expiry_max = \"never\"\n\
         limits.byte_rate = \"64KiB\"\n\
         limits.sessions_max = 1_000\n\
         limits.maximum_qos = 1\n\
         limits.response_prefix = \"réponses/\"\n\
         auth.anonymous = \"yes\"\n\
         auth.password_file = \"/etc/pregon/users\"\n\
         storage.data_dir = \"/srv/größe\"\n\
         storage.durability = \"interval\"\n\
         admin.listen = \"off\"\n\
         log.level = \"info,shell::events=debug\"\n",
    )])
    .into_config();
    assert_eq!(config.runtime.cores, Cores::List(vec![2, 3, 6, 7]));
    assert_eq!((config.runtime.shards, config.runtime.driver), (None, Driver::Plain));
    assert_eq!(config.turn.time_us_max, 1_500);
    assert_eq!(config.listeners.tcp, ["0.0.0.0:1", "[::1]:2"].map(|address| address.parse().unwrap()));
    assert_eq!((config.limits.keep_alive_max_s, config.limits.session_expiry_max_s), (5_400, u32::MAX));
    assert_eq!((config.limits.byte_rate, config.limits.sessions_max), (65_536, 1_000));
    assert_eq!(config.limits.response_prefix.as_deref(), Some("réponses/"));
    assert_eq!(config.storage.data_dir.to_str(), Some("/srv/größe"));
    assert_eq!(config.storage.durability, Durability::Interval);
    assert_eq!((config.admin.listen, config.log.level.to_string().as_str()), (None, "info,shell::events=debug"));
}

#[test]
fn every_key_has_a_variable_and_an_assignment() {
    for key in KEYS {
        let written = key.written(&Config::default()).replace('"', "");
        let sources = vec![Source::environment(&key.variable(), written.as_str())];
        let checked = loaded(sources);
        assert_eq!((checked.config(), place(&checked, &key.path())), (&Config::default(), key.variable()));
        let checked = loaded(vec![Source::set(format!("{} = {written}", key.path()))]);
        assert_eq!((checked.config(), place(&checked, &key.path())), (&Config::default(), "--set".to_owned()));
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let sources = vec![
        Source::set("limits.inflight_max=0"),
        Source::environment("PREGON_LOG__LEVEL", "loud"),
        Source::drop_in("conf.d/10-a.toml", "[limits]\nqueue_polici = \"refuse-new\""),
        file("[limit]\na = 1\n\n[listeners]\n  backlog = \"many\"\n  tcp = [\"127.0.0.1:1\", \"localhost:2\", 3]\n"),
    ];
    let addresses =
        "allowed: a list of addresses such as [\"0.0.0.0:1883\", \"[::1]:1883\"], at 1883 where no port is said";
    let wanted = [
        "pregon.toml:1:2: limit: there is no section of this name; did you mean limits?".to_owned(),
        "pregon.toml:5:13: listeners.backlog: text does not belong here; allowed: 1 to 1_000_000".to_owned(),
        format!(
            "pregon.toml:6:25: listeners.tcp: \"localhost:2\" is not an address and a port; \"127.0.0.1:2\" is one; {addresses}"
        ),
        format!("pregon.toml:6:40: listeners.tcp: a number does not belong here; {addresses}"),
        "conf.d/10-a.toml:2:1: limits.queue_polici: there is no such key; did you mean limits.queue_policy?".to_owned(),
        format!("PREGON_LOG__LEVEL: log.level: the log has no level \"loud\"; allowed: {LEVELS_ALLOWED}"),
        "--set: limits.inflight_max: 0 is out of bounds; allowed: 1 to 65_535".to_owned(),
    ];
    assert_eq!(complaints(sources), wanted);
}

#[test]
fn a_wrong_value_says_what_is_allowed() {
    for (line, wanted) in [
        (
            "limits.byte_rate = 64",
            "a number without a unit does not belong here; allowed: \"1KiB\" to \"2GiB\", or \"unlimited\"",
        ),
        (
            "limits.byte_rate = \"64KB\"",
            "`KB` is not a unit: B, KiB, MiB, GiB, TiB; allowed: \"1KiB\" to \"2GiB\", or \"unlimited\"",
        ),
        ("limits.byte_rate = \"0B\"", "0B is out of bounds; allowed: \"1KiB\" to \"2GiB\", or \"unlimited\""),
        (
            "limits.connect_timeout = \"10\"",
            "10 of what? A unit is missing: us, ms, s, m, h, d; allowed: \"100ms\" to \"1h\"",
        ),
        ("limits.connect_timeout = \"2h\"", "2h is out of bounds; allowed: \"100ms\" to \"1h\""),
        ("limits.maximum_qos = 3", "3 is out of bounds; allowed: 0 to 2"),
        ("limits.maximum_qos = -1", "-1 is out of bounds; allowed: 0 to 2"),
        ("limits.maximum_qos = \"2\"", "text does not belong here; allowed: 0 to 2"),
        ("limits.maximum_qos = 2.0", "a number with a fraction does not belong here; allowed: 0 to 2"),
        (
            "limits.sessions_max = 0xffffffffffffffffffff",
            "the number is larger than any that fits; allowed: 1 to 1_000_000_000",
        ),
        ("limits.queue_qos0 = \"true\"", "text does not belong here; allowed: true or false"),
        ("limits.queue_qos0 = 1", "a number does not belong here; allowed: true or false"),
        (
            "limits.overlap = \"Merged\"",
            "\"Merged\" is not one of the words known here; allowed: \"merged\" or \"separate\"",
        ),
        ("limits.overlap = [\"merged\"]", "a list does not belong here; allowed: \"merged\" or \"separate\""),
        ("limits.overlap = {}", "a table does not belong here; allowed: \"merged\" or \"separate\""),
        ("limits.overlap = 2026-11-21", "a date does not belong here; allowed: \"merged\" or \"separate\""),
    ] {
        let [complaint] = &about(line)[..] else { panic!("one complaint about {line}") };
        let (_, told) = complaint.split_once(": ").and_then(|(_, rest)| rest.split_once(": ")).unwrap();
        assert_eq!(told, wanted, "{line}");
    }
}

#[test]
fn values_of_the_other_kinds_have_their_own_mistakes() {
    let mistake = |assignment: &str| {
        let complaints = load(vec![Source::set(assignment)]).unwrap_err();
        complaints.iter().next().unwrap().mistake.clone()
    };
    assert_eq!(mistake("runtime.cores="), Mistake::ListEmpty);
    assert_eq!(mistake("runtime.cores=2,2"), Mistake::CoreTwice { core: 2 });
    assert_eq!(mistake("log.level=info,debug"), Mistake::LevelTwice("everything".into()));
    assert_eq!(mistake("log.level="), Mistake::LevelUnknown { level: "".into(), instead: None });
    assert_eq!(mistake("limits.response_prefix=a/#"), Mistake::TopicInvalid("a/#".into()));
    assert_eq!(mistake("limits.response_prefix=$SYS/"), Mistake::TopicInvalid("$SYS/".into()));
    assert_eq!(mistake("storage.data_dir="), Mistake::PathInvalid("".into()));
    assert_eq!(mistake("storage.data_dir=a\0b"), Mistake::PathInvalid("a\\0b".into()));
    assert_eq!(mistake("storage.durability=never"), Mistake::WordUnknown("never".into()));
    assert_eq!(mistake("limits.queue_qos0=yes"), Mistake::WordUnknown("yes".into()));
    assert_eq!(mistake("limits.queue_qos0"), Mistake::NotAnAssignment("limits.queue_qos0".into()));
    assert_eq!(mistake("queue_qos0=true"), Mistake::KeyUnknown);
    assert!(load(vec![Source::set("limits.response_prefix=")]).is_ok());
}

#[test]
fn an_area_of_the_log_that_is_none_is_pointed_at() {
    let told = |at: &str, what: &str| [format!("{at}: log.level: the log has no {what}; allowed: {LEVELS_ALLOWED}")];
    let area = "area \"shel\"; \"shell\" is one";
    assert_eq!(about("[log]\nlevel = \"info,shel=debug\""), told("2:15", area));
    assert_eq!(about("[log]\nlevel = \"info,\\u0073hel=debug\""), told("2:9", area));
    assert_eq!(about("[log]\nlevel = \"shell=inof\""), told("2:10", "level \"inof\"; \"info\" is one"));
}

#[test]
fn a_name_that_is_none_leads_to_the_one_that_was_meant() {
    let key = |name: &str, meant: &str| format!("{name}: there is no such key; did you mean {meant}?");
    assert_eq!(
        about("packet_bytes_max = 1"),
        ["1:1: ".to_owned() + &key("packet_bytes_max", "limits.packet_bytes_max")]
    );
    assert_eq!(about("[turn]\nbacklog = 1"), ["2:1: ".to_owned() + &key("turn.backlog", "listeners.backlog")]);
    assert_eq!(about("[persistence]\nx = 1"), ["1:2: persistence: there is no section of this name"]);
    let once = "a list stands here; allowed: [listeners] once, and its keys below";
    assert_eq!(about("[[listeners]]"), [format!("1:3: listeners: the name of a section, but {once}")]);
    let variable = complaints(vec![Source::environment("PREGON_LISTENERS_TCP", "127.0.0.1:1")]);
    assert_eq!(variable, ["PREGON_LISTENERS_TCP: there is no such key; did you mean PREGON_LISTENERS__TCP?"]);
    assert!(load(vec![Source::environment("PREGON_PORT_1883_TCP_ADDR", "10.0.0.1")]).is_ok());
}

#[test]
fn broken_syntax_has_its_line_and_column_and_hides_no_other_mistake() {
    assert_eq!(
        about("[limits]\nbyte_rate = 64KiB\n"),
        ["2:13: no TOML: string values must be quoted, expected literal string"]
    );
    assert_eq!(about("[log]\nlevel = \"info\"\nlevel = \"warn\"\n"), ["3:1: no TOML: duplicate key"]);
    assert_eq!(about("[limits]\nbyte_rate = 64KB\n").len(), 1, "a broken line says nothing else");
    assert_eq!(about("[limits\nmaximum_qos = 2\n").len(), 1, "a lost header makes no key unknown");
    let both = about("[limits]\nbyte_rate = 64KiB\nmaximum_qos = 3\n[turn\ninputs_max = 1\n");
    let told: Vec<&str> = both.iter().map(|line| &line[..line.find(": ").unwrap()]).collect();
    assert_eq!(told, ["2:13", "3:15", "4:6"], "{both:?}");
}

#[test]
fn bytes_that_are_no_text_are_told_with_their_place() {
    let bytes = |text: &[u8]| complaints(vec![Source::file("a.toml", text)]);
    assert_eq!(bytes(b"[log]\nlevel = \"\xff\""), ["a.toml:2:10: this is not UTF-8"]);
    assert_eq!(complaints(vec![Source::environment("PREGON_X__Y", *b"\xff")]), ["PREGON_X__Y: this is not UTF-8"]);
    let long = vec![b'#'; load::TEXT_BYTES_MAX + 1];
    assert_eq!(bytes(&long), ["a.toml: there are more than the 262144 bytes that a configuration may have"]);
    assert_eq!(complaints(vec![Source::file("a\n\u{1b}.toml", "x")]).len(), 1);
    assert!(load(vec![Source::file("a.toml", "\u{feff}[log]\r\nlevel = \"warn\"\r\n")]).is_ok());
}

#[test]
fn contradictions_name_both_sides() {
    let taken = "127.0.0.1:1 is taken by 0.0.0.0:1 of the same list";
    let listens = "auth.anonymous = \"yes\"\nlisteners.tcp = [\"0.0.0.0:1\", \"127.0.0.1:1\"]";
    assert_eq!(about(listens), [format!("2:11: listeners.tcp: {taken}")]);
    assert_eq!(
        complaints(vec![file("\n[admin]\nlisten = \"[::]:2\""), Source::set("listeners.tcp=[::1]:2")]),
        ["--set: listeners.tcp: the operator's door [::]:2 and clients at [::1]:2 cannot share a port \
            (admin.listen = \"[::]:2\": pregon.toml:3)"]
    );
    assert_eq!(
        about("runtime.cores = [1, 2]\nruntime.shards = 1").len(),
        1,
        "two cores, and one of them would have no shard"
    );
    assert_eq!(
        about("turn.bytes_max = \"64KiB\""),
        ["1:6: turn.bytes_max: one connection could bring more in a turn than the whole turn may read \
            (turn.read_bytes_max = \"256KiB\": the default)"]
    );
    let told = about("auth.rules_file = \"a\"\nauth.acl_file = \"b\"");
    assert!(told.len() == 1 && told[0].contains("there are two files of rules"), "{told:?}");
    assert_eq!(about("limits.subscriptions_max = 99").len(), 1, "the default of shared ones is 100");
    assert_eq!(about("limits.write_stall = \"100ms\"").len(), 1, "the default of the patience is 200ms");
}

#[test]
fn what_tokens_must_say_does_nothing_without_keys() {
    for line in [
        "token_issuer = \"https://issuer.example\"",
        "token_audience = [\"broker\"]",
        "token_user_claim = \"name\"",
        "token_client_id_claim = \"cid\"",
        "token_groups_claim = \"groups\"",
        "token_acl_claim = \"acl\"",
        "token_leeway = \"1m\"",
        "token_carrier = \"user-name\"",
        "token_user = \"equal\"",
        "token_needs_expiry = false",
    ] {
        let key = line.split(' ').next().unwrap();
        let why = "this does nothing: without keys no token is taken (auth.token_keys = \"\": the default)";
        assert_eq!(about(&format!("[auth]\n{line}")), [format!("2:1: auth.{key}: {why}")]);
        loaded(vec![file(&format!("[auth]\n{line}\ntoken_keys = \"keys\""))]);
    }
    let keys = KEYS.iter().filter(|key| key.name.starts_with("token_")).count();
    assert_eq!(keys, 1 + 4 + 10, "each of them is asked about here, or is about a server of keys");
}

#[test]
fn a_text_has_bounds_and_some_have_to_be() {
    let long = "x".repeat(1_025);
    for (assignment, shown) in [
        ("auth.token_user_claim=".to_owned(), "\"\""),
        ("auth.token_issuer=a\u{7}b".to_owned(), "\"a\\u{7}b\""),
        (format!("auth.token_groups_claim={long}"), "..."),
        ("auth.token_audience=a,,b".to_owned(), "\"\""),
    ] {
        let told = complaints(vec![Source::set(assignment), Source::set("auth.token_keys=keys")]);
        let what = format!("{shown} is no text of 1 to 1024 bytes without control characters; allowed: ");
        assert!(told.len() == 1 && told[0].replace("...\" is", "... is").contains(&what), "{told:?}");
    }
}

#[test]
fn threat_7_other_machines_reach_nobody_who_lets_anybody_in_unless_that_is_said() {
    for text in ["", "auth.anonymous = \"auto\"\n", "auth.acl_file = \"rules\"\n"] {
        let told = about(&format!("{text}listeners.tcp = [\"127.0.0.1:1\", \"10.0.0.1:2\"]"));
        let what = "10.0.0.1:2 is reached from other machines, and anybody would be let in";
        assert!(told.len() == 1 && told[0].contains(what), "{told:?}");
    }
    assert!(about("auth.anonymous = \"no\"")[0].contains("nobody could come in"), "nobody is known by name");
    for known in ["auth.token_keys = \"keys\"", "auth.token_keys = \"keys\"\nauth.anonymous = \"no\""] {
        let checked = loaded(vec![file(&format!("{known}\nlisteners.tcp = [\"0.0.0.0:1\"]"))]);
        assert!(!checked.config().auth.lets_anybody_in(), "{known}");
    }
    loaded(vec![file("listeners.tcp = [\"[::1]:1\", \"127.1.2.3:2\"]")]);
}

#[test]
fn no_contradiction_is_seen_where_there_is_none() {
    for text in [
        "listeners.tcp = [\"127.0.0.1:0\", \"127.0.0.1:0\"]",
        "listeners.tcp = [\"127.0.0.1:1\", \"127.0.0.2:1\", \"[::1]:1\", \"127.0.0.1:2\"]",
        "listeners.tcp = [\"0.0.0.0:1\", \"[::]:1\"]\nauth.anonymous = \"yes\"",
        "listeners.tcp = [\"0.0.0.0:1\"]\nauth.password_file = \"users\"",
        "listeners.tcp = [\"127.0.0.1:9883\"]\nadmin.listen = \"off\"",
        "runtime.cores = 1\nruntime.shards = 4",
        "runtime.shards = 1",
    ] {
        loaded(vec![file(text)]);
    }
    // What is contradicted by a wrong value may be right once that is mended.
    let told = about("turn.bytes_max = \"64KiB\"\nturn.read_bytes_max = \"32KB\"");
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn each_value_is_printed_with_its_origin() {
    let checked = loaded(vec![
        file("[listeners]\n\ntcp = [\"0.0.0.0:1883\", \"[::]:1883\", \"10.0.0.1:1884\"]\n"),
        Source::set("auth.anonymous=yes"),
        Source::environment("PREGON_LIMITS__QUEUE_QOS0", "true"),
        Source::flag("--cores", "runtime.cores", "2,3"),
    ]);
    let printed = checked.to_string();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "runtime.cores                         = [2, 3]                  --cores");
    assert_eq!(lines[1], "runtime.shards                        = \"auto\"                  default");
    let tcp =
        "listeners.tcp                         = [\"0.0.0.0:1883\", \"[::]:1883\", \"10.0.0.1:1884\"]  pregon.toml:3";
    assert!(lines.contains(&tcp), "{printed}");
    let queue = "limits.queue_qos0                     = true                    PREGON_LIMITS__QUEUE_QOS0";
    assert!(lines.contains(&queue), "{printed}");
    assert_eq!(lines.len(), KEYS.len());
}

#[test]
fn the_manual_quotes_what_is_really_told() {
    let manual = include_str!("../manual/configuration.md");
    let wrong = complaints(vec![
        file(
            "\n\n[limits]\npacket_bytes_max = \"1MB\"\n\n\nqueue_messages = 1\n\n\n\
             [listeners.secure]\naddress = \"127.0.0.1:8883\"\ncertificats = [\"a.pem\"]\n",
        ),
        Source::environment("PREGON_LISTENERS_TCP", "127.0.0.1:1"),
    ]);
    let contradiction = complaints(vec![Source::set("listeners.tcp=127.0.0.1:9883")]);
    let printed = loaded(vec![
        Source::drop_in(
            "/etc/pregon/conf.d/10-site.toml",
            "[listeners]\ntcp = [\"0.0.0.0:1883\"]\n[auth]\npassword_file = \"/etc/pregon/users\"\n",
        ),
        Source::set("limits.inflight_max=20"),
    ])
    .to_string();
    let rows = printed.lines().filter(|line| !line.ends_with("default") || line.starts_with("listeners.backlog"));
    let quoted: Vec<String> = wrong.into_iter().chain(contradiction).chain(rows.map(str::to_owned)).collect();
    assert_eq!(quoted.len(), 4 + 1 + 4);
    for line in quoted {
        assert!(manual.lines().any(|quoted| quoted == line), "the manual does not have {line}");
    }
}

/// What `check` prints, as a file again.
fn reprinted(checked: &Checked) -> Config {
    let config = checked.config();
    let assignments =
        Setting::all(config).map(|setting| format!("{} = {}\n", setting.path(config), setting.written(config)));
    loaded(vec![file(&assignments.collect::<String>())]).into_config()
}

#[test]
fn text_with_quotes_is_printed_as_a_file_has_it() {
    let checked = loaded(vec![Source::set("limits.response_prefix=a\"b\\c/")]);
    assert_eq!(checked.config().limits.response_prefix.as_deref(), Some("a\"b\\c/"));
    assert_eq!(reprinted(&checked), *checked.config());
}

/// One change to a text: a byte, a part left out, doubled, or a part that means something.
fn mutate(text: &mut Vec<u8>, random: &mut Random) {
    const PARTS: [&str; 20] = [
        "[",
        "]",
        "[[",
        "\"",
        "'''",
        "=",
        ",",
        "\n",
        "\r",
        "{",
        "}",
        "#",
        "-1",
        "9999999999999999999999",
        "\"9999999d\"",
        "\"1TiB\"",
        ".",
        "limits.",
        "\u{feff}",
        "ñ",
    ];
    let mut below = |n: usize| usize::try_from(random.below(n as u64)).unwrap();
    let (from, len) = (below(text.len() + 1), below(40));
    let until = (from + len).min(text.len());
    match below(5) {
        0 if from < text.len() => text[from] = u8::try_from(below(256)).unwrap(),
        1 => drop(text.drain(from..until)),
        2 => {
            let part = text[from..until].to_vec();
            text.splice(from..from, part);
        }
        3 => text.truncate(from),
        _ => drop(text.splice(from..from, PARTS[below(PARTS.len())].bytes())),
    }
}

#[test]
fn no_bytes_do_harm() {
    let mut random = Random::from_seed(0x636f_6e66);
    let (mut good, mut bad) = (0, 0);
    // The sections one by one: where most of a file is fine, a mutation reaches what is behind the syntax.
    let example = example();
    let mut texts: Vec<&str> = example.split("\n# ====").collect();
    texts.push(&example);
    texts.push(
        "runtime.cores = [2, 3]\nlisteners = {tcp = [\"127.0.0.1:1\"], backlog = 3}\n[limits]\nbyte_rate = '1MiB'\n",
    );
    let listeners = listener_tests::uncommented(&example);
    texts.push(&listeners);
    assert_eq!(texts.len(), SECTIONS.len() + 4);
    for run in 0..MUTATIONS {
        let mut text = texts[usize::try_from(run).unwrap() % texts.len()].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            mutate(&mut text, &mut random);
        }
        let lines = text.split(|byte| *byte == b'\n').count();
        match load(vec![Source::file("a.toml", text)]) {
            Ok(checked) => {
                good += 1;
                assert_eq!(reprinted(&checked), *checked.config());
            }
            Err(complaints) => {
                bad += 1;
                let places = complaints.iter().filter_map(|complaint| complaint.place.at);
                assert!(places.clone().all(|(line, column)| (1..=lines).contains(&line) && column > 0));
                assert!(places.is_sorted(), "{complaints}");
                assert!(complaints.to_string().lines().count() <= COMPLAINTS_MAX + 1);
                assert!(complaints.iter().all(|complaint| !complaint.to_string().contains(char::is_control)));
            }
        }
    }
    assert!(
        good > MUTATIONS / 20 && bad > MUTATIONS / 4,
        "{good} good and {bad} bad ones: the mutations are one-sided"
    );
}

#[test]
fn no_text_of_a_variable_does_harm() {
    let mut random = Random::from_seed(0x656e_7669);
    let listener = Listener::new("a");
    let keys = KEYS.iter().map(|key| (key.variable(), key.written(&Config::default())));
    let of_listener = LISTENER_KEYS.iter().map(|key| (key.variable_in("a"), key.written(&listener)));
    let variables: Vec<(String, String)> = keys.chain(of_listener).collect();
    for run in 0..MUTATIONS {
        let (variable, written) = &variables[usize::try_from(run).unwrap() % variables.len()];
        let mut text = written.replace('"', "").into_bytes();
        for _ in 0..=random.below(3) {
            mutate(&mut text, &mut random);
        }
        let mut sources = vec![Source::environment(variable, text)];
        if variable.starts_with("PREGON_LISTENERS__A__") {
            // What is amiss is then the value, or what it means beside this.
            sources.push(Source::file("a.toml", "listeners.a.address = \"127.0.0.1:5\""));
        }
        match load(sources) {
            Ok(checked) => assert_eq!(reprinted(&checked), *checked.config()),
            Err(complaints) => assert_eq!(complaints.iter().count(), 1, "{complaints}"),
        }
    }
}
