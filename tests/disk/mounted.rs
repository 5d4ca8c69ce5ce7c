//! A disk for one test, where this machine lets us mount one.

use std::io::{Error, ErrorKind, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::fickle::mount::Mount;

/// A disk that is mounted on a folder of its own; none where there is no FUSE for us, which is said aloud.
///
/// # Panics
/// When it cannot be mounted for another reason.
pub fn mounted() -> Option<Mount> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("pregon-disk-{}-{number}", std::process::id()));
    match Mount::at(&path) {
        Ok(mount) => Some(mount),
        Err(error) if is_refused(&error) => {
            let said =
                format!("NOT TESTED for want of /dev/fuse or the right to mount: power cuts, failing disks: {error}\n");
            // What a test prints is hidden when it passes; this is not. Where standard error is gone there is nobody to tell, and a
            // folder that is not there need not be removed.
            let _ = (std::io::stderr().write_all(said.as_bytes()), std::fs::remove_dir(&path));
            None
        }
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// No device, no right, or a helper that has neither.
fn is_refused(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::Other)
}
