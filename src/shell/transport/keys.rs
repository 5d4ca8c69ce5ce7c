//! Keys of records: kept as they were agreed on, and unfolded for each record, so that an idle session is small.
//!
//! What AES-GCM makes of a key takes 600 bytes, a key itself 64 with all that belongs to it, and one becomes the other in 0.2 µs. A connection that says
//! something now and then has it unfolded most of the time for nothing, in both directions. The library beneath can watch that no number is used twice with
//! a key for records that leave, as long as it has the key; so it is watched here.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::aws_lc_rs::cipher_suite as usual;
use rustls::crypto::cipher::{self, AeadKey, Iv, KeyBlockShape, NONCE_LEN, PrefixedPayload};
use rustls::crypto::cipher::{InboundOpaqueMessage, InboundPlainMessage, MessageDecrypter, MessageEncrypter};
use rustls::crypto::cipher::{OutboundOpaqueMessage, OutboundPlainMessage, UnsupportedOperationError};
use rustls::crypto::cipher::{Tls12AeadAlgorithm, Tls13AeadAlgorithm};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite};
use rustls::{Tls12CipherSuite, Tls13CipherSuite};

/// Clear bytes of one record.
const CLEAR_BYTES_MAX: usize = 16 * 1024;
/// What AES-GCM of TLS 1.2 writes in front of each record: the part of the nonce that is not in the key block (RFC 5288, 3).
const EXPLICIT_NONCE_BYTES: usize = 8;
/// The rest of the nonce.
const SALT_BYTES: usize = NONCE_LEN - EXPLICIT_NONCE_BYTES;

/// The same ciphers in the same order, which treat keys as told above.
pub fn thrifty(mut provider: CryptoProvider) -> CryptoProvider {
    for suite in &mut provider.cipher_suites {
        let same_13 = ALL_13.iter().find(|thrifty| thrifty.common.suite == suite.suite());
        let same_12 = ALL_12.iter().find(|thrifty| thrifty.common.suite == suite.suite());
        *suite = match (same_13, same_12) {
            (Some(thrifty), _) => SupportedCipherSuite::Tls13(thrifty),
            (None, Some(thrifty)) => SupportedCipherSuite::Tls12(thrifty),
            (None, None) => *suite,
        };
    }
    provider
}

static ALL_13: [Tls13CipherSuite; 3] = [
    suite_13(&usual::TLS13_AES_128_GCM_SHA256, &Of13 { usual: &usual::TLS13_AES_128_GCM_SHA256, cipher: &AES_128_GCM }),
    suite_13(&usual::TLS13_AES_256_GCM_SHA384, &Of13 { usual: &usual::TLS13_AES_256_GCM_SHA384, cipher: &AES_256_GCM }),
    suite_13(
        &usual::TLS13_CHACHA20_POLY1305_SHA256,
        &Of13 { usual: &usual::TLS13_CHACHA20_POLY1305_SHA256, cipher: &CHACHA20_POLY1305 },
    ),
];

static ALL_12: [Tls12CipherSuite; 6] = [
    suite_12(&usual::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, &AES_128_OF_12),
    suite_12(&usual::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, &AES_256_OF_12),
    suite_12(&usual::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, &CHACHA20_OF_12),
    suite_12(&usual::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, &AES_128_OF_12),
    suite_12(&usual::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, &AES_256_OF_12),
    suite_12(&usual::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, &CHACHA20_OF_12),
];

static AES_128_OF_12: Of12 = Of12 { usual: &usual::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, cipher: &AES_128_GCM };
static AES_256_OF_12: Of12 = Of12 { usual: &usual::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, cipher: &AES_256_GCM };
static CHACHA20_OF_12: Of12 =
    Of12 { usual: &usual::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, cipher: &CHACHA20_POLY1305 };

/// The cipher suite of the library with other ways to its keys.
const fn suite_13(usual: &SupportedCipherSuite, aead_alg: &'static dyn Tls13AeadAlgorithm) -> Tls13CipherSuite {
    let SupportedCipherSuite::Tls13(usual) = usual else { panic!("it is one of TLS 1.3") };
    Tls13CipherSuite { common: same(&usual.common), hkdf_provider: usual.hkdf_provider, aead_alg, quic: None }
}

/// See above.
const fn suite_12(usual: &SupportedCipherSuite, aead_alg: &'static dyn Tls12AeadAlgorithm) -> Tls12CipherSuite {
    let SupportedCipherSuite::Tls12(usual) = usual else { panic!("it is one of TLS 1.2") };
    let (prf_provider, kx, sign) = (usual.prf_provider, usual.kx, usual.sign);
    Tls12CipherSuite { common: same(&usual.common), prf_provider, kx, sign, aead_alg }
}

const fn same(usual: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: usual.suite,
        hash_provider: usual.hash_provider,
        confidentiality_limit: usual.confidentiality_limit,
    }
}

/// A key of one direction, folded. It forgets itself when it is dropped; so does what is made of it.
struct Folded {
    cipher: &'static Algorithm,
    key: AeadKey,
    iv: Iv,
}

impl Folded {
    fn unfold(&self) -> Option<LessSafeKey> {
        UnboundKey::new(self.cipher, self.key.as_ref()).ok().map(LessSafeKey::new)
    }

    fn nonce(&self, number: u64) -> Nonce {
        Nonce::assume_unique_for_key(cipher::Nonce::new(&self.iv, number).0)
    }
}

/// Numbers of records that leave: none is used twice with a key.
#[derive(Default)]
pub(super) struct Numbers {
    next: u64,
}

impl Numbers {
    pub(super) fn take(&mut self, number: u64) -> Result<(), Error> {
        if number < self.next {
            return Err(Error::EncryptError);
        }
        self.next = number.checked_add(1).ok_or(Error::EncryptError)?;
        Ok(())
    }
}

const _: () = assert!(size_of::<Opener13>() <= 64 && size_of::<Opener12>() <= 80, "what makes it worth its while");
const _: () = assert!(size_of::<Sealer13>() <= 80 && size_of::<Sealer12>() <= 80, "see above");

/// A cipher of TLS 1.3.
struct Of13 {
    /// Whose ways are taken for all but records.
    usual: &'static SupportedCipherSuite,
    cipher: &'static Algorithm,
}

impl Of13 {
    fn usual(&self) -> &'static dyn Tls13AeadAlgorithm {
        self.usual.tls13().expect("it is one of TLS 1.3").aead_alg
    }
}

impl Tls13AeadAlgorithm for Of13 {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Sealer13 { folded: Folded { cipher: self.cipher, key, iv }, numbers: Numbers::default() })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Opener13 { folded: Folded { cipher: self.cipher, key, iv } })
    }

    fn key_len(&self) -> usize {
        self.usual().key_len()
    }

    fn extract_keys(&self, key: AeadKey, iv: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.usual().extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.usual().fips()
    }
}

/// What opens the records of one direction. One per session, and anew with each change of keys.
struct Opener13 {
    folded: Folded,
}

impl MessageDecrypter for Opener13 {
    fn decrypt<'a>(
        &mut self,
        mut record: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let header = Aad::from(cipher::make_tls13_aad(record.payload.len()));
        let key = self.folded.unfold().ok_or(Error::DecryptError)?;
        let clear = key
            .open_in_place(self.folded.nonce(number), header, &mut record.payload)
            .map_err(|_altered| Error::DecryptError)?;
        let clear_bytes = clear.len();
        record.payload.truncate(clear_bytes);
        record.into_tls13_unpadded_message()
    }
}

/// What seals the records of one direction. One per session, and anew with each change of keys.
struct Sealer13 {
    folded: Folded,
    numbers: Numbers,
}

impl MessageEncrypter for Sealer13 {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, number: u64) -> Result<OutboundOpaqueMessage, Error> {
        self.numbers.take(number)?;
        let sealed_bytes = self.encrypted_payload_len(message.payload.len());
        let mut sealed = PrefixedPayload::with_capacity(sealed_bytes);
        sealed.extend_from_chunks(&message.payload);
        sealed.extend_from_slice(&message.typ.to_array());
        let header = Aad::from(cipher::make_tls13_aad(sealed_bytes));
        let key = self.folded.unfold().ok_or(Error::EncryptError)?;
        key.seal_in_place_append_tag(self.folded.nonce(number), header, &mut sealed)
            .map_err(|_too_long| Error::EncryptError)?;
        // RFC 8446, 5.2: whatever it is, from outside it looks like data of TLS 1.2.
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, sealed))
    }

    fn encrypted_payload_len(&self, clear_bytes: usize) -> usize {
        clear_bytes + size_of::<u8>() + self.folded.cipher.tag_len()
    }
}

/// A cipher of TLS 1.2.
struct Of12 {
    /// Whose ways are taken for all but records.
    usual: &'static SupportedCipherSuite,
    cipher: &'static Algorithm,
}

impl Of12 {
    fn usual(&self) -> &'static dyn Tls12AeadAlgorithm {
        match self.usual {
            SupportedCipherSuite::Tls12(suite) => suite.aead_alg,
            SupportedCipherSuite::Tls13(_) => unreachable!("it is one of TLS 1.2"),
        }
    }

    /// The key with its nonce, of which the peer writes the rest in front of each record where there is less than a whole one.
    fn fold(&self, key: AeadKey, nonce: &[u8]) -> Folded {
        let mut whole = [0; NONCE_LEN];
        whole[..nonce.len()].copy_from_slice(nonce);
        Folded { cipher: self.cipher, key, iv: Iv::new(whole) }
    }

    fn explicit_bytes(&self) -> usize {
        self.key_block_shape().explicit_nonce_len
    }
}

impl Tls12AeadAlgorithm for Of12 {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        let folded = self.fold(key, &[iv, extra].concat());
        Box::new(Sealer12 { folded, numbers: Numbers::default(), explicit_bytes: self.explicit_bytes() })
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Opener12 { folded: self.fold(key, iv), explicit_bytes: self.explicit_bytes() })
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.usual().key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.usual().extract_keys(key, iv, explicit)
    }

    fn fips(&self) -> bool {
        self.usual().fips()
    }
}

/// The same as [`Opener13`] for TLS 1.2.
struct Opener12 {
    folded: Folded,
    /// Bytes of the nonce in front of each record: [`EXPLICIT_NONCE_BYTES`] or none.
    explicit_bytes: usize,
}

impl Opener12 {
    fn nonce(&self, number: u64, explicit: &[u8]) -> Nonce {
        let Ok(explicit) = <[u8; EXPLICIT_NONCE_BYTES]>::try_from(explicit) else { return self.folded.nonce(number) };
        let mut nonce = [0; NONCE_LEN];
        nonce[..SALT_BYTES].copy_from_slice(&self.folded.iv.as_ref()[..SALT_BYTES]);
        nonce[SALT_BYTES..].copy_from_slice(&explicit);
        Nonce::assume_unique_for_key(nonce)
    }
}

impl MessageDecrypter for Opener12 {
    fn decrypt<'a>(
        &mut self,
        mut record: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let added_bytes = self.explicit_bytes + self.folded.cipher.tag_len();
        let clear_bytes = record.payload.len().checked_sub(added_bytes).ok_or(Error::DecryptError)?;
        if clear_bytes > CLEAR_BYTES_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        let header = Aad::from(cipher::make_tls12_aad(number, record.typ, record.version, clear_bytes));
        let (explicit, sealed) = record.payload.split_at_mut(self.explicit_bytes);
        let key = self.folded.unfold().ok_or(Error::DecryptError)?;
        key.open_in_place(self.nonce(number, explicit), header, sealed).map_err(|_altered| Error::DecryptError)?;
        Ok(record.into_plain_message_range(self.explicit_bytes..self.explicit_bytes + clear_bytes))
    }
}

/// The same as [`Sealer13`] for TLS 1.2.
struct Sealer12 {
    folded: Folded,
    numbers: Numbers,
    /// See [`Opener12`].
    explicit_bytes: usize,
}

impl MessageEncrypter for Sealer12 {
    fn encrypt(&mut self, message: OutboundPlainMessage<'_>, number: u64) -> Result<OutboundOpaqueMessage, Error> {
        self.numbers.take(number)?;
        let clear_bytes = message.payload.len();
        let mut sealed = PrefixedPayload::with_capacity(self.encrypted_payload_len(clear_bytes));
        let nonce = self.folded.nonce(number);
        sealed.extend_from_slice(&nonce.as_ref()[NONCE_LEN - self.explicit_bytes..]);
        sealed.extend_from_chunks(&message.payload);
        let header = Aad::from(cipher::make_tls12_aad(number, message.typ, message.version, clear_bytes));
        let key = self.folded.unfold().ok_or(Error::EncryptError)?;
        let tag = key
            .seal_in_place_separate_tag(nonce, header, &mut sealed.as_mut()[self.explicit_bytes..])
            .map_err(|_too_long| Error::EncryptError)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(OutboundOpaqueMessage::new(message.typ, message.version, sealed))
    }

    fn encrypted_payload_len(&self, clear_bytes: usize) -> usize {
        self.explicit_bytes + clear_bytes + self.folded.cipher.tag_len()
    }
}
