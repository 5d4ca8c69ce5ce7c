//! From sources to a checked configuration: all of it, or everything that is wrong with it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::complaint::{Complaint, Complaints, Mistake, Remedy, escaped, excerpt};
use super::kind::{Fault, Kind, Value, name_of};
use super::listener::{LISTENER_NAME_BYTES_MAX, LISTENERS_MAX, ListenAddress, Listener};
use super::nearest;
use super::rules;
use super::schema::{self, LISTENERS, Target, Variable};
use super::setting::{PerSetting, Setting};
use super::source::{Origin, Place, Source};

/// Bytes of one source; who reads files may stop behind them.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// A configuration that may be used, and where each of its values came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub(super) config: Config,
    pub(super) places: PerSetting<Place>,
    /// Where each listener is named first.
    pub(super) heads: Vec<Place>,
}

impl Checked {
    /// The values.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The values, for keeps.
    pub fn into_config(self) -> Config {
        self.config
    }

    /// Where a value came from: the default, or the place that has the last word.
    pub fn place(&self, setting: Setting) -> &Place {
        &self.places[setting]
    }

    /// The number of the listener of this name, if there is one, or the number that it would have.
    fn find_listener(&self, name: &str) -> Result<usize, usize> {
        self.config.listeners.named.binary_search_by(|listener| (*listener.name).cmp(name))
    }
}

/// Reads all sources over the defaults, in the order of precedence of their origins, and looks for contradictions.
///
/// A value that another source overrides has to be right as well.
pub fn load(mut sources: Vec<Source>) -> Result<Checked, Complaints> {
    sources.sort_by(|one, other| one.origin.cmp(&other.origin)); // stable: the last `--set` of a key wins
    let mut loader = Loader::new();
    for source in &sources {
        loader.read(source);
    }
    loader.finish()
}

/// What has been read so far.
struct Loader {
    checked: Checked,
    complaints: Vec<Complaint>,
    /// Whether some source has a wrong value for it, or may have meant it by a name that is none.
    is_faulty: PerSetting<bool>,
    /// Whether its last value is an address that says no port.
    is_portless: PerSetting<bool>,
    /// Whether some file has an error of syntax, so that it is a guess which listener a line belongs to.
    is_guessed: bool,
}

impl Loader {
    fn new() -> Self {
        let places = PerSetting::all(&Place::whole(&Origin::Default));
        let checked = Checked { config: Config::default(), places, heads: Vec::new() };
        let [is_faulty, is_portless] = [(); 2].map(|()| PerSetting::all(&false));
        Self { checked, complaints: Vec::new(), is_faulty, is_portless, is_guessed: false }
    }

    fn finish(mut self) -> Result<Checked, Complaints> {
        (0..self.checked.config.listeners.named.len()).for_each(|listener| self.fill_in_port(listener));
        for contradiction in rules::contradictions(&self.checked) {
            if !contradiction.settings.iter().any(|setting| self.is_unsure(*setting)) {
                self.complaints.push(contradiction.complaint);
            }
        }
        // A contradiction stands where its key does, among what else is wrong there.
        let place = |complaint: &Complaint| (complaint.place.origin.clone(), complaint.place.at);
        self.complaints.sort_by_key(place);
        if self.complaints.is_empty() { Ok(self.checked) } else { Err(Complaints(self.complaints)) }
    }

    /// An address that says no port has the usual one of what is spoken there, which other keys say, whatever their order.
    fn fill_in_port(&mut self, listener: usize) {
        let setting = |name| Setting::Listener { listener, key: schema::find_in_listener(name).expect("it is a key") };
        let address = setting("address");
        if !self.is_portless[address] {
            return;
        }
        let is_unsure = ["protocol", "certificates"].iter().any(|name| self.is_unsure(setting(name)));
        let named = &mut self.checked.config.listeners.named[listener];
        match (named.usual_port(), &mut named.address) {
            (Some(port), ListenAddress::Tcp(address)) => address.set_port(port),
            (None, ListenAddress::Tcp(_)) if !is_unsure => {
                let (path, place) = (address.path(&self.checked.config), self.checked.places[address].clone());
                self.complaints.push(about_value(path, address.kind(), Mistake::PortMissing, place));
                self.is_faulty[address] = true;
            }
            (_, ListenAddress::Tcp(_) | ListenAddress::Unix(_)) => {}
        }
        self.is_faulty[address] |= is_unsure;
    }

    /// Whether its value may be another one once all else is mended.
    fn is_unsure(&self, setting: Setting) -> bool {
        let is_of_listener = matches!(setting, Setting::Listener { .. });
        self.is_faulty[setting] || (self.is_guessed && is_of_listener)
    }

    fn read(&mut self, source: &Source) {
        let Source { origin, text } = source;
        if text.len() > TEXT_BYTES_MAX {
            let mistake = Mistake::TextTooLong { maximum: TEXT_BYTES_MAX };
            return self.complain(Place::whole(origin), None, mistake, Remedy::None);
        }
        let text = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                return self.complain(place_of_bad_byte(source, &error), None, Mistake::NotUtf8, Remedy::None);
            }
        };
        match origin {
            Origin::Default => {}
            Origin::File(_) | Origin::DropIn(_) => self.read_file(origin, text),
            Origin::Environment(name) => self.read_variable(origin, name, text),
            Origin::Set | Origin::Flag(_) => self.read_assignment(origin, text),
        }
    }

    fn read_variable(&mut self, origin: &Origin, name: &str, text: &str) {
        match schema::find_variable(name) {
            Variable::Foreign => {}
            Variable::Target(target) => {
                let target = self.with_capitals(target);
                self.take_text(origin, &target, text);
            }
            Variable::Unknown => {
                let remedy = did_you_mean(nearest::nearest_variable(name));
                self.complain(Place::whole(origin), None, Mistake::KeyUnknown, remedy);
            }
        }
    }

    /// `section.key=value`
    fn read_assignment(&mut self, origin: &Origin, text: &str) {
        let place = Place::whole(origin);
        let Some((path, value)) = text.split_once('=') else {
            let remedy = Remedy::Allowed("section.key=value".into());
            return self.complain(place, None, Mistake::NotAnAssignment(excerpt(text)), remedy);
        };
        let Some(target) = schema::find_path(path.trim()) else {
            let remedy = did_you_mean(nearest::nearest_key(path.trim()));
            return self.complain(place, Some(path.trim()), Mistake::KeyUnknown, remedy);
        };
        self.take_text(origin, &target, value.trim());
    }

    /// The environment has no capitals: a listener that is there already is meant by its name without them.
    fn with_capitals(&self, target: Target) -> Target {
        let Target::Listener(name, key) = target else { return target };
        let other = other_spelling(&self.checked.config, &name).map(Box::from);
        Target::Listener(other.unwrap_or(name), key)
    }

    fn take_text(&mut self, origin: &Origin, target: &Target, text: &str) {
        let place = Place::whole(origin);
        let setting = match target {
            Target::Key(key) => Setting::Key(*key),
            Target::Listener(name, key) => match self.open_listener(name, &place) {
                Ok(listener) => Setting::Listener { listener, key: *key },
                Err(mistake) => {
                    return self.complain(place, Some(&listener_path(name)), mistake, Remedy::None);
                }
            },
        };
        match setting.kind().read_text(text) {
            Ok(value) => self.accept(setting, value, place),
            Err(mistake) => {
                self.is_faulty[setting] = true;
                let path = setting.path(&self.checked.config);
                self.complaints.push(about_value(path, setting.kind(), mistake, place));
            }
        }
    }

    /// The number of the listener of this name, which begins to be where it is named first.
    fn open_listener(&mut self, name: &str, place: &Place) -> Result<usize, Mistake> {
        let at = match self.checked.find_listener(name) {
            Ok(listener) => return Ok(listener),
            Err(at) => at,
        };
        may_be_opened(&self.checked.config, name)?;
        self.checked.config.listeners.named.insert(at, Listener::new(name));
        self.checked.places.open(at, &Place::whole(&Origin::Default));
        self.checked.heads.insert(at, place.clone());
        self.is_faulty.open(at, &false);
        self.is_portless.open(at, &false);
        Ok(at)
    }

    fn read_file(&mut self, origin: &Origin, text: &str) {
        let mut file = FileReader { loader: self, origin, text, found: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for (name, value) in table.get_ref() {
            file.read_section(name, value);
        }
        let found = file.found;
        self.is_guessed |= !errors.is_empty();
        self.complaints.extend(in_reading_order(origin, text, &errors, found));
    }

    fn accept(&mut self, setting: Setting, value: Value, place: Place) {
        self.is_portless[setting] = matches!(value, Value::ListenPortless(_));
        setting.set(&mut self.checked.config, value);
        self.checked.places[setting] = place;
    }

    fn complain(&mut self, place: Place, key: Option<&str>, mistake: Mistake, remedy: Remedy) {
        let key = key.map(excerpt);
        self.complaints.push(Complaint { place, key, mistake, remedy });
    }
}

/// Reads one file; what it finds is put into order when the whole file is read.
struct FileReader<'a> {
    loader: &'a mut Loader,
    origin: &'a Origin,
    text: &'a str,
    found: Vec<Complaint>,
}

impl FileReader<'_> {
    fn read_section(&mut self, name: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) {
        let (section, span) = (name.get_ref().as_ref(), name.span());
        let is_known = schema::has_section(section);
        match value.get_ref() {
            DeValue::Table(keys) if is_known => {
                for (name, value) in keys {
                    self.read_key(section, name, value);
                }
            }
            DeValue::Table(_) => {
                let remedy = did_you_mean(nearest::nearest_section(section));
                self.complain(span.start, section, Mistake::SectionUnknown, remedy);
            }
            other if is_known => {
                let mistake = Mistake::NotASection { found: name_of(other) };
                let remedy = Remedy::Allowed(format!("[{section}] once, and its keys below").into());
                self.complain(span.start, section, mistake, remedy);
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => {
                self.complain(span.start, section, Mistake::KeyUnknown, did_you_mean(nearest::nearest_key(section)));
            }
        }
    }

    fn read_key(&mut self, section: &str, name: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) {
        let (key, start) = (name.get_ref().as_ref(), name.span().start);
        if let (LISTENERS, DeValue::Table(keys)) = (section, value.get_ref()) {
            return self.read_listener(key, start, keys);
        }
        match schema::find(section, key) {
            Some(key) => self.read_value(Setting::Key(key), start, value),
            None => self.read_unknown(section, key, start, value),
        }
    }

    /// `[listeners.NAME]`
    fn read_listener(&mut self, listener: &str, start: usize, keys: &DeTable<'_>) {
        let place = self.place(start);
        let at = match self.loader.open_listener(listener, &place) {
            Ok(at) => at,
            Err(mistake) => return self.complain(start, &listener_path(listener), mistake, Remedy::None),
        };
        for (name, value) in keys {
            let (key, start) = (name.get_ref().as_ref(), name.span().start);
            if let Some(key) = schema::find_in_listener(key) {
                self.read_value(Setting::Listener { listener: at, key }, start, value);
                continue;
            }
            // It may be any of them that was meant.
            self.loader.is_faulty.fill(at, &true);
            let path = format!("{}.{key}", listener_path(listener));
            self.complain(start, &path, Mistake::KeyUnknown, did_you_mean(nearest::nearest_key(&path)));
        }
    }

    /// Neither a key nor a listener; of lists of tables the name may have been meant to be that of one.
    fn read_unknown(&mut self, section: &str, key: &str, start: usize, value: &Spanned<DeValue<'_>>) {
        let path = format!("{section}.{key}");
        let is_table = |entry: &Spanned<DeValue<'_>>| matches!(entry.get_ref(), DeValue::Table(_));
        let is_listed = value.get_ref().as_array().is_some_and(|list| list.iter().any(is_table));
        if section == LISTENERS && is_listed {
            let mistake = Mistake::NotASection { found: name_of(value.get_ref()) };
            let remedy = Remedy::Allowed(format!("[{path}] once, and its keys below").into());
            return self.complain(start, &path, mistake, remedy);
        }
        self.complain(start, &path, Mistake::KeyUnknown, did_you_mean(nearest::nearest_key(&path)));
    }

    fn read_value(&mut self, setting: Setting, start: usize, value: &Spanned<DeValue<'_>>) {
        match setting.kind().read_toml(value) {
            Ok(value) => {
                let place = self.place(start);
                self.loader.accept(setting, value, place);
            }
            Err(faults) => {
                self.loader.is_faulty[setting] = true;
                for Fault { mistake, span } in faults {
                    let path = setting.path(&self.loader.checked.config);
                    let complaint = about_value(path, setting.kind(), mistake, self.place(span.start));
                    self.found.push(complaint);
                }
            }
        }
    }

    fn complain(&mut self, offset: usize, key: &str, mistake: Mistake, remedy: Remedy) {
        let place = self.place(offset);
        self.found.push(Complaint { place, key: Some(excerpt(key)), mistake, remedy });
    }

    fn place(&self, offset: usize) -> Place {
        Place::within(self.origin, self.text, offset)
    }
}

/// Everything that is wrong with a file, by line: errors of syntax, and what was found in spite of them.
///
/// An error of syntax makes the reader guess. So a line with one says nothing else, and no name after the first one is
/// called unknown: it may be the header above it that got lost.
fn in_reading_order(origin: &Origin, text: &str, errors: &[toml::de::Error], found: Vec<Complaint>) -> Vec<Complaint> {
    let line = |complaint: &Complaint| complaint.place.at.map_or(0, |(line, _)| line);
    let mut told: Vec<Complaint> = errors.iter().map(|error| about_syntax(origin, text, error)).collect();
    told.sort_by_key(|complaint| complaint.place.at);
    told.dedup_by_key(|complaint| line(complaint));
    let broken: Vec<usize> = told.iter().map(line).collect();
    let is_sure = |complaint: &Complaint| {
        let is_about_a_name = matches!(complaint.mistake, Mistake::SectionUnknown | Mistake::KeyUnknown);
        let is_behind = broken.first().is_some_and(|first| line(complaint) > *first);
        broken.binary_search(&line(complaint)).is_err() && !(is_about_a_name && is_behind)
    };
    told.extend(found.into_iter().filter(is_sure));
    told.sort_by_key(|complaint| complaint.place.at);
    told
}

fn about_syntax(origin: &Origin, text: &str, error: &toml::de::Error) -> Complaint {
    let offset = error.span().map_or(0, |span| span.start);
    let mistake = Mistake::Syntax(escaped(error.message()).into());
    Complaint { place: Place::within(origin, text, offset), key: None, mistake, remedy: Remedy::None }
}

fn about_value(path: String, kind: &Kind, mistake: Mistake, place: Place) -> Complaint {
    Complaint { place, key: Some(path.into()), mistake, remedy: Remedy::Allowed(kind.allowed().into()) }
}

fn listener_path(name: &str) -> String {
    format!("{LISTENERS}.{name}")
}

/// Whether there can be a listener of this name that is not there yet.
fn may_be_opened(config: &Config, name: &str) -> Result<(), Mistake> {
    if !schema::is_listener_name(name) {
        return Err(Mistake::ListenerName { maximum: LISTENER_NAME_BYTES_MAX });
    }
    if let Some(key) = schema::key_called(name) {
        return Err(Mistake::ListenerNameTaken { key });
    }
    if let Some(other) = other_spelling(config, name) {
        return Err(Mistake::ListenerNameTwice { other: other.into() });
    }
    if config.listeners.named.len() == LISTENERS_MAX {
        return Err(Mistake::ListenersTooMany { maximum: LISTENERS_MAX });
    }
    Ok(())
}

/// The name of the listener that is called so but for its capitals.
fn other_spelling<'a>(config: &'a Config, name: &str) -> Option<&'a str> {
    config.listeners.named.iter().map(|listener| &*listener.name).find(|other| other.eq_ignore_ascii_case(name))
}

fn did_you_mean(name: Option<String>) -> Remedy {
    name.map_or(Remedy::None, |name| Remedy::DidYouMean(name.into()))
}

/// In a file, where the text stops to be one.
fn place_of_bad_byte(source: &Source, error: &core::str::Utf8Error) -> Place {
    let good = core::str::from_utf8(&source.text[..error.valid_up_to()]).unwrap_or_default();
    match source.origin {
        Origin::File(_) | Origin::DropIn(_) => Place::within(&source.origin, good, good.len()),
        Origin::Default | Origin::Environment(_) | Origin::Set | Origin::Flag(_) => Place::whole(&source.origin),
    }
}
