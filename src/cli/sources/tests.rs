//! What is gathered from files and flags.

use super::*;

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pregon-sources-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join(DROP_INS)).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// All sources but those of the environment, which is not the test's.
fn gathered(settings: &Settings) -> Vec<Source> {
    let environment: Vec<_> = environment().collect();
    gather(settings).unwrap().into_iter().filter(|source| !environment.contains(source)).collect()
}

#[test]
fn the_file_comes_first_and_its_drop_ins_by_name() {
    let folder = Folder::new("order");
    let config = folder.write("pregon.toml", "one");
    let second = folder.write("conf.d/20-b.toml", "three");
    let first = folder.write("conf.d/10-a.toml", "two");
    folder.write("conf.d/README", "not read");
    folder.write("conf.d/30-c.toml.off", "not read");
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    let settings = Settings { config: Some(config.clone()), ..Settings::default() };
    let wanted = [
        Source::file(&name(&config), "one"),
        Source::drop_in(&name(&first), "two"),
        Source::drop_in(&name(&second), "three"),
    ];
    assert_eq!(gathered(&settings), wanted);
}

#[test]
fn no_file_and_no_drop_ins_are_no_complaint() {
    assert_eq!(gathered(&Settings::default()), []);
    let folder = Folder::new("alone");
    fs::remove_dir(folder.0.join(DROP_INS)).unwrap();
    let settings = Settings { config: Some(folder.write("x.toml", "")), ..Settings::default() };
    assert_eq!(gathered(&settings).len(), 1);
}

#[test]
fn everything_that_cannot_be_read_is_named() {
    let folder = Folder::new("unread");
    fs::create_dir(folder.0.join("conf.d/a.toml")).unwrap();
    let missing = folder.0.join("missing.toml");
    let unread = gather(&Settings { config: Some(missing), ..Settings::default() }).unwrap_err();
    let told: Vec<_> = unread.iter().map(Unread::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("missing.toml: ") && told[1].contains("a.toml: "), "{told:?}");
}

#[test]
fn a_file_without_end_is_read_up_to_the_bound() {
    assert_eq!(read(Path::new("/dev/zero")).unwrap().len(), TEXT_BYTES_MAX + 1);
}

#[test]
fn flags_stand_for_keys() {
    let settings = Settings {
        listen: vec!["127.0.0.1:1".into(), "[::1]:2".into()],
        cores: Some("2,3,6-7".into()),
        admin: Some("127.0.0.1:9".into()),
        set: vec!["turn.inputs_max=7".into()],
        log: Some("info,shell=debug".into()),
        log_format: Some(LogFormat::Json),
        ..Settings::default()
    };
    let wanted = [
        Source::set("turn.inputs_max=7"),
        Source::flag("--listen", "listeners.tcp", "127.0.0.1:1,[::1]:2"),
        Source::flag("--cores", "runtime.cores", "2,3,6-7"),
        Source::flag("--admin", "admin.listen", "127.0.0.1:9"),
        Source::flag("--log", "log.level", "info,shell=debug"),
        Source::flag("--log-format", "log.format", "json"),
    ];
    assert_eq!(gathered(&settings), wanted);
}

#[test]
fn port_zero_closes_the_admin_door() {
    for (address, wanted) in [("127.0.0.1:0", "off"), ("[::1]:0", "off"), ("127.0.0.1:10", "127.0.0.1:10"), ("x", "x")]
    {
        assert_eq!(off_at_port_zero(address), wanted);
    }
}

#[test]
fn every_flag_names_a_key_that_exists() {
    use crate::config::{Cores, Durability, load};

    let settings = Settings {
        listen: vec!["127.0.0.1:1".into(), "[::1]:2".into()],
        cores: Some("2,6-7".into()),
        memory: false,
        data_dir: Some("/srv/pregon".into()),
        admin: Some("127.0.0.1:0".into()),
        log: Some("warn".into()),
        log_format: Some(LogFormat::Json),
        ..Settings::default()
    };
    let checked = load(gathered(&settings)).unwrap();
    let config = checked.config();
    assert_eq!(config.listeners.tcp, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
    assert_eq!(config.runtime.cores, Cores::List(vec![2, 6, 7]));
    assert_eq!(config.storage.durability, Durability::Fsync, "a directory is there to be written to");
    assert_eq!(config.storage.data_dir, Path::new("/srv/pregon"));
    assert_eq!((config.admin.listen, config.log.level.to_string().as_str()), (None, "warn"));
    assert_eq!(config.log.format, crate::config::LogFormat::Json);
}
