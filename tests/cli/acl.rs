//! `pregon acl explain` and what `pregon check` says of the files that a configuration names.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use super::{code, errors, pregon, printed, run};

const RULES: &str = "\
[groups]
staff = [\"alice\"]

[[rule]]
effect = \"deny\"
actions = \"receive\"
topics = \"home/safe/#\"

[[rule]]
effect = \"allow\"
who = { group = \"staff\", address = \"10.0.0.0/8\" }
qos_max = 1
actions = [\"publish\", \"subscribe\"]
topics = \"home/#\"
";

/// A folder with a file of rules that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("pregon-acl-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        Self(path)
    }

    pub fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }

    fn explain(&self, line: &str) -> Output {
        run(&format!("acl explain --set auth.rules_file={} {line}", self.path("rules.toml")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn explain_names_file_line_rule_and_reason() {
    let folder = Folder::with("names", &[("rules.toml", RULES)]);
    let rule = "allow from 10.0.0.0/8, group staff to publish and subscribe, up to QoS 1: home/#";
    let file = folder.path("rules.toml");

    let output = folder.explain("--user alice --client c1 --address 10.1.2.3 publish home/door --qos 1");
    let told = format!(
        "allowed: alice as c1, publish home/door with QoS 1\n{file}:9: rule 2: {rule}\n`home/#` reaches `home/door`\n"
    );
    assert_eq!((code(&output), printed(&output), errors(&output)), (0, told, String::new()));

    let output = folder.explain("--user alice --client c1 --address 10.1.2.3 will home/door --qos 2");
    let told = format!(
        "denied: alice as c1, will home/door with QoS 2\n{file}: no rule applies, and what no rule allows is denied\n\
         nearest rules that would allow it:\n  {file}:9: rule 2: {rule}\n    it goes up to QoS 1\n"
    );
    assert_eq!((code(&output), printed(&output)), (1, told));

    for (line, expected, what) in [
        ("--user bob --client c1 --group staff --address 10.0.0.1 publish home/x", 0, "rule 2"),
        ("--user bob --client c1 --address 10.0.0.1 publish home/x", 1, "it is about others: group staff"),
        ("--user alice --client c1 --address 11.0.0.1 publish home/x", 1, "it is about others: from 10.0.0.0/8"),
        ("--user alice --client c1 publish home/x", 1, "nobody knows whether it is about this client: from 10"),
        ("--user alice --client c1 --address 10.0.0.1 publish house", 1, "differs at level 1: `house` is not `home`"),
        ("--user alice --client c1 --address 10.0.0.1 subscribe +/x", 1, "`+` reaches further than `home`"),
        ("--user alice --client c1 receive home/safe/x", 1, "rules.toml:4: rule 1: deny everyone to receive"),
        ("--client c1 connect", 0, "no rule allows to connect, so none is needed"),
    ] {
        let output = folder.explain(line);
        assert_eq!(code(&output), expected, "{line}: {}", errors(&output));
        assert!(printed(&output).contains(what), "{line}: {}", printed(&output));
    }
}

#[test]
fn explain_says_what_a_subscription_would_bring() {
    let folder =
        Folder::with("brings", &[("rules.toml", RULES), ("acl", "user alice\ntopic read a\ntopic deny b/#\n")]);
    let output = folder.explain("--user alice --client c1 --address 10.0.0.1 subscribe $share/g/home/+/#");
    let told = printed(&output);
    assert_eq!(code(&output), 0, "{told}");
    let lines: Vec<&str> = told.lines().skip(3).collect();
    assert_eq!(lines[0], "deliveries, the first line that matches a topic:");
    assert!(lines[1].starts_with("  withheld   home/safe/#  ") && lines[1].contains(":4: rule 1"), "{told}");
    assert!(lines[2].starts_with("  delivered  home/+/#  ") && lines[2].contains(":9: rule 2"), "{told}");

    let set = format!("--set auth.acl_file={}", folder.path("acl"));
    let output = run(&format!("acl explain {set} --user alice --client c1 subscribe #"));
    let told = printed(&output);
    assert_eq!(code(&output), 0, "{told}");
    for what in [
        "to subscribe needs no rule",
        "withheld   b/#",
        "acl:3: deny user alice",
        "delivered  a",
        "withheld   #  no rule",
    ] {
        assert!(told.contains(what), "{what} in {told}");
    }
    let output = run(&format!("acl explain {set} --user alice --client c1 receive a"));
    assert!(printed(&output).contains("acl:2: allow user alice to receive: a"), "{}", printed(&output));
}

#[test]
fn explain_without_rules_says_so() {
    let output = run("acl explain --client c1 publish a");
    assert_eq!(code(&output), 0);
    assert!(printed(&output).contains("there is no file of rules"), "{}", printed(&output));
    assert_eq!(code(&run("acl explain --client c1 publish $SYS/a")), 1);
}

#[test]
fn explain_speaks_json() {
    let folder = Folder::with("json", &[("rules.toml", RULES)]);
    let parsed = |line: &str| -> serde_json::Value {
        serde_json::from_str(&printed(&folder.explain(&format!("{line} --json")))).unwrap()
    };
    let told = parsed("--user alice --client c1 --address 10.0.0.1 subscribe home/#");
    assert_eq!((&told["allowed"], &told["line"], &told["number"]), (&true.into(), &9.into(), &2.into()));
    assert_eq!((&told["refused_by"], &told["claim"]), (&serde_json::json!([]), &serde_json::Value::Null));
    assert_eq!(told["deliveries"][0]["filter"], "home/safe/#");
    assert_eq!(told["deliveries"][0]["delivered"], false);
    let told = parsed("--user alice --client c1 publish home/x");
    assert_eq!((&told["allowed"], &told["near"][0]["line"]), (&false.into(), &9.into()));
    assert_eq!(told["refused_by"], serde_json::json!(["rules"]));
}

#[test]
fn what_makes_no_question_ends_with_2() {
    let folder = Folder::with("misused", &[("rules.toml", RULES), ("wrong.toml", "[[rule]]\nefect = 1\n")]);
    for (line, what) in [
        ("publish a", "--client"),
        ("--client c", "<ACTION>"),
        ("--client c fly a", "fly"),
        ("--client c publish", "a topic is missing"),
        ("--client c publish a/+", "no topic"),
        ("--client c subscribe a/#/b", "no topic filter"),
        ("--client c connect a", "to connect has no topic"),
        ("--client c receive a --qos 1", "--qos"),
        ("--client c subscribe a --retain", "--retain"),
        ("--client c --address here publish a", "--address"),
        ("--client c --certificate 12 publish a", "--certificate"),
    ] {
        let output = folder.explain(line);
        assert_eq!(code(&output), 2, "{line}");
        assert!(errors(&output).contains(what) && output.stdout.is_empty(), "{line}: {}", errors(&output));
    }
    let output = run(&format!("acl explain --set auth.rules_file={} --client c publish a", folder.path("wrong.toml")));
    assert_eq!(code(&output), 2);
    assert!(errors(&output).contains("wrong.toml:2:1: there is no key efect here"), "{}", errors(&output));
}

#[test]
fn check_reads_the_files_of_passwords_keys_and_rules_too() {
    let wrong = "[[rule]]\nefect = 1\n[[rule]]\neffect = \"alow\"\n";
    let files = [
        ("rules.toml", wrong),
        ("users", "alice\n"),
        ("acl", "topic a\ntopics b\n"),
        ("good.toml", RULES),
        ("keys", "{}"),
    ];
    let folder = Folder::with("check", &files);
    let check = |keys: &[(&str, &str)]| {
        let mut command = pregon("check");
        for (key, file) in keys {
            command.args(["--set", &format!("auth.{key}={}", folder.path(file))]);
        }
        command.output().unwrap()
    };
    let output = check(&[("password_file", "users"), ("rules_file", "rules.toml")]);
    let told = errors(&output);
    assert_eq!((code(&output), told.lines().count(), printed(&output).as_str()), (2, 3, ""), "{told}");
    for what in ["users: line 1: ", "rules.toml:2:1: there is no key efect", "rules.toml:4:10: `alow` is none"] {
        assert!(told.contains(what), "{what} in {told}");
    }
    let output = check(&[("acl_file", "acl")]);
    assert_eq!(code(&output), 2);
    assert!(errors(&output).contains("acl: line 2: "), "{}", errors(&output));
    let output = check(&[("token_keys", "keys")]);
    assert_eq!(code(&output), 2);
    assert!(errors(&output).contains("keys: it is neither a JSON Web Key Set nor PEM"), "{}", errors(&output));
    assert!(errors(&check(&[("token_keys", "missing")])).contains("missing: No such file"));
    assert!(errors(&check(&[("rules_file", "missing")])).contains("missing: No such file"));
    assert!(errors(&check(&[("rules_file", "good.toml"), ("acl_file", "acl")])).contains("two files of rules"));
    assert_eq!(code(&check(&[("rules_file", "good.toml")])), 0);
}

#[test]
fn the_manual_quotes_what_is_really_told() {
    let manual = include_str!("../../src/manual/operations.md");
    let rules = manual.split("```toml\n").find(|block| block.starts_with("[groups]")).unwrap();
    let folder = Folder::with("manual", &[("rules.toml", rules.split("```").next().unwrap())]);
    let quoted = manual.split("```text\n").find(|block| block.contains("$ pregon acl explain")).unwrap();
    let mut answers = 0;
    for quoted in quoted.split("```").next().unwrap().split("$ pregon ").skip(1) {
        let (command, told) = quoted.split_once('\n').unwrap();
        let command = command.replace("--config /etc/pregon/pregon.toml ", "").replace('\'', "");
        let output = folder.explain(command.strip_prefix("acl explain ").unwrap());
        let printed = printed(&output).replace(&folder.path("rules.toml"), "/etc/pregon/rules.toml");
        assert_eq!(printed.trim_end(), told.trim_end(), "{command}");
        answers += 1;
    }
    assert_eq!(answers, 2);
    let complaint = manual.lines().find(|line| line.contains("rules.toml:6:1: there is no key topic")).unwrap();
    let wrong = "[[rule]]\neffect = \"allow\"\nactions = \"all\"\n\n\ntopic = \"a\"\n";
    fs::write(folder.path("rules.toml"), wrong).unwrap();
    let output = run(&format!("check --set auth.rules_file={}", folder.path("rules.toml")));
    assert_eq!(errors(&output).replace(&folder.path("rules.toml"), "/etc/pregon/rules.toml").trim_end(), complaint);
}
