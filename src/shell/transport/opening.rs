//! Keys for records that come: kept as they were agreed on, and unfolded for each record, so that an idle session is small.
//!
//! What AES-GCM makes of a key takes 600 bytes, a key itself 64 with all that belongs to it, and one becomes the other in 0.2 µs. A connection that says
//! something now and then has it unfolded most of the time for nothing. Keys for records that leave stay unfolded: the library beneath watches there that
//! no number is used twice. TLS 1.2 is left as it is.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::crypto::cipher::{self, AeadKey, Iv, MessageDecrypter, MessageEncrypter, Tls13AeadAlgorithm};
use rustls::crypto::cipher::{InboundOpaqueMessage, InboundPlainMessage, UnsupportedOperationError};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::{ConnectionTrafficSecrets, Error, SupportedCipherSuite, Tls13CipherSuite};

/// The same ciphers in the same order; those of TLS 1.3 open records as told above.
pub fn thrifty(mut provider: CryptoProvider) -> CryptoProvider {
    for suite in &mut provider.cipher_suites {
        let same = [&AES_128, &AES_256, &CHACHA20].into_iter().find(|thrifty| thrifty.common.suite == suite.suite());
        *suite = same.map_or(*suite, SupportedCipherSuite::Tls13);
    }
    provider
}

static AES_128: Tls13CipherSuite =
    suite(&TLS13_AES_128_GCM_SHA256, &Thrifty { usual: &TLS13_AES_128_GCM_SHA256, algorithm: &AES_128_GCM });
static AES_256: Tls13CipherSuite =
    suite(&TLS13_AES_256_GCM_SHA384, &Thrifty { usual: &TLS13_AES_256_GCM_SHA384, algorithm: &AES_256_GCM });
static CHACHA20: Tls13CipherSuite = suite(
    &TLS13_CHACHA20_POLY1305_SHA256,
    &Thrifty { usual: &TLS13_CHACHA20_POLY1305_SHA256, algorithm: &CHACHA20_POLY1305 },
);

/// The cipher suite of the library with other ways to its keys.
const fn suite(usual: &SupportedCipherSuite, aead_alg: &'static dyn Tls13AeadAlgorithm) -> Tls13CipherSuite {
    let SupportedCipherSuite::Tls13(usual) = usual else { panic!("it is one of TLS 1.3") };
    let common = CipherSuiteCommon {
        suite: usual.common.suite,
        hash_provider: usual.common.hash_provider,
        confidentiality_limit: usual.common.confidentiality_limit,
    };
    Tls13CipherSuite { common, hkdf_provider: usual.hkdf_provider, aead_alg, quic: None }
}

/// A cipher of TLS 1.3.
struct Thrifty {
    /// Whose ways are taken for all but opening.
    usual: &'static SupportedCipherSuite,
    algorithm: &'static Algorithm,
}

impl Thrifty {
    fn usual(&self) -> &'static dyn Tls13AeadAlgorithm {
        self.usual.tls13().expect("it is one of TLS 1.3").aead_alg
    }
}

impl Tls13AeadAlgorithm for Thrifty {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.usual().encrypter(key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Opener { algorithm: self.algorithm, key, iv })
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
struct Opener {
    algorithm: &'static Algorithm,
    /// It forgets itself when it is dropped; so does what is made of it.
    key: AeadKey,
    iv: Iv,
}

const _: () = assert!(size_of::<Opener>() <= 64, "what makes it worth its while");

impl MessageDecrypter for Opener {
    fn decrypt<'a>(
        &mut self,
        mut record: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let key = UnboundKey::new(self.algorithm, self.key.as_ref()).map_err(|_unfit| Error::DecryptError)?;
        let nonce = Nonce::assume_unique_for_key(cipher::Nonce::new(&self.iv, number).0);
        let header = Aad::from(cipher::make_tls13_aad(record.payload.len()));
        let clear = LessSafeKey::new(key)
            .open_in_place(nonce, header, &mut record.payload)
            .map_err(|_altered| Error::DecryptError)?;
        let clear_bytes = clear.len();
        record.payload.truncate(clear_bytes);
        record.into_tls13_unpadded_message()
    }
}
