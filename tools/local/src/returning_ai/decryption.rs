//! What Returning.AI does with an encrypted message: takes the body apart as the secret lays it out, and decrypts it.

use aes::Aes256;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};

/// The plaintext of `body`; `None` when it is not what `encryption` (as in the secret) says.
pub(super) fn decrypt(encryption: &Value, body: &[u8]) -> Option<Vec<u8>> {
    let is_gcm = encryption["mode"] == "gcm";
    let layout = match &encryption["body"] {
        Value::Null if is_gcm => json!({ "iv": "{iv:base64}", "data": "{ciphertext+tag:base64}" }),
        Value::Null => json!({ "iv": "{iv:base64}", "data": "{ciphertext:base64}" }),
        layout => layout.clone(),
    };
    let mut sealed = Sealed { lengths: if is_gcm { (12, 16) } else { (16, 0) }, ..Sealed::default() };
    match &layout {
        Value::String(text) => sealed.take_text(text, std::str::from_utf8(body).ok()?)?,
        layout => sealed.take(layout, &serde_json::from_slice(body).ok()?)?,
    }
    let key: [u8; 32] = encryption["key"].as_str()?.as_bytes().try_into().ok()?;
    if is_gcm {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(&sealed.iv).ok()?;
        let mut bytes = [sealed.ciphertext, sealed.tag].concat();
        let length = key.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
        bytes.truncate(length);
        return Some(bytes);
    }
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&key, &sealed.iv).ok()?;
    cipher.decrypt_padded_vec::<Pkcs7>(&sealed.ciphertext).ok()
}

#[derive(Default)]
struct Sealed {
    /// Of IV and tag.
    lengths: (usize, usize),
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

impl Sealed {
    fn take(&mut self, layout: &Value, body: &Value) -> Option<()> {
        match (layout, body) {
            (Value::Object(fields), Value::Object(sent)) if fields.len() == sent.len() => {
                fields.iter().try_for_each(|(name, layout)| self.take(layout, sent.get(name)?))
            }
            (Value::Array(layouts), Value::Array(sent)) if layouts.len() == sent.len() => {
                layouts.iter().zip(sent).try_for_each(|(layout, sent)| self.take(layout, sent))
            }
            (Value::String(layout), Value::String(sent)) => self.take_text(layout, sent),
            (layout, sent) => (layout == sent).then_some(()),
        }
    }

    /// IV and tag have their lengths, and the ciphertext the one with which the placeholders fill the text.
    fn take_text(&mut self, layout: &str, sent: &str) -> Option<()> {
        (0..=sent.len()).find_map(|ciphertext| self.take_pieces(layout, sent, ciphertext))
    }

    fn take_pieces(&mut self, layout: &str, sent: &str, ciphertext: usize) -> Option<()> {
        let Some((before, rest)) = layout.split_once('{') else { return (layout == sent).then_some(()) };
        let (placeholder, rest) = rest.split_once('}')?;
        let (parts, encoding) = placeholder.split_once(':')?;
        let (iv, tag) = self.lengths;
        let length_of = |part: &str| match part {
            "iv" => iv,
            "tag" => tag,
            _ => ciphertext,
        };
        let length: usize = parts.split('+').map(length_of).sum();
        let length = if encoding == "hex" { 2 * length } else { length.div_ceil(3) * 4 };
        let (value, after) = sent.strip_prefix(before)?.split_at_checked(length)?;
        // Before anything is decoded: most lengths do not fit.
        self.take_pieces(rest, after, ciphertext)?;
        let bytes = if encoding == "hex" { from_hex(value)? } else { STANDARD.decode(value).ok()? };
        let mut bytes = bytes.as_slice();
        for part in parts.split('+') {
            let place = match part {
                "iv" => &mut self.iv,
                "tag" => &mut self.tag,
                _ => &mut self.ciphertext,
            };
            let (taken, after) = bytes.split_at_checked(length_of(part))?;
            *place = taken.to_vec();
            bytes = after;
        }
        bytes.is_empty().then_some(())
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    pairs.collect()
}

#[cfg(test)]
mod tests;
