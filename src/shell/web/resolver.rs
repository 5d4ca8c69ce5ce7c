//! Names of web servers are looked up by threads of their own, of which there are only so many.
//!
//! The system's look-up cannot be broken off. Whoever waits for it gives up in time; its thread lives until the system answers, and if that takes
//! long, each further request would leave another one behind. So a request whose name finds no thread is one without an answer.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use crossbeam_channel::bounded;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::unversioned::transport::time::Duration;

/// Look-ups for each request that may be under way: one that is waited for, and one that somebody has given up.
const LOOKUPS_A_REQUEST: usize = 2;

/// How many look-ups are under way. One for those who ask the same servers, also over a reload.
#[derive(Debug)]
pub struct Lookups {
    /// under way ≤ max
    under_way: AtomicUsize,
    max: usize,
}

/// One of them; it is over with this.
struct Place(Arc<Lookups>);

impl Lookups {
    /// For so many requests at a time.
    pub fn new(requests_max: usize) -> Arc<Self> {
        Arc::new(Self { under_way: AtomicUsize::new(0), max: requests_max * LOOKUPS_A_REQUEST })
    }

    fn begin(self: &Arc<Self>) -> Option<Place> {
        let one_more = |under_way| (under_way < self.max).then_some(under_way + 1);
        self.under_way.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// Looks names up as another one does, within a bound of time and of threads.
#[derive(Debug)]
pub struct Bounded<R> {
    inner: Arc<R>,
    lookups: Arc<Lookups>,
}

impl<R> Bounded<R> {
    /// As this one does.
    pub fn new(inner: R, lookups: &Arc<Lookups>) -> Self {
        Self { inner: Arc::new(inner), lookups: Arc::clone(lookups) }
    }
}

impl<R: Resolver> Resolver for Bounded<R> {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let at_leisure = NextTimeout { after: Duration::NotHappening, ..timeout };
        if is_address(uri) {
            return self.inner.resolve(uri, config, at_leisure); // nobody is asked
        }
        let Some(place) = self.lookups.begin() else {
            return Err(io::Error::other("too many names are being looked up, and the system does not answer").into());
        };
        let (inner, uri, config) = (Arc::clone(&self.inner), uri.clone(), config.clone());
        let (finder, found) = bounded(1);
        thread::Builder::new().name("pregon-resolver".into()).spawn(move || {
            let _until_the_end = place;
            // Whoever waited may have given up.
            let _ = finder.send(inner.resolve(&uri, &config, at_leisure));
        })?;
        found.recv_timeout(*timeout.after).unwrap_or(Err(Error::Timeout(timeout.reason)))
    }
}

/// Whether the server is named by its address.
fn is_address(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use ureq::unversioned::resolver::DefaultResolver;

    use super::*;

    /// Answers nobody while it is held up, whatever it is asked.
    #[derive(Debug, Default)]
    struct Hanging {
        held_up: Arc<Mutex<()>>,
        asked: Arc<AtomicUsize>,
    }

    impl Resolver for Hanging {
        fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            self.asked.fetch_add(1, Relaxed);
            drop(self.held_up.lock().unwrap_or_else(PoisonError::into_inner));
            assert!(timeout.after.is_not_happening(), "its thread has time");
            let address: Uri = format!("http://127.0.0.1:{}/", uri.port_u16().unwrap()).parse().unwrap();
            DefaultResolver::default().resolve(&address, config, timeout)
        }
    }

    fn within(ms: u64) -> NextTimeout {
        NextTimeout { after: Duration::from_millis(ms), reason: ureq::Timeout::Resolve, ..NextTimeout::default() }
    }

    #[test]
    fn threat_10_a_system_that_does_not_answer_is_asked_by_a_bounded_number_of_threads() {
        let (hanging, config) = (Hanging::default(), Config::default());
        let (held_up, asked) = (Arc::clone(&hanging.held_up), Arc::clone(&hanging.asked));
        let lookups = Lookups::new(3);
        let before_reload = Bounded::new(hanging, &lookups);
        let name: Uri = "http://hook.example:8080/who".parse().unwrap();
        let busy = held_up.lock().unwrap();
        for _ in 0..6 {
            assert!(matches!(before_reload.resolve(&name, &config, within(1)), Err(Error::Timeout(_))));
        }
        let after_reload = Bounded::new(Hanging::default(), &lookups);
        for bounded in [&before_reload, &after_reload] {
            // Without a thread there is nothing to wait for.
            assert!(matches!(bounded.resolve(&name, &config, within(3_600_000)), Err(Error::Io(_))));
        }
        let direct: Uri = "http://127.0.0.1:8080/who".parse().unwrap();
        let bare = Bounded::new(DefaultResolver::default(), &lookups);
        assert_eq!(
            bare.resolve(&direct, &config, within(3_600_000)).unwrap()[0].port(),
            8080,
            "nobody is asked for it"
        );
        drop(busy);
        while lookups.under_way.load(Relaxed) > 0 {
            thread::yield_now();
        }
        assert_eq!(asked.load(Relaxed), 6);
        assert_eq!(before_reload.resolve(&name, &config, within(3_600_000)).unwrap()[0].port(), 8080);
    }

    #[test]
    fn an_address_is_no_name() {
        for (uri, is_one) in [
            ("http://127.0.0.1/who", true),
            ("https://[::1]:8443/who", true),
            ("http://localhost/who", false),
            ("http://127.0.0.1.example/who", false),
        ] {
            assert_eq!(is_address(&uri.parse().unwrap()), is_one, "{uri}");
        }
    }
}
