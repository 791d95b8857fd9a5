//! `tokenizer.json` through the `tokenizers` crate.

use crate::abi::{Failure, Ids, Status, Text};
use crate::abi::{as_out, as_ref, as_slice, as_str, catch_panic, free_handle, guard, invalid};
use serde::de::IgnoredAny;

pub struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    fn new(json: &[u8]) -> Result<Self, Failure> {
        // The crate panics on some broken files, so their syntax is checked first and the rest is caught.
        serde_json::from_slice::<IgnoredAny>(json).map_err(|e| invalid(e.to_string()))?;
        let parsed = catch_panic(|| tokenizers::Tokenizer::from_bytes(json)).map_err(invalid)?;
        let mut inner = parsed.map_err(|e| invalid(e.to_string()))?;
        // A file may carry both for training; transformers turns them off unless a call asks for them.
        inner.with_truncation(None).map_err(internal)?;
        inner.with_padding(None);
        Ok(Tokenizer(inner))
    }

    fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<i32>, Failure> {
        let encoding = self.0.encode_fast(text, add_special_tokens).map_err(internal)?;
        let ids = encoding.get_ids().iter().map(|&id| i32::try_from(id));
        ids.collect::<Result<_, _>>().map_err(|_| invalid("the tokenizer gave an id above 2147483647"))
    }

    fn decode(&self, ids: &[i32], skip_special_tokens: bool) -> Result<String, Failure> {
        let ids = ids
            .iter()
            .map(|&id| u32::try_from(id).map_err(|_| invalid(format!("expected token ids ≥ 0, got {id}"))));
        self.0.decode(&ids.collect::<Result<Vec<_>, _>>()?, skip_special_tokens).map_err(internal)
    }

    fn vocab_size(&self) -> i32 {
        i32::try_from(self.0.get_vocab_size(true)).unwrap_or(i32::MAX)
    }
}

fn internal(error: tokenizers::Error) -> Failure {
    Failure { status: Status::Internal, message: error.to_string() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_tokenizer_new(
    json: *const u8,
    json_size: usize,
    out: *mut *mut Tokenizer,
    error: *mut Text,
) -> Status {
    unsafe {
        guard(error, || {
            let out = as_out(out)?;
            let tokenizer = Tokenizer::new(as_slice(json, json_size, "json")?)?;
            out.write(Box::into_raw(Box::new(tokenizer)));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_tokenizer_free(tokenizer: *mut Tokenizer) {
    unsafe { free_handle(tokenizer) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: *const u8,
    text_size: usize,
    add_special_tokens: bool,
    out: *mut Ids,
    error: *mut Text,
) -> Status {
    unsafe {
        guard(error, || {
            let (tokenizer, out) = (as_ref(tokenizer, "tokenizer")?, as_out(out)?);
            let ids = tokenizer.encode(as_str(text, text_size, "text")?, add_special_tokens)?;
            out.write(ids.into());
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_tokenizer_decode(
    tokenizer: *const Tokenizer,
    ids: *const i32,
    ids_size: usize,
    skip_special_tokens: bool,
    out: *mut Text,
    error: *mut Text,
) -> Status {
    unsafe {
        guard(error, || {
            let (tokenizer, out) = (as_ref(tokenizer, "tokenizer")?, as_out(out)?);
            let text = tokenizer.decode(as_slice(ids, ids_size, "ids")?, skip_special_tokens)?;
            out.write(text.into_bytes().into());
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zeta_text_tokenizer_vocab_size(
    tokenizer: *const Tokenizer,
    out: *mut i32,
    error: *mut Text,
) -> Status {
    unsafe {
        guard(error, || {
            as_out(out)?.write(as_ref(tokenizer, "tokenizer")?.vocab_size());
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    const WORDS: &str = r#"{"version": "1.0",
        "truncation": {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[UNK]"},
        "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "one": 1, "two": 2}, "unk_token": "[UNK]"}}"#;

    fn words() -> Tokenizer {
        Tokenizer::new(WORDS.as_bytes()).unwrap()
    }

    #[test]
    fn truncation_and_padding_of_the_file_are_off() {
        assert_eq!(words().encode("one two three", false).unwrap(), [1, 2, 0]);
    }

    #[test]
    fn ids_outside_the_vocabulary_decode_to_nothing_and_negative_ones_are_refused() {
        assert_eq!(words().decode(&[1, 3, i32::MAX, 2], true).unwrap(), "one two");
        assert_eq!(words().decode(&[1, -5], true).unwrap_err().message, "expected token ids ≥ 0, got -5");
    }

    #[test]
    fn every_truncation_of_a_file_is_refused() {
        for end in 0..WORDS.len() {
            assert!(Tokenizer::new(&WORDS.as_bytes()[..end]).is_err(), "accepted the first {end} bytes");
        }
    }

    #[test]
    fn a_decoder_of_no_known_kind_is_the_files_fault() {
        for decoder in
            [r#"{"type": "Nothing"}"#, "{}", "[]", "7", r#"{"type": "Sequence", "decoders": [{}]}"#]
        {
            let json = WORDS.replace(r#""decoder": null"#, &format!(r#""decoder": {decoder}"#));
            let failure = Tokenizer::new(json.as_bytes()).err().expect(decoder);
            assert_eq!(failure.status, Status::InvalidArgument, "{decoder}: {}", failure.message);
        }
    }

    #[test]
    fn nulls_are_refused() {
        unsafe {
            let none = ptr::null_mut();
            assert_eq!(
                zeta_text_tokenizer_new(b"{}".as_ptr(), 2, ptr::null_mut(), none),
                Status::InvalidArgument
            );
            let status = zeta_text_tokenizer_encode(ptr::null(), ptr::null(), 0, true, ptr::null_mut(), none);
            assert_eq!(status, Status::InvalidArgument);
            let status = zeta_text_tokenizer_decode(&words(), ptr::null(), 3, true, ptr::null_mut(), none);
            assert_eq!(status, Status::InvalidArgument);
            zeta_text_tokenizer_free(ptr::null_mut());
        }
    }
}
