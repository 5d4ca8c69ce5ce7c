//! What is read of a block device.

use crate::generator::device::{Device, written};

#[test]
fn the_bytes_written_are_the_seventh_field_in_sectors() {
    assert_eq!(written("  9 8 7 6   5 4 3 2 1 0 11\n"), Some(3 * 512));
    assert_eq!(written("9 8 7 6 5 4"), None);
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let error = Device::new("no-such-device").written().unwrap_err();
    assert!(error.to_string().contains("/no-such-device/stat"), "{error}");
}
