//! `pregon passwd`: what becomes of the file, what is asked, what is said.

use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::{code, errors, pregon, run};

/// By `mosquitto_passwd` 2.0.11, but for the last; the passwords are `correct horse`, `ñandú €` and `lorac`.
const OLD: &str = "\
# the house\r
alice:$7$101$sW+MWAyltInm8zDb$pN8dTsBm243zvnu3HL7m3+iRLKCgw+G+sOs1vtxMySdA03cU5UrexmtnJlyGZzHKTIAeiPDlkTI3Ed+FfPIySw==\r

 bob : $6$i1AdAIxM3Hsv1WMD$YvZUebNjXNVMUItUlln8/ONDgOTnC+4Teb74s7vR2rtwKmd5OKgigQTJNbijM3LiNeWZcyie6TOLxojIPyOeyQ==
carol:$argon2id$v=19$m=1024,t=3,p=1$AAECAwQFBgcICQoL$3c8692SzkehKVncfiKxKNQ";

/// A folder with a password file that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn empty(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pregon-passwd-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn with(name: &str, text: &str) -> Self {
        let folder = Self::empty(name);
        fs::write(folder.file(), text).unwrap();
        folder.set_mode(0o640);
        folder
    }

    fn file(&self) -> PathBuf {
        self.0.join("users")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn mode(&self) -> u32 {
        self.file().metadata().unwrap().mode() & 0o777
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.file(), Permissions::from_mode(mode)).unwrap();
    }

    fn command(&self, flags: &str) -> Command {
        pregon(&format!("passwd {} {flags}", self.file().display()))
    }

    /// With this on standard input; only the file itself is left.
    fn batch(&self, flags: &str, input: &str, expected: i32) -> String {
        let mut command = self.command(&format!("{flags} --batch"));
        let output = fed(command.stdin(Stdio::piped()), input);
        assert_eq!(code(&output), expected, "{flags}: {}", errors(&output));
        assert!(output.stdout.is_empty());
        assert!(!self.0.join("users.new").exists(), "{flags}");
        errors(&output)
    }

    /// Whether the password is right, as `--check` says it.
    fn is_right(&self, name: &str, password: &str) -> bool {
        let output = fed(self.command(&format!("{name} --check --batch")).stdin(Stdio::piped()), password);
        let told = errors(&output);
        match code(&output) {
            0 => assert!(told.contains(&format!("this is the password of {name}")), "{told}"),
            _ => assert!(told.contains(&format!("this is not the password of {name}")), "{told}"),
        }
        code(&output) == 0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn fed(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who needs no password does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn a_file_is_made_for_its_owner_alone_and_its_user_comes_in() {
    let folder = Folder::empty("made");
    let told = folder.batch("alice --create", "correct horse\n", 0);
    assert!(told.contains("alice was added"), "{told}");
    assert_eq!(folder.mode(), 0o600);
    let text = folder.text();
    assert!(text.starts_with("alice:$argon2id$v=19$m=19456,t=2,p=1$") && text.lines().count() == 1, "{text}");
    assert!(folder.is_right("alice", "correct horse") && folder.is_right("alice", "correct horse\r\n"));
    assert!(!folder.is_right("alice", "correct horse ") && !folder.is_right("alice", "x"));
}

#[test]
fn each_hash_has_a_salt_of_its_own() {
    let folder = Folder::empty("salts");
    folder.batch("alice --create", "same", 0);
    folder.batch("bob", "same", 0);
    let text = folder.text();
    let hashes: Vec<_> = text.lines().map(|line| line.split_once(':').unwrap().1).collect();
    assert!(hashes.len() == 2 && hashes[0] != hashes[1], "{text}");
}

#[test]
fn all_other_lines_stay_as_they_are_byte_for_byte() {
    let folder = Folder::with("others", OLD);
    let link = folder.0.join("link");
    let inode = folder.file().metadata().unwrap().ino();
    symlink(folder.file(), &link).unwrap();
    let told = folder.batch("bob", "new", 0);
    assert!(told.contains("bob has a new password"), "{told}");
    assert_ne!(folder.file().metadata().unwrap().ino(), inode, "who reads the old file reads it to its end");
    let text = folder.text();
    let (before, after) = OLD.split_at(OLD.find(" bob").unwrap());
    assert!(text.starts_with(&format!("{before}bob:$argon2id$")), "{text}");
    assert!(text.ends_with(after.split_once('\n').unwrap().1), "{text}");
    assert_eq!(text.lines().count(), OLD.lines().count());

    let output = fed(pregon(&format!("passwd {} dora --batch", link.display())).stdin(Stdio::piped()), "x");
    assert_eq!(code(&output), 0, "{}", errors(&output));
    assert!(folder.text().starts_with(&format!("{text}\ndora:$argon2id$")), "a missing end of line is put in");
    assert!(link.is_symlink() && folder.mode() == 0o640, "link and rights stay");

    assert!(
        folder.is_right("bob", "new") && folder.is_right("carol", "lorac") && folder.is_right("alice", "correct horse")
    );
}

#[test]
fn owner_and_group_stay_so_that_the_broker_can_read_it_as_before() {
    let folder = Folder::with("owner", OLD);
    if let Err(error) = chown(folder.file(), Some(65_534), Some(65_533)) {
        return println!("skipped: only root can give files away: {error}");
    }
    folder.batch("alice", "x", 0);
    let metadata = folder.file().metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), folder.mode()), (65_534, 65_533, 0o640));
}

#[test]
fn a_user_is_taken_out_and_the_last_one_with_a_word_about_it() {
    let folder = Folder::with("deleted", OLD);
    let delete = |name: &str, expected: i32| {
        let output = folder.command(&format!("{name} --delete")).output().unwrap();
        assert_eq!(code(&output), expected, "{}", errors(&output));
        errors(&output)
    };
    assert!(delete("alice", 0).contains("alice was taken out"));
    let lines: Vec<_> = OLD.split_inclusive('\n').collect();
    assert_eq!(folder.text(), [lines[0], lines[2], lines[3], lines[4]].concat());
    assert!(delete("alice", 1).contains("there is no user alice"));
    assert_eq!(delete("bob", 0).lines().count(), 1);
    assert!(delete("carol", 0).contains("nobody is left"));
    assert_eq!(folder.text(), [lines[0], lines[2]].concat());
}

#[test]
fn a_file_is_neither_made_nor_overwritten_unless_asked_for() {
    let folder = Folder::empty("asked");
    assert!(folder.batch("alice", "x", 1).contains("--create"));
    assert!(!folder.file().exists());
    fs::write(folder.file(), OLD).unwrap();
    assert!(folder.batch("alice --create", "x", 1).contains("--overwrite"));
    assert_eq!(folder.text(), OLD);
    folder.set_mode(0o640);
    folder.batch("dora --create --overwrite", "x", 0);
    assert!(folder.text().starts_with("dora:") && folder.text().lines().count() == 1);
    assert_eq!(folder.mode(), 0o640);
    assert!(folder.batch("dora --overwrite", "x", 2).contains("--create"));
}

#[test]
fn a_malformed_file_is_named_with_its_line_and_stays_as_it_is() {
    let text = format!("{OLD}\ndora:plain\n");
    let folder = Folder::with("malformed", &text);
    for flags in ["alice", "alice --check", "alice --create"] {
        let told = folder.batch(flags, "x", 1);
        let wanted = if flags.ends_with("--create") { "exists" } else { "users: line 6: the hash begins with none" };
        assert!(told.contains(wanted) && !told.contains("plain"), "{flags}: {told}");
    }
    let output = folder.command("alice --delete").output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("line 6"), "{}", errors(&output));
    assert_eq!(folder.text(), text);
}

#[test]
fn two_at_a_time_do_not_lose_what_the_other_wrote() {
    let folder = Folder::with("busy", OLD);
    let beside = folder.0.join("users.new");
    fs::write(&beside, "another one is at work").unwrap();
    let output = fed(folder.command("alice --batch").stdin(Stdio::piped()), "x");
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("users.new exists"), "{}", errors(&output));
    assert_eq!(folder.text(), OLD);
    assert_eq!(fs::read_to_string(&beside).unwrap(), "another one is at work");
}

#[test]
fn a_file_that_others_may_read_gives_a_warning() {
    let folder = Folder::with("open", OLD);
    for (mode, is_open) in [(0o600, false), (0o660, false), (0o644, true), (0o602, true)] {
        folder.set_mode(mode);
        for flags in ["carol --check", "carol"] {
            let told = folder.batch(flags, "lorac", 0);
            assert_eq!(told.contains("chmod"), is_open, "{mode:o} {told}");
            assert_eq!(folder.mode(), mode);
        }
    }
}

#[test]
fn keys_of_scram_are_made_where_they_are_asked_for_and_checked_like_hashes() {
    let folder = Folder::with("scram", OLD);
    folder.batch("dora --method scram-sha-256 --iterations 4096", "correct horse\n", 0);
    folder.batch("erin --method scram-sha-256", "x", 0);
    let text = folder.text();
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("dora:").starts_with("dora:$scram-sha-256$4096$"), "{text}");
    assert!(line("erin:").starts_with("erin:$scram-sha-256$600000$"), "{text}");
    assert_eq!(line("dora:").split('$').count(), 6, "{text}");
    assert!(folder.is_right("dora", "correct horse") && !folder.is_right("dora", "correct horse "));
    assert!(folder.batch("dora --check", "correct horse", 0).contains("weaker"), "others have more iterations");
    assert!(!folder.batch("erin --check", "x", 0).contains("weaker"));
}

#[test]
fn keys_of_scram_that_no_client_could_use_are_not_made() {
    let folder = Folder::with("unprepared", OLD);
    assert!(folder.batch("dora --method scram-sha-256", "a\u{7}b", 1).contains("SASLprep"));
    assert!(folder.batch("do\u{AD}ra --method scram-sha-256", "x", 1).contains("SASLprep"));
    for flags in ["--iterations 4095", "--iterations 600001", "--method scram-sha-1"] {
        folder.batch(&format!("dora --method scram-sha-256 {flags}"), "x", 2);
    }
    folder.batch("dora --check --method scram-sha-256", "x", 2);
    assert_eq!(folder.text(), OLD);
}

#[test]
fn a_weak_hash_is_told_when_its_password_is_right() {
    let folder = Folder::with("weak", OLD);
    let check = |input: &str| folder.batch("alice --check", input, i32::from(input != "correct horse"));
    assert!(check("correct horse").contains("weaker") && !check("wrong").contains("weaker"));
    folder.batch("alice", "correct horse", 0);
    assert!(!check("correct horse").contains("weaker"));
}

#[test]
fn names_and_passwords_that_cannot_be_are_refused() {
    let folder = Folder::with("refused", OLD);
    for name in ["a:b", "#a"] {
        assert!(folder.batch(name, "x", 2).contains("the name"), "{name}");
    }
    assert!(folder.batch("alice", "\nx", 1).contains("empty"));
    assert!(folder.batch("alice", &"x".repeat(65_536), 1).contains("65535"));
    assert!(errors(&run("passwd /dev/null alice --check --batch")).contains("no ordinary file"));
    for line in
        ["passwd", "passwd x", "passwd x y --delete --batch", "passwd x y --delete --check", "passwd x y secret"]
    {
        assert_eq!(code(&run(line)), 2, "{line}");
    }
    assert_eq!(folder.text(), OLD);
}

#[test]
fn without_a_terminal_a_password_comes_by_batch_only() {
    let folder = Folder::with("no-terminal", OLD);
    let output = fed(folder.command("alice").stdin(Stdio::piped()), "x\nx\n");
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("--batch"), "{}", errors(&output));
    assert_eq!(folder.text(), OLD);
}

/// A terminal, and somebody who types at it.
struct Typist {
    keyboard: File,
    screen: OwnedFd,
}

impl Typist {
    fn new() -> Self {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        Self { keyboard: master.into(), screen: slave }
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.screen).unwrap().local_flags.contains(LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Types each answer when it is asked for; what stands on the screen at the end, and the exit code.
    fn run(&mut self, command: &mut Command, answers: &[&str]) -> (String, i32) {
        let screen = || Stdio::from(self.screen.try_clone().unwrap());
        let mut child = command.stdin(screen()).stdout(screen()).stderr(screen()).spawn().unwrap();
        let mut seen = String::new();
        for answer in answers {
            self.read_to(&mut seen, ": ");
            self.keyboard.write_all(answer.as_bytes()).unwrap();
            seen.push('|');
        }
        let code = child.wait().unwrap().code().expect("it ends by itself");
        assert!(self.echoes(), "the terminal is as it was");
        File::from(self.screen.try_clone().unwrap()).write_all(b"the end").unwrap();
        self.read_to(&mut seen, "the end");
        (seen, code)
    }

    fn read_to(&mut self, seen: &mut String, end: &str) {
        let mut bytes = [0; 512];
        while !seen.ends_with(end) {
            let count = self.keyboard.read(&mut bytes).unwrap();
            seen.push_str(str::from_utf8(&bytes[..count]).unwrap());
        }
    }
}

#[test]
fn the_password_is_typed_twice_and_not_shown() {
    let folder = Folder::with("typed", OLD);
    let mut typist = Typist::new();
    let (seen, code) = typist.run(&mut folder.command("alice"), &["hunter2 ñ\n", "hunter2 ñ\n"]);
    assert_eq!(code, 0, "{seen}");
    assert!(seen.starts_with("Password: |\r\nOnce more: |\r\n") && seen.contains("new password"), "{seen}");
    assert!(!seen.contains("hunter"), "{seen}");
    assert!(folder.is_right("alice", "hunter2 ñ"));
    let (seen, code) = typist.run(&mut folder.command("alice --check"), &["hunter2 ñ\n"]);
    assert!(code == 0 && seen.contains("this is the password"), "{seen}");
}

#[test]
fn what_is_typed_wrong_or_stopped_changes_nothing_and_leaves_the_terminal_as_it_was() {
    let folder = Folder::with("stopped", OLD);
    let mut typist = Typist::new();
    for (answers, wanted) in [
        (&["one\n", "two\n"][..], "another one"),
        (&["\n"], "empty"),
        (&["half\x03"], "interrupted"),
        (&["one\n", "\x1c"], "interrupted"),
        (&["\x04"], "interrupted"),
        (&["a\x1ab\n"], "control character"),
    ] {
        let (seen, code) = typist.run(&mut folder.command("alice"), answers);
        assert_eq!(code, 1, "{seen}");
        assert!(seen.contains(wanted), "{seen}");
        assert_eq!(folder.text(), OLD);
    }
}

#[test]
fn what_mosquitto_passwd_wrote_is_accepted() {
    let folder = Folder::empty("mosquitto");
    let file = folder.file();
    for (user, flags) in
        [("alice", "-c -H sha512-pbkdf2"), ("bob", "-H sha512"), ("carol", "-I 4711"), ("dora", "-H argon2id")]
    {
        let mut command = Command::new("mosquitto_passwd");
        command.args(flags.split(' ')).arg("-b").arg(&file).args([user, "letmein"]);
        match command.output() {
            Ok(output) if output.status.success() => {
                assert!(folder.is_right(user, "letmein") && !folder.is_right(user, "letmeout"), "{user}");
            }
            Ok(output) if user != "alice" => {
                println!("skipped: this mosquitto_passwd does not know {flags}: {}", errors(&output));
            }
            Ok(output) => panic!("{}", errors(&output)),
            Err(error) => return println!("SKIPPED: mosquitto_passwd, of Debian's package mosquitto: {error}"),
        }
    }
    folder.batch("erin", "x", 0);
    assert!(folder.is_right("alice", "letmein") && folder.is_right("erin", "x"));
}
